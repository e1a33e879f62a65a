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

from deploy.errors import BadInput
from neuroclip.data.events.formats.prophesee import read_header
from neuroclip.data.events.formats.raw import (
    RawEvents,
    Sensor,
    check_whole,
    read_bytes,
    unwrapped,
)

_EVENT = np.dtype([("t", "<u4"), ("address", "<u4")])
# 2D time-difference events, and contrast detection events: the same eight bytes.
_EVENT_TYPES = (0x00, 0x0C)
_OLD_ADDRESS_BITS = 21

# Sensors by the names of the data sets' files (Prophesee's documentation of Gen1, 1 Mpx and N-Cars; of the
# last the recordings are cut out, to 120×100 at most: Sironi et al. 2018).
_NAMES: tuple[tuple[str, Sensor], ...] = (
    (r"\d\d-\d\d-\d\d_.*_td\.dat", (304, 240)),
    (r"moorea_.*_td\.dat", (1280, 720)),
    (r"obj_\d+_td\.dat", (120, 100)),
)


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read contrast events. Raises BadInput: unreadable, another event type, or truncated."""
    content = read_bytes(path, _EVENT.itemsize)
    header = read_header(content)
    start = header.start
    if start:
        if len(content) < start + 2:
            raise BadInput(f"{path}: ends within its header of {start} bytes: truncated")
        kind, size = content[start], content[start + 1]
        if kind not in _EVENT_TYPES or size != _EVENT.itemsize:
            raise BadInput(
                f"{path}: events of type {kind} and {size} bytes; contrast events are type 0 or 12, "
                f"{_EVENT.itemsize} bytes"
            )
        start += 2
    check_whole(path, len(content) - start, _EVENT.itemsize)
    events = np.frombuffer(content, _EVENT, offset=start)
    address = events["address"].astype(np.int64)
    y_bit, p_bit = (14, 28) if _is_new(path, header.fields, address) else (9, 17)
    x = address & ((1 << y_bit) - 1)
    y = (address >> y_bit) & ((1 << (p_bit - y_bit)) - 1)
    t = unwrapped(events["t"].astype(np.int64), 1 << 32)
    likely = next((size for name, size in _NAMES if re.fullmatch(name, path.name.lower())), None)
    return RawEvents(x, y, t, (address >> p_bit) & 1, header.sensor, likely)


def _is_new(path: Path, fields: dict[str, str], address: "np.ndarray") -> bool:
    said = fields.get("version")
    if said is None:
        return bool((address >> _OLD_ADDRESS_BITS).any())
    version = re.fullmatch(r"(\d)(\.\d+)?", said)
    if version is None or int(version[1]) > 2:
        raise BadInput(f"{path}: version {said[:20]} of the format, expected 0, 1 or 2")
    return int(version[1]) == 2
