"""The bundled data: scikit-learn's 1 797 handwritten digits, as pictures and as event streams."""

import gzip
import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from deploy.progress import track
from neuroclip.data.events.camera import CameraParameters, simulate
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.recording import Recording
from neuroclip.data.seen import picture_id
from neuroclip.data.split import redealt, stratified_split
from neuroclip.storage.cache import keep, read_cached

# MNIST's own layout (LeCun et al. 1998): a digit fills a box of 20×20 in a picture of 28×28.
PICTURE_SIZE = 28
_BOX_SIZE = 20

# Train, validation, test: fixed with the split's seed, the test part is never used for a choice.
SPLIT_SIZES = (1000, 297, 500)
# Counted up when the simulator's arithmetic changes, so that no old stream is read back.
_SIMULATOR_VERSION = 1


@lru_cache(maxsize=1)
def digit_pictures() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The digits as pictures uint8 [1797, 28, 28], white on black, and labels int64 [1797].

    8×8 pixels of 0..16 (UCI optical recognition of handwritten digits, test part, as scikit-learn
    ships it), enlarged to 20×20 with cubic splines and set in the middle of 28×28.
    """
    values = _shipped()
    small = values[:, :-1].reshape(-1, 8, 8) / 16
    scale = _BOX_SIZE / small.shape[1]
    # Splines along rows and columns are linear: what they make of each pixel is found once, not a picture.
    enlarge = zoom(
        np.eye(small.shape[1]), (1, scale), order=3, mode="grid-constant", grid_mode=True
    )
    large = enlarge.T @ small @ enlarge
    margin = (PICTURE_SIZE - _BOX_SIZE) // 2
    pictures = np.zeros((len(large), PICTURE_SIZE, PICTURE_SIZE), dtype=np.uint8)
    inner = slice(margin, margin + _BOX_SIZE)
    pictures[:, inner, inner] = np.round(np.clip(large, 0, 1) * 255)
    return pictures, values[:, -1].astype(np.int64)


def _shipped() -> NDArray[np.float64]:
    """scikit-learn's file of the digits, [1797, 64 pixels and the class], as its `load_digits` reads it.

    Without importing scikit-learn, which takes longer than all that is done with the pictures.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        return np.loadtxt(file, delimiter=",")


def digits_split(seed: int = 0) -> tuple[NDArray[np.int64], ...]:
    """Train (1000), validation (297) and test (500) indices, sorted int64, stratified by class.

    The test part is the same for every seed.
    """
    _, labels = digit_pictures()
    return tuple(redealt(stratified_split(labels, SPLIT_SIZES, 0), labels, seed))


def digit_id(index: int) -> int:
    """The id of a digit, the same for its picture and for the events that it makes."""
    picture = digit_pictures()[0][index]
    return picture_id(np.repeat(picture[:, :, None], 3, axis=2))


def digits_dataset(card: DatasetCard, seed: int = 0) -> EventDataset:
    """The digits as event recordings of the simulated camera; streams are cached on disk.

    seed: of the split. The streams are made when the first recording is loaded.
    """
    _, labels = digit_pictures()
    train, validation, test = digits_split(seed)
    names = _names(len(labels))
    return EventDataset(
        card=card,
        names=names,
        labels=labels,
        class_names=card.class_names,
        train=train,
        validation=validation,
        test=test,
        load=lambda index: _streams(CameraParameters()).recording(index, names[index]),
        identify=digit_id,
    )


@dataclass(frozen=True, eq=False)
class _Streams:
    """All recordings end to end; recording i is events[ends[i] : ends[i + 1]]."""

    x: NDArray[np.uint8]
    y: NDArray[np.uint8]
    t: NDArray[np.int32]
    p: NDArray[np.uint8]
    ends: NDArray[np.int64]
    width: int
    height: int

    def recording(self, index: int, name: str) -> Recording:
        own = slice(int(self.ends[index]), int(self.ends[index + 1]))
        return Recording(
            self.x[own].astype(np.int32),
            self.y[own].astype(np.int32),
            self.t[own].astype(np.int64),
            self.p[own],
            self.width,
            self.height,
            name,
        )


@lru_cache(maxsize=2)
def _streams(parameters: CameraParameters) -> _Streams:
    pictures, _ = digit_pictures()
    key = hashlib.sha256(repr((_SIMULATOR_VERSION, asdict(parameters))).encode())
    key.update(pictures.tobytes())
    name = f"digits-events-{key.hexdigest()[:32]}.npz"
    kept = read_cached(name)
    if kept is not None and _is_complete(kept, len(pictures)):
        return _Streams(**kept, width=parameters.width, height=parameters.height)
    recordings = list(
        track(
            simulate(pictures, parameters, _names(len(pictures))),
            total=len(pictures),
            desc="event streams",
            unit="digit",
        )
    )
    arrays: dict[str, NDArray[Any]] = {
        "x": np.concatenate([r.x for r in recordings]).astype(np.uint8),
        "y": np.concatenate([r.y for r in recordings]).astype(np.uint8),
        "t": np.concatenate([r.t for r in recordings]).astype(np.int32),
        "p": np.concatenate([r.p for r in recordings]),
        "ends": np.cumsum([0] + [len(r) for r in recordings], dtype=np.int64),
    }
    keep(name, arrays)
    return _Streams(**arrays, width=parameters.width, height=parameters.height)


def _is_complete(arrays: dict[str, NDArray[Any]], count: int) -> bool:
    if set(arrays) != {"x", "y", "t", "p", "ends"} or arrays["ends"].shape != (count + 1,):
        return False
    return all(arrays[field].shape == (int(arrays["ends"][-1]),) for field in "xytp")


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"digits/{index:04d}" for index in range(count))
