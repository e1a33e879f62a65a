"""`.h5` and `.hdf5`: columns of events in one of the layouts that event data sets use.

- DSEC: a group `events` (or the file itself) with the columns x, y, t, p; t in µs from the file's
  `t_offset`, where there is one. M3ED: the same in `prophesee/left`, whose camera is read.
- RPG (ESIM, e2vid, rpg_dvs_ros conversions): `events/xs`, `ys`, `ts`, `ps`; ts in seconds where it
  is a floating-point column.
- Prophesee: `CD/events`, one table with the fields x, y, p, t, which `neuroclip.storage.ecf` unpacks
  where it is in Prophesee's own compression.
- v2e: `events`, a table [events, 4] of t, x, y, p; MVSEC: `davis/left/events` of x, y, t, p (`columns`).
- Any other names of columns that `columns` knows, in the same places.

The sensor is taken from attributes of the group or the file (`width` and `height`, or
`sensor_resolution`: height, width; Prophesee's `geometry`: 640x480) or from M3ED's `calib/resolution`
(width, height). DSEC's files do not say it; they are known by `ms_to_idx` and `t_offset`. Polarity may
be 0 and 1, −1 and 1, or a boolean.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.formats.columns import from_columns, from_table, named
from neuroclip.data.events.formats.raw import RawEvents, Sensor, check_count

if TYPE_CHECKING:
    import h5py

# A place, and its columns; or the table there, with fields of these names, or of four columns.
_LAYOUTS = (
    ("events/", "xytp"),
    ("", "xytp"),
    ("prophesee/left/", "xytp"),
    ("events/", ("xs", "ys", "ts", "ps")),
)
_GROUPS = ("events", "", "prophesee/left")
_MOST_NAMES = 1000
_TABLES = ("CD/events", "events", "davis/left/events")
_WITH_ATTRIBUTES = ("events", "CD", "CD/events")
# Gehrig et al. 2021 (DSEC): what its files have beside the events, and the cameras' size.
_DSEC_MARKS, DSEC_SIZE = ("ms_to_idx", "t_offset"), (640, 480)


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read the columns in a child process (`neuroclip.storage.hdf5`); other entries are left alone.

    Raises BadInput: unreadable, damaged or hostile, no known layout, too long, not numbers.
    """
    from neuroclip.storage.hdf5 import read_hdf5

    found = read_hdf5(path, lambda file: _events(path, file))
    said = found["sensor"].tolist()
    size = (int(said[0]), int(said[1])) if said else None
    likely = DSEC_SIZE if found["dsec"] else None
    if "table" in found:
        return from_table(path, found["table"], size, likely)
    return from_columns(path, {c: found[c] for c in "xytp"}, found["unit"] or None, size, likely)


def _events(path: Path, file: "h5py.File") -> dict[str, Any]:
    """The columns x, y, t, p of an open file or their table, and its unit and sensor, empty where unsaid."""
    from neuroclip.storage import ecf
    from neuroclip.storage.hdf5 import Budget, node_of

    columns, unit = _columns(path, file)
    check_count(path, max(len(entry) for entry, _ in columns.values()))
    budget = Budget(path)
    for entry in dict.fromkeys(entry for entry, _ in columns.values()):
        budget.take(entry.name, entry)
    marks = [node_of(path, file, mark) is not None for mark in _DSEC_MARKS]
    found: dict[str, Any] = {"unit": unit or ""}
    found |= {"sensor": np.array(_sensor(path, file), np.int64), "dsec": np.array(all(marks))}
    # Prophesee's own compression is of the whole table.
    tables = dict.fromkeys(entry for entry, _ in columns.values() if ecf.compressed(entry))
    whole = {entry: ecf.read_table(path, entry) for entry in tables}
    for name, (entry, field) in columns.items():
        kind = entry.dtype if field is None else entry.dtype[field]
        if kind.kind not in "biuf" or kind.itemsize > 8:
            raise BadInput(
                f"{path}: {name} in '{entry.name}' has type {kind}, expected a number of 64 bits at most"
            )
        if field is None:
            found[name] = np.asarray(entry[:])
        else:
            found[name] = whole[entry][field] if entry in whole else entry.fields(field)[:]
    return found


def _columns(path: Path, file: "h5py.File") -> tuple[dict[str, tuple[Any, str | None]], str | None]:
    """Data sets of x, y, t and p, each with the field of it that is meant, or the one of the "table"; and
    the unit of times that their name says."""
    from neuroclip.storage.hdf5 import entry_of, node_of

    for place, names in _LAYOUTS:
        found = [entry_of(path, file, f"{place}{name}") for name in names]
        if all(entry is not None and entry.ndim == 1 for entry in found):
            return {c: (entry, None) for c, entry in zip("xytp", found, strict=True)}, None
    for place in _TABLES:
        table = entry_of(path, file, place)
        if table is not None and table.ndim == 1:
            told = _told(path, table.dtype.names or ())
            if told is not None:
                return {column: (table, name) for column, name in told[0].items()}, told[1]
        if table is not None and table.ndim == 2 and table.shape[1] == 4:
            return {"table": (table, None)}, None
    for place in _GROUPS:
        group = node_of(path, file, place) if place else file
        # Of a data set there are no names; a group of more is none of columns.
        if not hasattr(group, "keys") or len(group) > _MOST_NAMES:
            continue
        told = _told(path, [*group])
        if told is not None:
            of = {c: entry_of(path, file, f"{place}/{n}".lstrip("/")) for c, n in told[0].items()}
            if all(entry is not None and entry.ndim == 1 for entry in of.values()):
                return {column: (entry, None) for column, entry in of.items()}, told[1]
    raise BadInput(
        f"{path}: no events found; expected events/x,y,t,p, prophesee/left/x,y,t,p, "
        "events/xs,ys,ts,ps, CD/events, or a table of four columns in 'events'"
    )


def _told(path: Path, names: Sequence[str]) -> tuple[dict[str, str], str | None] | None:
    if set("xytp") <= set(names):
        return {column: column for column in "xytp"}, None
    try:
        return named(names)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _sensor(path: Path, file: "h5py.File") -> tuple[int, ...]:
    """(width, height) from the attributes of the file and of its events, or nothing."""
    from neuroclip.storage.hdf5 import entry_of, node_of

    places = (node_of(path, file, place) for place in _WITH_ATTRIBUTES)
    nodes = [file, *(node for node in places if node is not None)]
    wanted = ("sensor_resolution", "width", "height", "geometry")
    said = {name: node.attrs[name] for node in nodes for name in wanted if name in node.attrs}
    try:
        if "sensor_resolution" in said:
            height, width = (int(value) for value in said["sensor_resolution"])
            return width, height
        if {"width", "height"} <= said.keys():
            return int(said["width"]), int(said["height"])
        text = said.get("geometry", "")
        # Of fixed length it comes as bytes.
        text = text.decode("latin-1") if isinstance(text, bytes) else str(text)
        geometry = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        if geometry:
            return int(geometry[1]), int(geometry[2])
        resolution = entry_of(path, file, "prophesee/left/calib/resolution")
        if resolution is not None and resolution.shape == (2,):
            width, height = (int(value) for value in resolution[:])
            return width, height
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{path}: the sensor's size in the attributes is no number") from error
    return ()
