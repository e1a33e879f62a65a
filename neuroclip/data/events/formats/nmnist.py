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
_TONIC_EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.uint8)])


def read(path: Path) -> RawEvents:
    """Read five-byte events through tonic. Raises BadInput: unreadable, empty, or truncated."""
    from tonic.io import read_mnist_file

    check_whole(path, len(read_bytes(path, _EVENT_BYTES)), _EVENT_BYTES)
    events = read_mnist_file(str(path), dtype=_TONIC_EVENT)
    return RawEvents(events["x"], events["y"], events["t"], events["p"], None)
