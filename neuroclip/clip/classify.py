"""Zero-shot classification by text, from recordings or pictures to scores."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import Clip, encode_frames, encode_text
from neuroclip.clip.pretrain import pictures_on_sensor
from neuroclip.clip.zero_shot import zero_shot_scores
from neuroclip.data.events.catalogue import EventDataset
from neuroclip.data.events.frames import FrameOptions


def classify_events(
    clip: Clip,
    dataset: EventDataset,
    indices: NDArray[np.int64],
    options: FrameOptions,
    labels: Sequence[str],
    template: str,
) -> NDArray[np.float32]:
    """Zero-shot scores float32 [len(indices), labels] of a data set's recordings.

    Raises BadInput: bad labels or template, or a bad recording, by name.
    """
    text = encode_text(clip, labels, template)
    return zero_shot_scores(dataset_features(clip, dataset, indices, options), text)


def classify_pictures(
    clip: Clip, indices: NDArray[np.int64], labels: Sequence[str], template: str
) -> NDArray[np.float32]:
    """Scores (cosines) float32 [len(indices), labels] of the bundled digits as still pictures."""
    text = encode_text(clip, labels, template)
    pictures = pictures_on_sensor()[0][indices]
    return np.asarray(encode_frames(clip, pictures, FrameOptions()) @ text.T, dtype=np.float32)
