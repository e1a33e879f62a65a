"""What a SpikeCLIP learns from: images as it sees them, and what the teacher says of them."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroclip.data.images.images import ImageDataset
from neuroclip.spikeclip.model import SpikeClip, messages


@dataclass(frozen=True, eq=False)
class Pairs:
    """Messages [N, C, S, S] of images, the teacher's features [N, F] of them, labels int64 [N].

    source: whose features, as text. A kept state belongs to it rather than to their values, whose
    last bits differ from one machine to another.
    """

    sent: Tensor
    features: Tensor
    labels: Tensor
    source: str

    def to(self, device: torch.device) -> "Pairs":
        """The same on a device."""
        sent, features, labels = (x.to(device) for x in (self.sent, self.features, self.labels))
        return Pairs(sent, features, labels, self.source)

    def digest(self) -> str:
        """SHA-256 of images and labels, as hexadecimal text."""
        digest = hashlib.sha256(self.sent.cpu().contiguous().numpy().tobytes())
        digest.update(self.labels.cpu().numpy().tobytes())
        return digest.hexdigest()


def pairs_of(
    model: SpikeClip, dataset: ImageDataset, index: NDArray[np.int64], features: Tensor, source: str
) -> Pairs:
    """The images of a part of a data set as the model sees them."""
    sent = torch.cat(
        [
            messages(model.config, torch.from_numpy(dataset.images[part]))
            for part in np.array_split(index, max(1, len(index) // 1024))
        ]
    )
    return Pairs(sent, features, torch.from_numpy(dataset.labels[index]), source)
