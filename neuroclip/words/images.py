"""Still images through a CLIP's image tower; features are kept on disk by content.

A tower is taken as a body and, where it ends in one, a linear map: what is computed once of the body
serves every map.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.progress import track
from neuroclip.clip.model import Clip
from neuroclip.spikeclip.training.teacher import clip_input
from neuroclip.storage.cache import keep, read_cached
from neuroclip.storage.open_clip_library import open_clip
from neuroclip.storage.weights import weights_digest

# Counted up when the way from images to features changes, so that no old feature is read back.
_VERSION = 1
_BATCH = 100


@dataclass(frozen=True, eq=False)
class ImageTower:
    """body: images → features [N, F]. map: float64 [C, F] into the space of texts, or None (C = F).
    digest: of the body's weights."""

    body: Callable[[Tensor], Tensor]
    map: NDArray[np.float64] | None
    digest: str


def image_tower(clip: Clip) -> ImageTower:
    """The parts of a CLIP's image tower."""
    visual: nn.Module = clip.module.visual
    last = (
        list(visual.head.children()) if isinstance(visual, open_clip.timm_model.TimmModel) else []
    )
    linear = [part for part in last if not isinstance(part, nn.Dropout)]
    if len(linear) == 1 and isinstance(linear[0], nn.Linear) and linear[0].bias is None:
        weight = linear[0].weight.detach().cpu().double().numpy()
        return ImageTower(visual.trunk, weight, weights_digest(visual.trunk))
    return ImageTower(visual, None, weights_digest(visual))


@torch.no_grad()
def body_features(
    clip: Clip, images: NDArray[np.uint8], normalisation: str = "clip"
) -> NDArray[np.float32]:
    """Features float32 [N, F] of images uint8 [N, 1 or 3, H, W] before the map; not normalised.

    Kept in the cache folder under the hash of the body's weights, the images, and what lies between.
    """
    tower = image_tower(clip)
    made_of = (_VERSION, tower.digest, clip.image_size, clip.mean, clip.std, normalisation,
               clip.device.type, images.shape)  # fmt: skip
    key = hashlib.sha256(repr(made_of).encode())
    key.update(np.ascontiguousarray(images).data)
    name = f"images-{key.hexdigest()[:32]}.npz"
    kept = (read_cached(name) or {}).get("features")
    if kept is not None and kept.ndim == 2 and len(kept) == len(images):
        return np.asarray(kept, np.float32)
    parts = []
    with track(total=len(images), desc=f"CLIP {clip.name}", unit="image") as bar:
        for start in range(0, len(images), _BATCH):
            some = torch.from_numpy(images[start : start + _BATCH]).to(torch.float32)
            seen = clip_input(clip, normalisation, some)
            made = tower.body(seen.contiguous(memory_format=torch.channels_last))
            parts.append(made.float().cpu())
            bar.update(len(some))
    features = torch.cat(parts).numpy()
    keep(name, {"features": features})
    return features


def class_scores(
    clip: Clip, features: NDArray[np.float32], text: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Cosines float32 [N, labels] of features before the map with texts [labels, C] of length 1."""
    made = image_tower(clip).map
    mapped = features if made is None else features @ made.T.astype(np.float32)
    length = np.linalg.norm(mapped, axis=1, keepdims=True)
    return np.asarray(mapped / np.maximum(length, 1e-12) @ text.T, dtype=np.float32)
