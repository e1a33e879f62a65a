"""`.bin` and `.bs2`: five bytes an event, of N-MNIST, N-Caltech101 and SLAYER.

Byte 0 is x, byte 1 is y, bit 7 of byte 2 the polarity, and the other 23 bits, highest first, the
time in µs (Orchard et al. 2015, Front. Neurosci. 9:437). y = 240 marks an overflow of the time.
"""

from pathlib import Path

import numpy as np

from neuroclip.data.events.formats.raw import RawEvents, check_whole, read_bytes

# N-MNIST's sensor crop, in pixels, which the files do not hold.
NMNIST_WIDTH = 34
NMNIST_HEIGHT = 34

_EVENT_BYTES = 5
_OVERFLOW_ROW, _OVERFLOW_US = 240, 1 << 13


def read(path: Path) -> RawEvents:
    """Read five-byte events. Raises BadInput: unreadable, empty, or truncated.

    As `tonic.io.read_mnist_file`, which goes through all later events for each overflow.
    """
    content = read_bytes(path, _EVENT_BYTES)
    check_whole(path, len(content), _EVENT_BYTES)
    x, y, *rest = np.frombuffer(content, np.uint8).reshape(-1, _EVENT_BYTES).astype(np.int64).T
    overflows = y == _OVERFLOW_ROW
    t = (rest[0] & 127) << 16 | rest[1] << 8 | rest[2]
    t += np.cumsum(overflows) * _OVERFLOW_US
    events = ~overflows
    return RawEvents(x[events], y[events], t[events], (rest[0] >> 7)[events], None)
