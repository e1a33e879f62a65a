"""`.dat` of Prophesee: a header (`prophesee`), two bytes, eight bytes an event.

The two bytes are the type and the size of an event; a file without a header has neither. An event is two
little-endian 32-bit words: time in µs, which starts again at 0 after 2^32, and an address. From version 2
on the address holds x in bits 0–13, y in bits 14–27 and the polarity in bit 28; before, x in bits 0–8, y in
bits 9–16, the polarity in bit 17 (Prophesee's DAT file format, and `load_atis_data` of its toolbox). Where no
version is said, an address beyond the older ones' 21 bits shows that it is the newer. y counts from the top.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.prophesee import read_header
from neuroclip.data.events.formats.raw import (
    RawEvents,
    Sensor,
    check_whole,
    read_bytes,
    unwrapped,
)

EVENT = np.dtype([("t", "<u4"), ("address", "<u4")])
# 2D time-difference events, and contrast detection events: the same eight bytes.
_EVENT_TYPES = (0x00, 0x0C)
_OLD_ADDRESS_BITS = 21
# Where y and the polarity begin in an address, of version 2 and before.
NEW_BITS, OLD_BITS = (14, 28), (9, 17)

# Sensors by the names of the data sets' files (Prophesee's documentation of Gen1, 1 Mpx and N-Cars; of the
# last the recordings are cut out, to 120×100 at most: Sironi et al. 2018).
_NAMES: tuple[tuple[str, Sensor], ...] = (
    (r"\d\d-\d\d-\d\d_.*_td\.dat", (304, 240)),
    (r"moorea_.*_td\.dat", (1280, 720)),
    (r"obj_\d+_td\.dat", (120, 100)),
)


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read contrast events. Raises BadInput: unreadable, another event type, or truncated."""
    content = read_bytes(path, EVENT.itemsize)
    header = read_header(content)
    start = header.start
    if start:
        if len(content) < start + 2:
            raise BadInput(f"{path}: ends within its header of {start} bytes: truncated")
        check_kind(path, content[start], content[start + 1])
        start += 2
    check_whole(path, len(content) - start, EVENT.itemsize)
    events = np.frombuffer(content, EVENT, offset=start)
    address = events["address"].astype(np.int64)
    x, y, p = addresses(address, NEW_BITS if is_new(path, header.fields, address) else OLD_BITS)
    t = unwrapped(events["t"].astype(np.int64), 1 << 32)
    likely = next((size for name, size in _NAMES if re.fullmatch(name, path.name.lower())), None)
    return RawEvents(x, y, t, p, header.sensor, likely)


def check_kind(path: Path, kind: int, size: int) -> None:
    """Raises BadInput for events of another type or size than contrast events."""
    if kind not in _EVENT_TYPES or size != EVENT.itemsize:
        raise BadInput(
            f"{path}: events of type {kind} and {size} bytes; contrast events are type 0 or 12, "
            f"{EVENT.itemsize} bytes"
        )


def addresses(address: NDArray[np.int64], bits: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """x, y and polarity of addresses whose y and polarity begin at these bits."""
    y_bit, p_bit = bits
    y = (address >> y_bit) & ((1 << (p_bit - y_bit)) - 1)
    return address & ((1 << y_bit) - 1), y, (address >> p_bit) & 1


def is_new(path: Path, fields: dict[str, str], address: NDArray[np.int64]) -> bool:
    """Whether addresses are those of version 2. Raises BadInput for a version that is not known."""
    said = fields.get("version")
    if said is None:
        return bool((address >> _OLD_ADDRESS_BITS).any())
    version = re.fullmatch(r"(\d)(\.\d+)?", said)
    if version is None or int(version[1]) > 2:
        raise BadInput(f"{path}: version {said[:20]} of the format, expected 0, 1 or 2")
    return int(version[1]) == 2
