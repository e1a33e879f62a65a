"""`.es`, the Event Stream format 2 (github.com/neuromorphicsystems/event_stream), through the package faery.

After "Event Stream", three bytes of version and one of type come width and height, 16 bits each, then events
of a DVS (type 1) or an ATIS (type 2, of which the brightness measurements are left out). y counts from the
bottom in the file.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import RawEvents, Sensor, check_count, read_bytes

_MAGIC = b"Event Stream"
_HEADER = len(_MAGIC) + 3 + 1 + 4
_DVS, _ATIS = 1, 2
# Of a DVS: polarity and 7 bits of time, x, y. A byte alone where 127 µs pass without one, or for a reset.
_BYTES_PER_EVENT, _OVERFLOW_US, _OVERFLOW, _RESET = 5, 127, 0xFF, 0xFE


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read the events. Raises BadInput: unreadable, another version or type, truncated, no faery."""
    content = read_bytes(path, _BYTES_PER_EVENT)
    if not content.startswith(_MAGIC) or len(content) < _HEADER:
        raise BadInput(f"{path}: does not start with 'Event Stream' and a size: not an .es file")
    major, kind = content[len(_MAGIC)], content[len(_MAGIC) + 3]
    if major != 2 or kind not in (_DVS, _ATIS):
        raise BadInput(
            f"{path}: version {major}, type {kind} of Event Stream; read are version 2, "
            "types 1 (DVS) and 2 (ATIS)"
        )
    width, height = struct.unpack_from("<HH", content, _HEADER - 4)
    try:
        import faery
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{path}: reading .es files needs the package faery: pip install faery"
        ) from error
    try:
        packets = list(faery.events_stream_from_file(path, file_type="es"))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Its panics are not even exceptions.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: not a readable .es file: {reason[:200]}") from error
    if not packets:
        raise BadInput(f"{path}: the recording holds zero events")
    events = np.concatenate(packets)
    check_count(path, len(events))
    t = events["t"].astype(np.int64)
    if kind == _DVS:
        _check_end(path, content[_HEADER:], t)
    return RawEvents(events["x"], events["y"], t, events["on"], (width, height))


def _check_end(path: Path, data: bytes, t: NDArray[np.int64]) -> None:
    """Raise BadInput where a last event is cut, which faery passes over.

    All bytes are events, overflows, of which the times tell the number, or resets and overflows at the end.
    """
    overflows = int((np.diff(t, prepend=0) // _OVERFLOW_US).sum()) if len(t) else 0
    left = len(data) - _BYTES_PER_EVENT * len(t) - overflows
    resets = data.count(_RESET) + len(data) - len(data.rstrip(bytes([_OVERFLOW])))
    if left > resets or (0 < left < _BYTES_PER_EVENT and data[-left] not in (_OVERFLOW, _RESET)):
        raise BadInput(f"{path}: {left} bytes behind the last event are no event: truncated")
