"""What every reader of event files shares: its result, and bytes read under a limit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deploy.errors import BadInput

# 50 million events take 850 MB as a `Recording`; the recordings of classification data sets hold
# some thousands to a few millions.
MAX_EVENTS = 50_000_000

Sensor = tuple[int, int]
"""Width and height of a sensor in pixels."""


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events as a file holds them, not yet checked: integers [events] each, and the sensor.

    sensor: None where neither the file nor its format says it.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[Any]
    p: NDArray[Any]
    sensor: Sensor | None


def read_bytes(path: Path, event_bytes: int) -> bytes:
    """All bytes of an event file. Raises BadInput naming it: unreadable, too large, or empty."""
    limit = MAX_EVENTS * event_bytes
    try:
        size = path.stat().st_size
        if size > limit:
            raise BadInput(f"{path}: {size} bytes of events exceed the limit of {limit}")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror or error}") from error
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


def header_lines(content: bytes, mark: bytes) -> tuple[list[str], int]:
    """The leading lines that start with `mark`, without it, and where the data begin."""
    lines, start = [], 0
    while content.startswith(mark, start):
        end = content.find(b"\n", start)
        # A first data byte may equal the mark: a line that is not text is no header.
        line = content[start : end if end >= 0 else len(content)]
        if end < 0 or not line.rstrip(b"\r").isascii() or b"\0" in line:
            break
        lines.append(line[len(mark) :].decode("ascii").strip())
        start = end + 1
    return lines, start
