"""What every reader of event files shares: its result, and bytes read under a limit."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.reading import opened, require_memory

# The recordings of classification data sets hold some thousands to a few millions.
MAX_EVENTS = 50_000_000
# Of an event as a file's columns, as a `Recording`, and while it is checked.
_BYTES = 64

# Events may stand a little behind later ones, as they left the sensor's columns or a driver's buffers;
# more than this is not a recording in order. No slice of a recording is as short.
MAX_LATE_US = 1000

Sensor = tuple[int, int]
"""Width and height of a sensor in pixels."""


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events as a file holds them, not yet checked: integers [events] each, and the sensor.

    sensor: None where neither the file nor its format says it. likely: the one of the data set whose
    files are called or laid out so, unless an event lies outside it.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]
    sensor: Sensor | None
    likely: Sensor | None = None


def check_count(path: Path, events: int) -> None:
    """Raises BadInput where a file declares more events than there may be, or than memory holds."""
    if events > MAX_EVENTS:
        raise BadInput(f"{path}: {events} events exceed the limit of {MAX_EVENTS}")
    require_memory(f"{path}: its {events} events: what it holds", events * _BYTES)


def read_bytes(path: Path, event_bytes: int) -> bytes:
    """All bytes of an event file. Raises BadInput naming it: unreadable, too large, or empty."""
    with opened(path) as stream:
        check_count(path, os.fstat(stream.fileno()).st_size // event_bytes)
        content = stream.read(MAX_EVENTS * event_bytes)
    if not content:
        raise BadInput(f"{path}: the recording holds zero events")
    return content


def check_whole(path: Path, size: int, event_bytes: int) -> None:
    """Raises BadInput where `size` bytes are not whole events."""
    if size % event_bytes:
        raise BadInput(
            f"{path}: {size} bytes are not whole events of {event_bytes} bytes: truncated, "
            f"event {size // event_bytes} is cut"
        )


def uses(sensor: Sensor, x: int, y: int) -> bool:
    """Whether events up to a column and a row show a sensor: within it, and beyond ¾ of a side."""
    return x < sensor[0] and y < sensor[1] and (4 * x >= 3 * sensor[0] or 4 * y >= 3 * sensor[1])


def unwrapped(t: NDArray[np.int64], loop: int) -> NDArray[np.int64]:
    """Times of a counter that starts again at 0 after loop - 1, each half a loop back being a new one."""
    return t + loop * np.cumsum(np.diff(t, prepend=t[:1]) <= -(loop // 2), dtype=np.int64)


def header_lines(content: bytes, mark: bytes, end: str = "") -> tuple[list[str], int]:
    """The leading lines that start with `mark`, without it, and where the data begin.

    end: what the last of them says, in whatever case, where there is such a line. Bytes beyond ASCII are
    text, in whatever encoding; the first event may start like a header, but holds bytes that no text does.
    """
    lines: list[str] = []
    start = 0
    while content.startswith(mark, start):
        stop = content.find(b"\n", start)
        line = content[start : stop if stop >= 0 else len(content)].rstrip(b"\r")
        if stop < 0 or any(byte < 32 and byte != 9 for byte in line) or 127 in line:
            break
        start = stop + 1
        said = line[len(mark) :].decode("utf-8", "replace").strip()
        if end and said.lower() == end:
            break
        lines.append(said)
    return lines, start
