"""`.h5` and `.hdf5`: columns of events in one of the layouts that event data sets use.

- DSEC and M3ED: a group `events` (or the file itself) with the columns x, y, t, p; t in µs from the
  file's `t_offset`, where there is one.
- RPG (ESIM, e2vid, rpg_dvs_ros conversions): `events/xs`, `ys`, `ts`, `ps`; ts in seconds where it
  is a floating-point column.
- Prophesee: `CD/events`, one table with the fields x, y, p, t.

The sensor is taken from attributes of the group or the file: `width` and `height`, or
`sensor_resolution` (height, width). Polarity may be 0 and 1, −1 and 1, or a boolean.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import MAX_EVENTS, RawEvents, Sensor

_LAYOUTS = (
    ("events", "xytp"),
    ("", "xytp"),
    ("events", ("xs", "ys", "ts", "ps")),
    ("CD/events", None),
    ("events", None),
)


def read(path: Path) -> RawEvents:
    """Read the columns. Raises BadInput: unreadable, no known layout, too long, not numbers."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            columns = _columns(path, file)
            sensor = _sensor(path, file)
            lengths = [len(column) for column in columns]
            if max(lengths) > MAX_EVENTS:
                raise BadInput(f"{path}: {max(lengths)} events exceed the limit of {MAX_EVENTS}")
            x, y, t, p = (np.asarray(column[:]) for column in columns)
    except OSError as error:
        reason = " ".join(str(error.strerror or error).split())
        hint = "; its compression may need: pip install hdf5plugin" if "filter" in reason else ""
        raise BadInput(f"{path}: cannot read: {reason}{hint}") from error
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise BadInput(f"{path}: damaged: {' '.join(str(error).split())}") from error
    return RawEvents(x, y, _microseconds(path, t), _bits(p), sensor)


def _columns(path: Path, file: Any) -> list[Any]:
    import h5py

    for group, names in _LAYOUTS:
        node = file.get(group) if group else file
        if names is None and isinstance(node, h5py.Dataset) and node.dtype.names:
            if set("xytp") <= set(node.dtype.names):
                return [_Field(node, name) for name in "xytp"]
        elif names is not None and isinstance(node, h5py.Group):
            found = [node.get(name) for name in names]
            if all(isinstance(c, h5py.Dataset) and c.ndim == 1 for c in found):
                return found
    raise BadInput(
        f"{path}: no events found; expected events/x,y,t,p, events/xs,ys,ts,ps or CD/events"
    )


class _Field:
    """One field of a table of events, with a column's length and slicing."""

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, where: slice) -> NDArray[Any]:
        return np.asarray(self.table.fields(self.name)[where])


def _sensor(path: Path, file: Any) -> Sensor | None:
    nodes = [file, *(file[name] for name in ("events", "CD", "CD/events") if name in file)]
    attributes: dict[str, Any] = {}
    for node in nodes:
        attributes.update(node.attrs)
    try:
        if "sensor_resolution" in attributes:
            height, width = (int(value) for value in attributes["sensor_resolution"])
            return width, height
        if {"width", "height"} <= attributes.keys():
            return int(attributes["width"]), int(attributes["height"])
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: the sensor's size in the attributes is no number") from error
    return None


def _microseconds(path: Path, t: NDArray[Any]) -> NDArray[Any]:
    """Times as integers of µs; floating-point columns are seconds."""
    if t.dtype.kind != "f":
        return t
    bad = np.flatnonzero(~np.isfinite(t) | (np.abs(t) > math.ldexp(1, 42)))
    if len(bad):
        raise BadInput(f"{path}: event {int(bad[0])} has t = {t[bad[0]]} s")
    return np.rint(t * 1e6).astype(np.int64)


def _bits(p: NDArray[Any]) -> NDArray[Any]:
    """Polarities −1 and 1 as 0 and 1; everything else stays for the checks of `Recording`."""
    if p.dtype.kind == "i" and len(p) and p.min() == -1 and not (p == 0).any():
        return np.where(p == -1, 0, p)
    return p
