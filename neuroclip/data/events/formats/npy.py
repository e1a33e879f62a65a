"""`.npy`: a structured array with fields called x, y, t and p, or a plain one of four columns (`columns`)."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npy
from neuroclip.data.events.formats.columns import from_columns, from_table, named
from neuroclip.data.events.formats.raw import MAX_EVENTS, RawEvents, Sensor

# x, y, t and p of 64 bits each.
_BYTES_PER_EVENT = 32


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read events. Raises BadInput: unreadable, objects, no events, an order that cannot be told."""
    return from_array(path, read_npy(path, MAX_EVENTS * _BYTES_PER_EVENT))


def from_array(path: Path, array: NDArray[Any], sensor: Sensor | None = None) -> RawEvents:
    """Events of one array, structured or plain. Raises BadInput as `read` does."""
    if array.dtype.names is None:
        return from_table(path, array, sensor)
    try:
        found = named(array.dtype.names)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if found is None:
        raise BadInput(
            f"{path}: its fields are {', '.join(array.dtype.names)[:100]}; events have x, y, t and p"
        )
    columns, unit = found
    return from_columns(path, {c: array[name] for c, name in columns.items()}, unit, sensor)
