"""CLIP features of event recordings, computed once and kept on disk by content."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from deploy.progress import track
from neuroclip.clip.model import Clip, encode_frames, normalised
from neuroclip.compute.distributed import shared
from neuroclip.data.events.catalogue import EventDataset
from neuroclip.data.events.frames import FrameOptions, frames
from neuroclip.data.events.recording import recording_digest
from neuroclip.storage.cache import keep, read_cached

# Counted up when the way from events to features changes, so that no old feature is read back.
_VERSION = 2
# Recordings whose frames are held at once: 10 frames of 256×256 each are 42 MB.
_RECORDINGS_AT_ONCE, _BYTES_AT_ONCE = 64, 64 << 20


def dataset_features(
    clip: Clip,
    dataset: EventDataset,
    indices: Sequence[int] | NDArray[np.int64],
    options: FrameOptions,
    raw: bool = False,
) -> NDArray[np.float32]:
    """L2-normalised features float32 [len(indices), T, C] of recordings, in the indices' order.

    Kept in the cache folder under the hash of all that shapes them: the CLIP (see `Clip.identity`), the
    frame options, the recordings' content and the kind of device (whose rounding differs).
    raw: as the encoder makes them, not normalised. Raises BadInput naming a bad recording.
    """
    key = hashlib.sha256(
        repr((_VERSION, clip.identity, clip.device.type, asdict(options))).encode()
    )
    # Every recording is read once for its hash, so that a large data set is never held in memory.
    for index in track(indices, desc="events", unit="recording", leave=False):
        key.update(recording_digest(dataset.load(int(index))).encode())
    name = f"features-{key.hexdigest()[:32]}.npz"
    kept = (read_cached(name) or {}).get("features")
    if (
        kept is not None
        and kept.ndim == 3
        and kept.shape[:2] == (len(indices), options.steps)
        and kept.dtype == np.float32
    ):
        return kept if raw else normalised(kept)
    features = shared(indices, lambda part: _encoded(clip, dataset, part, options))
    keep(name, {"features": features})
    return features if raw else normalised(features)


def _encoded(
    clip: Clip, dataset: EventDataset, indices: NDArray[np.int64], options: FrameOptions
) -> NDArray[np.float32]:
    parts = []
    with track(total=len(indices), desc=f"CLIP {clip.name}", unit="recording") as progress:
        held: list[NDArray[np.uint8]] = []
        for number, index in enumerate(indices, start=1):
            held.append(frames(dataset.load(int(index)), options))
            room = min(_RECORDINGS_AT_ONCE, max(1, _BYTES_AT_ONCE // held[0].nbytes))
            ends = number == len(indices) or len(held) == room
            if not ends and held[-1].shape == held[0].shape:
                continue
            # Recordings of another sensor begin a new part.
            for same in (held,) if held[-1].shape == held[0].shape else (held[:-1], held[-1:]):
                parts.append(encode_frames(clip, np.stack(same), options, raw=True))
            progress.update(len(held))
            held = []
    return np.concatenate(parts)
