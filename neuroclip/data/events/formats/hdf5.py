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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import RawEvents, check_count

if TYPE_CHECKING:
    import h5py

# A place, and its columns; or the table there, with fields of these names.
_LAYOUTS = (("events/", "xytp"), ("", "xytp"), ("events/", ("xs", "ys", "ts", "ps")))
_TABLES = ("CD/events", "events")


def read(path: Path) -> RawEvents:
    """Read the columns in a child process (`neuroclip.storage.hdf5`); other entries are left alone.

    Raises BadInput: unreadable, damaged or hostile, no known layout, too long, not numbers.
    """
    from neuroclip.storage.hdf5 import read_hdf5

    found = read_hdf5(path, lambda file: _events(path, file))
    said = found["sensor"].tolist()
    sensor = (int(said[0]), int(said[1])) if said else None
    return RawEvents(
        found["x"], found["y"], _microseconds(path, found["t"]), _bits(found["p"]), sensor
    )


def _events(path: Path, file: "h5py.File") -> dict[str, NDArray[Any]]:
    """The columns x, y, t, p of an open file, and its sensor [width, height], empty where unsaid."""
    from neuroclip.storage.hdf5 import Budget

    columns = _columns(path, file)
    longest, budget = max(len(entry) for entry, _ in columns), Budget(path)
    check_count(path, longest)
    for entry in dict.fromkeys(entry for entry, _ in columns):
        budget.take(entry.name, entry)
    found = {"sensor": np.array(_sensor(path, file), np.int64)}
    for name, (entry, field) in zip("xytp", columns, strict=True):
        kind = entry.dtype if field is None else entry.dtype[field]
        if kind.kind not in "biuf" or kind.itemsize > 8:
            raise BadInput(
                f"{path}: {name} in '{entry.name}' has type {kind}, expected a number of 64 bits at most"
            )
        found[name] = np.asarray(entry[:] if field is None else entry.fields(field)[:])
    return found


def _columns(path: Path, file: "h5py.File") -> list[tuple[Any, str | None]]:
    """Data sets of x, y, t and p, each with the field of it that is meant, in a table of all four."""
    from neuroclip.storage.hdf5 import entry_of

    for place, names in _LAYOUTS:
        found = [entry_of(path, file, f"{place}{name}") for name in names]
        if all(entry is not None and entry.ndim == 1 for entry in found):
            return [(entry, None) for entry in found]
    for place in _TABLES:
        table = entry_of(path, file, place)
        if table is not None and table.ndim == 1 and set("xytp") <= set(table.dtype.names or ()):
            return [(table, name) for name in "xytp"]
    raise BadInput(
        f"{path}: no events found; expected events/x,y,t,p, events/xs,ys,ts,ps or CD/events"
    )


def _sensor(path: Path, file: "h5py.File") -> tuple[int, ...]:
    """(width, height) from the attributes of the file and of its events, or nothing."""
    from neuroclip.storage.hdf5 import node_of

    places = (node_of(path, file, place) for place in ("events", "CD", "CD/events"))
    nodes = [file, *(node for node in places if node is not None)]
    wanted = ("sensor_resolution", "width", "height")
    said = {name: node.attrs[name] for node in nodes for name in wanted if name in node.attrs}
    try:
        if "sensor_resolution" in said:
            height, width = (int(value) for value in said["sensor_resolution"])
            return width, height
        if {"width", "height"} <= said.keys():
            return int(said["width"]), int(said["height"])
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{path}: the sensor's size in the attributes is no number") from error
    return ()


def _microseconds(path: Path, t: NDArray[Any]) -> NDArray[Any]:
    """Times as integers of µs; floating-point columns are seconds."""
    if t.dtype.kind != "f":
        return t
    t = t.astype(np.float64)  # a half would end at 65 504 µs
    bad = np.flatnonzero(~np.isfinite(t) | (np.abs(t) > math.ldexp(1, 42)))
    if len(bad):
        raise BadInput(f"{path}: event {int(bad[0])} has t = {t[bad[0]]} s")
    return np.rint(t * 1e6).astype(np.int64)


def _bits(p: NDArray[Any]) -> NDArray[Any]:
    """Polarities −1 and 1 as 0 and 1; everything else stays for the checks of `Recording`."""
    if p.dtype.kind == "i" and len(p) and p.min() == -1 and not (p == 0).any():
        return np.where(p == -1, 0, p)
    return p
