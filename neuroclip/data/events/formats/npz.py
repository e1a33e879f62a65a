"""`.npz`: ours, SpikingJelly's converted data sets, and ES-ImageNet's.

- x, y, t, p [events] with width and height (`recording.save_recording`), or without them
  (SpikingJelly's `events_np` folders);
- ES-ImageNet: `pos` and `neg`, integers [events, 3] of row, column and time step 1 … 8, of one
  polarity each (Lin et al. 2021, Front. Neurosci. 15:726582, public loader).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import BadInput
from deploy.files import read_npz
from neuroclip.data.events.formats.raw import RawEvents, check_count

ES_IMAGENET_SIZE = 256
"""Side in pixels of the square that ES-ImageNet's pictures, of at most 254, are centred on."""

_FIELDS = ("x", "y", "t", "p")


def read(path: Path, margin: tuple[int, int] = (0, 0)) -> RawEvents:
    """Read events. margin: columns and rows before an ES-ImageNet picture, 0 where not known.

    Raises BadInput: unreadable, a field is missing or no number.
    """
    arrays = read_npz(path, wanted=lambda *head: _wanted(path, *head))
    if {"pos", "neg"} <= arrays.keys():
        for name in ("pos", "neg"):
            if arrays[name].ndim != 2 or arrays[name].shape[1] != 3:
                raise BadInput(
                    f"{path}: '{name}' has shape {arrays[name].shape}, expected [events, 3]"
                )
            if arrays[name].dtype.kind not in "iu":
                raise BadInput(f"{path}: '{name}' is {arrays[name].dtype}, expected integers")
        events = np.concatenate([arrays["pos"], arrays["neg"]]).astype(np.int64)
        p = np.repeat([1, 0], [len(arrays["pos"]), len(arrays["neg"])])
        order = np.argsort(events[:, 2], kind="stable")
        y, x, t = events[order].T
        side = ES_IMAGENET_SIZE
        return RawEvents(x + margin[0], y + margin[1], t, p[order], (side, side))
    missing = [field for field in _FIELDS if field not in arrays]
    if missing:
        raise BadInput(f"{path}: no field '{missing[0]}'; an event recording holds {_FIELDS}")
    sensor = None
    if "width" in arrays or "height" in arrays:
        for field in ("width", "height"):
            if field not in arrays:
                raise BadInput(f"{path}: no field '{field}'")
            if arrays[field].shape != () or arrays[field].dtype.kind not in "iu":
                raise BadInput(f"{path}: field '{field}' is not one integer")
        sensor = int(arrays["width"]), int(arrays["height"])
    return RawEvents(arrays["x"], arrays["y"], arrays["t"], arrays["p"], sensor)


def _wanted(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is one of events; what it declares is checked before it is read."""
    if name not in (*_FIELDS, "pos", "neg", "width", "height"):
        return False
    if dtype.kind not in "biuf":
        raise BadInput(f"{path}: '{name}' is {dtype}, expected numbers")
    check_count(path, math.prod(shape))
    return True
