"""`.npz`: ours, SpikingJelly's converted data sets, N-ImageNet's, EventCLIP's and ES-ImageNet's.

- columns called x, y, t, p [events] with width and height (`recording.save_recording`), or without them
  (SpikingJelly's `events_np` folders);
- one array of events, structured or of four columns (N-ImageNet's `event_data`; see `npy`);
- ES-ImageNet: `pos` and `neg`, integers [events, 3] of row, column and time step 1 … 8, of one
  polarity each (Lin et al. 2021, Front. Neurosci. 15:726582, public loader).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz
from neuroclip.data.events.formats.columns import from_columns, named
from neuroclip.data.events.formats.npy import from_array
from neuroclip.data.events.formats.raw import RawEvents, Sensor, check_count

ES_IMAGENET_SIZE = 256
"""Side in pixels of the square that ES-ImageNet's pictures, of at most 254, are centred on."""

_FIELDS = ("x", "y", "t", "p")
# Of an array of events: four; of any other, not worth the memory.
_MOST_COLUMNS = 8


def read(path: Path, sensor: Sensor | None = None, margin: tuple[int, int] = (0, 0)) -> RawEvents:
    """Read events. margin: columns and rows before an ES-ImageNet picture, 0 where not known.

    Raises BadInput: unreadable, a field is missing or no number.
    """
    arrays = read_npz(path, wanted=lambda _, *head: _wanted(path, *head))
    if {"pos", "neg"} <= arrays.keys():
        return _es_imagenet(path, arrays, margin)
    said = _sensor(path, arrays)
    try:
        found = named(list(arrays))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if found is not None:
        columns, unit = found
        return from_columns(path, {c: arrays[name] for c, name in columns.items()}, unit, said)
    others = [name for name in arrays if name not in ("width", "height")]
    if len(others) == 1 and others[0] not in _FIELDS:
        return from_array(path, arrays[others[0]], said)
    missing = [field for field in _FIELDS if field not in arrays]
    raise BadInput(f"{path}: no field '{missing[0]}'; an event recording holds {_FIELDS}")


def _wanted(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array may be one of events; what it declares is checked before it is read."""
    if dtype.names is None and dtype.kind not in "biuf":
        return False
    check_count(path, shape[0] if shape else 0)
    return len(shape) <= 1 or math.prod(shape[1:]) <= _MOST_COLUMNS


def _sensor(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Sensor | None:
    if "width" not in arrays and "height" not in arrays:
        return None
    for field in ("width", "height"):
        if field not in arrays:
            raise BadInput(f"{path}: no field '{field}'")
        if arrays[field].shape != () or arrays[field].dtype.kind not in "iu":
            raise BadInput(f"{path}: field '{field}' is not one integer")
    return int(arrays["width"]), int(arrays["height"])


def _es_imagenet(
    path: Path, arrays: Mapping[str, NDArray[Any]], margin: tuple[int, int]
) -> RawEvents:
    for name in ("pos", "neg"):
        if arrays[name].ndim != 2 or arrays[name].shape[1] != 3:
            raise BadInput(f"{path}: '{name}' has shape {arrays[name].shape}, expected [events, 3]")
        if arrays[name].dtype.kind not in "iu":
            raise BadInput(f"{path}: '{name}' is {arrays[name].dtype}, expected integers")
    events = np.concatenate([arrays["pos"], arrays["neg"]]).astype(np.int64)
    p = np.repeat([1, 0], [len(arrays["pos"]), len(arrays["neg"])])
    order = np.argsort(events[:, 2], kind="stable")
    y, x, t = events[order].T
    side = ES_IMAGENET_SIZE
    return RawEvents(x + margin[0], y + margin[1], t, p[order], (side, side))
