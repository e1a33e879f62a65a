"""The CLIP that a SpikeCLIP learns from, and its features of images."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput
from deploy.progress import track
from neuroclip.clip.model import CONFIG_FILE, Clip, load_clip
from neuroclip.clip.spec import ClipSpec, check_spec
from neuroclip.storage.cache import keep, read_cached

OWN = "own"
"""The name of the teacher that `--stage teacher` trains."""
TEACHER = "teacher"
"""The folder that it lies in, in that of its SpikeCLIP or beside it."""

_BATCH = 256


@dataclass(frozen=True)
class TeacherConfig:
    """Which CLIP, as `ClipSpec` names it or "own", and how its pixels are normalised.

    normalisation: "clip" (its own mean and deviation) or "half" (x − 0.5, as the bundled digits CLIP
    was trained). finetune: before step 2, on the classes of the data: "none" (its zero-shot
    probabilities), "probe" (a linear layer on its features) or "full" (its image tower), see
    `finetune_teacher`.
    """

    model: str = "digits"
    pretrained: str | None = None
    normalisation: Literal["half", "clip"] = "half"
    finetune: Literal["none", "probe", "full"] = "none"
    finetune_epochs: int = 10
    finetune_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("finetune_epochs", "finetune_learning_rate"):
            if getattr(self, name) <= 0:
                raise BadInput(f"teacher: {name} {getattr(self, name)} is not positive")

    def load(self, device: str | None = None) -> Clip:
        """The CLIP. Raises BadInput as `load_clip` does."""
        return load_clip(ClipSpec(self.model, self.pretrained), device)


def found_teacher(config: TeacherConfig, out: Path) -> TeacherConfig:
    """The teacher with its folder in place of "own"; out: the folder of the SpikeCLIP.

    Raises BadInput where it has not been trained, or no CLIP has its name.
    """
    if config.model == OWN:
        for folder in (out / TEACHER, out.parent / TEACHER):
            if (folder / CONFIG_FILE).is_file():
                return replace(config, model=str(folder))
        raise BadInput(
            f"{out / TEACHER}: no teacher there nor beside {out}; `--stage teacher --out "
            f"{out / TEACHER}` trains one, and without --stage all is trained in order"
        )
    check_spec(ClipSpec(config.model, config.pretrained))
    return config


@torch.no_grad()
def image_features(
    clip: Clip, config: TeacherConfig, images: NDArray[np.uint8], mixed: bool = False
) -> Tensor:
    """L2-normalised features float32 [N, C] of images uint8 [N, 1 or 3, H, W].

    mixed: in bfloat16. Kept in the cache folder under the hash of weights, settings and images.
    """
    key = hashlib.sha256(
        json.dumps(
            [clip.digest, config.normalisation, clip.device.type, mixed, images.shape]
        ).encode()
    )
    key.update(np.ascontiguousarray(images).data)
    name = f"teacher-{key.hexdigest()[:32]}.npz"
    kept = (read_cached(name) or {}).get("features")
    if kept is not None and kept.ndim == 2 and len(kept) == len(images):
        return torch.from_numpy(kept)
    parts = []
    starts = range(0, len(images), _BATCH)
    for start in track(starts, desc=f"teacher {clip.name}", unit="batch"):
        x = torch.from_numpy(images[start : start + _BATCH]).to(torch.float32)
        x = clip_input(clip, config.normalisation, x)
        with torch.autocast(clip.device.type, torch.bfloat16, enabled=mixed):
            made = clip.module.encode_image(x)
        parts.append(functional.normalize(made.float(), dim=-1).cpu())
    features = torch.cat(parts)
    keep(name, {"features": features.numpy()})
    return features


def clip_input(clip: Clip, normalisation: str, images: Tensor) -> Tensor:
    """Images 0..255, float32 [N, 1 or 3, H, W], as a CLIP sees them: [N, 3, S, S]."""
    size = (clip.image_size, clip.image_size)
    shape = (1, -1, 1, 1)
    mean, std = (torch.tensor(v, device=clip.device).reshape(shape) for v in (clip.mean, clip.std))
    x = images.to(clip.device) / 255
    x = functional.interpolate(x, size, mode="bilinear", align_corners=False)
    x = x.expand(-1, 3, -1, -1)
    return x - 0.5 if normalisation == "half" else (x - mean) / std
