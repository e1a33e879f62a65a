"""`.bin` and `.bs2`: five bytes an event, of N-MNIST, N-Caltech101 and SLAYER.

Byte 0 is x, byte 1 is y, bit 7 of byte 2 the polarity, and the other 23 bits, highest first, the
time in µs (Orchard et al. 2015, Front. Neurosci. 9:437). An event in row 240 is none: from it on, 2^13 µs
more have passed (the data sets' own reader, event-Python; tonic reads them so too, in a time that grows
with the square of such events).
"""

from pathlib import Path

import numpy as np

from neuroclip.data.events.formats.raw import (
    RawEvents,
    Sensor,
    check_whole,
    read_bytes,
    uses,
)

# N-MNIST's sensor crop, in pixels, which the files do not hold.
NMNIST_WIDTH = 34
NMNIST_HEIGHT = 34
# N-Caltech101's pictures fill at most this (Orchard et al. 2015).
NCALTECH101_SIZE: Sensor = (240, 180)

_EVENT_BYTES = 5
OVERFLOW_ROW, OVERFLOW_US = 240, 1 << 13


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read five-byte events. Raises BadInput: unreadable, empty, or truncated."""
    content = read_bytes(path, _EVENT_BYTES)
    check_whole(path, len(content), _EVENT_BYTES)
    x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, _EVENT_BYTES).T
    t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    overflow = y == OVERFLOW_ROW
    if overflow.any():
        t += OVERFLOW_US * np.cumsum(overflow, dtype=np.int64)
        x, y, high, t = (column[~overflow] for column in (x, y, high, t))
    likely = (NMNIST_WIDTH, NMNIST_HEIGHT)
    if len(x) and uses(NCALTECH101_SIZE, int(x.max()), int(y.max())):
        likely = NCALTECH101_SIZE
    return RawEvents(x, y, t, high >> 7, None, likely)
