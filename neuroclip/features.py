"""CLIP features of event recordings, computed once and kept on disk by content."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from neuroclip.clip import Clip, encode_frames
from neuroclip.data import EventDataset
from neuroclip.data.cache import cache_folder
from neuroclip.events import recording_digest
from neuroclip.frames import FrameOptions, frames

# Counted up when the way from events to features changes, so that no old feature is read back.
_VERSION = 1
# Frames held at once, in recordings: 10 frames of 256×256 each are 170 MB.
_RECORDINGS_AT_ONCE = 256


def dataset_features(
    clip: Clip,
    dataset: EventDataset,
    indices: Sequence[int] | NDArray[np.int64],
    options: FrameOptions,
) -> NDArray[np.float32]:
    """L2-normalised features float32 [len(indices), T, C] of recordings, in the indices' order.

    Kept in the cache folder under the hash of the weights, the frame options, the recordings'
    content and the kind of device (whose rounding differs). Raises BadInput naming a bad recording.
    """
    key = hashlib.sha256(repr((_VERSION, clip.digest, clip.device.type, asdict(options))).encode())
    recordings = [
        dataset.load(int(index))
        for index in tqdm(indices, desc="events", disable=None, leave=False)
    ]
    for recording in recordings:
        key.update(recording_digest(recording).encode())
    path = cache_folder() / f"features-{key.hexdigest()[:32]}.npz"
    kept = _read(path, len(recordings), options.steps)
    if kept is not None:
        return kept
    parts = []
    with tqdm(
        total=len(recordings), desc=f"CLIP {clip.name}", unit="recording", disable=None
    ) as bar:
        for start in range(0, len(recordings), _RECORDINGS_AT_ONCE):
            chunk = recordings[start : start + _RECORDINGS_AT_ONCE]
            parts.append(
                encode_frames(clip, np.stack([frames(item, options) for item in chunk]), options)
            )
            bar.update(len(chunk))
    features = np.concatenate(parts)
    write_npz(path, {"features": features})
    return features


def _read(path: Path, count: int, steps: int) -> NDArray[np.float32] | None:
    """Features kept at `path`, or None where there are none or the file is damaged."""
    if not path.exists():
        return None
    try:
        features = read_npz(path).get("features")
    except BadInput:
        return None
    if features is None or features.shape[:2] != (count, steps) or features.dtype != np.float32:
        return None
    return features
