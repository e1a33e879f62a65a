"""The paper's augmentation for few-shot training: rotated and sheared copies of event frames."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from deploy.progress import track
from neuroclip.clip.model import Clip, encode_frames
from neuroclip.compute.distributed import shared
from neuroclip.data.events.catalogue import EventDataset
from neuroclip.data.events.frames import FrameOptions, gray_frames, histograms
from neuroclip.data.events.recording import recording_digest
from neuroclip.storage.cache import keep, read_cached

# Guo, Chen, Ma 2023 (NeuroCLIP), public code.
ROTATION_DEGREES, SHEAR_DEGREES = 10.0, 5.0
# Counted up when the way from events to variants changes, so that no old feature is read back.
_VERSION = 2


def variant_features(
    clip: Clip,
    dataset: EventDataset,
    indices: Sequence[int] | NDArray[np.int64],
    options: FrameOptions,
    variants: int,
    seed: int,
) -> NDArray[np.float32]:
    """Features float32 [recordings, 1 + variants, T, C], not normalised: each as it is, then changed.

    All frames of a variant are rotated by up to ±10° and sheared by up to ±5° alike, as counts,
    before they become gray; where the data set's card lets them be mirrored, half of them are.
    Kept in the cache folder by content. Raises BadInput naming a bad recording.
    """
    mirrored = ("mirrored",) if dataset.card.mirrored else ()
    made_of = (
        _VERSION,
        clip.identity,
        clip.device.type,
        asdict(options),
        variants,
        seed,
        *mirrored,
    )
    key = hashlib.sha256(repr(made_of).encode())
    recordings = [dataset.load(int(index)) for index in indices]
    for recording in recordings:
        key.update(recording_digest(recording).encode())
    name = f"variants-{key.hexdigest()[:32]}.npz"
    kept = (read_cached(name) or {}).get("features")
    if kept is not None and kept.shape[:2] == (len(recordings), 1 + variants):
        return kept
    # All are drawn before the recordings are shared among processes.
    random = torch.Generator().manual_seed(seed)
    drawn = torch.rand(len(recordings), variants, 2, generator=random)
    flips = torch.rand(len(recordings), variants, generator=random) < 0.5
    flips &= dataset.card.mirrored

    def encoded(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = []
        for number in track(numbers, desc="augment", unit="recording"):
            counts = histograms(recordings[number], options)
            changed = zip(drawn[number], flips[number].tolist(), strict=True)
            copies = [counts, *(_changed(counts, pair, flip) for pair, flip in changed)]
            gray = np.stack([gray_frames(copy, options) for copy in copies])
            parts.append(encode_frames(clip, gray, options, raw=True))
        return np.stack(parts)

    features = shared(np.arange(len(recordings)), encoded)
    keep(name, {"features": features})
    return features


def _changed(counts: NDArray[np.int32], drawn: torch.Tensor, flip: bool) -> NDArray[np.int32]:
    """Counts [T, 2, H, W] rotated and sheared by two numbers in 0..1, mirrored before with `flip`;
    pixels take the nearest count."""
    if flip:
        counts = counts[..., ::-1].copy()
    angle, shear = (2 * drawn - 1) * torch.tensor(
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
