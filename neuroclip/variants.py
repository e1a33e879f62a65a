"""The paper's augmentation for few-shot training: rotated and sheared copies of event frames."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from neuroclip.clip import Clip, encode_frames
from neuroclip.data import EventDataset
from neuroclip.data.cache import keep, read_cached
from neuroclip.events import recording_digest
from neuroclip.frames import FrameOptions, gray_frames, histograms

# Guo, Chen, Ma 2023 (NeuroCLIP), public code. Their horizontal flip turns digits into other signs
# and is left off.
ROTATION_DEGREES, SHEAR_DEGREES = 10.0, 5.0
# Counted up when the way from events to variants changes, so that no old feature is read back.
_VERSION = 1


def variant_features(
    clip: Clip,
    dataset: EventDataset,
    indices: Sequence[int] | NDArray[np.int64],
    options: FrameOptions,
    variants: int,
    seed: int,
) -> NDArray[np.float32]:
    """L2-normalised features float32 [recordings, 1 + variants, T, C]: each as it is, then changed.

    All frames of a variant are rotated by up to ±10° and sheared by up to ±5° alike, as counts,
    before they become gray. Kept in the cache folder by content. Raises BadInput naming a bad
    recording.
    """
    key = hashlib.sha256(
        repr((_VERSION, clip.digest, clip.device.type, asdict(options), variants, seed)).encode()
    )
    recordings = [dataset.load(int(index)) for index in indices]
    for recording in recordings:
        key.update(recording_digest(recording).encode())
    name = f"variants-{key.hexdigest()[:32]}.npz"
    kept = (read_cached(name) or {}).get("features")
    if kept is not None and kept.shape[:2] == (len(recordings), 1 + variants):
        return kept
    random = torch.Generator().manual_seed(seed)
    parts = []
    for recording in tqdm(recordings, desc="augment", unit="recording", disable=None):
        counts = histograms(recording, options)
        copies = [counts, *(_changed(counts, random) for _ in range(variants))]
        gray = np.stack([gray_frames(copy, options) for copy in copies])
        parts.append(encode_frames(clip, gray, options))
    features = np.stack(parts)
    keep(name, {"features": features})
    return features


def _changed(counts: NDArray[np.int32], random: torch.Generator) -> NDArray[np.int32]:
    """Counts [T, 2, H, W] under one random rotation and shear; every pixel takes its nearest count."""
    angle, shear = (2 * torch.rand(2, generator=random) - 1) * torch.tensor(
        [math.radians(ROTATION_DEGREES), math.radians(SHEAR_DEGREES)]
    )
    first = torch.stack([angle.cos(), shear.tan() - angle.sin(), torch.zeros(())])
    second = torch.stack([angle.sin(), angle.cos(), torch.zeros(())])
    flat = torch.from_numpy(counts).to(torch.float32).flatten(0, 1)[None]
    grid = functional.affine_grid(
        torch.stack([first, second])[None], list(flat.shape), align_corners=False
    )
    moved = functional.grid_sample(flat, grid, mode="nearest", align_corners=False)
    return moved[0].reshape(counts.shape).numpy().astype(np.int32)
