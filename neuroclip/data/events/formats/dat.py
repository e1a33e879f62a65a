"""`.dat` of Prophesee: lines of text that start with %, two bytes, eight bytes an event.

The two bytes are the type and the size of an event. An event is two little-endian 32-bit words:
time in µs, and an address. From version 2 on the address holds x in bits 0–13, y in bits 14–27 and
the polarity in bit 28; before, x in bits 0–8, y in bits 9–16, the polarity in bit 17 (Prophesee's
file format documentation, and `load_atis_data` of its toolbox). y counts from the top.

tonic reads these only through expelliarmus, which neither says the sensor's size nor reads the
older versions.
"""

import re
from pathlib import Path

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import RawEvents, check_whole, header_lines, read_bytes

_EVENT = np.dtype([("t", "<u4"), ("address", "<u4")])
# 2D time-difference events, and contrast detection events: the same eight bytes.
_EVENT_TYPES = (0x00, 0x0C)


def read(path: Path) -> RawEvents:
    """Read contrast events. Raises BadInput: unreadable, another event type, or truncated."""
    content = read_bytes(path, _EVENT.itemsize)
    lines, start = header_lines(content, b"%")
    if not lines:
        raise BadInput(f"{path}: no header of lines that start with '%': not a Prophesee .dat file")
    values = {
        name.lower(): int(value)
        for line in lines
        for name, value in re.findall(r"(?i)\b(width|height|version)\s+(\d{1,9})\b", line)
    }
    if len(content) < start + 2:
        raise BadInput(f"{path}: ends within its header of {start} bytes: truncated")
    kind, size = content[start], content[start + 1]
    if kind not in _EVENT_TYPES or size != _EVENT.itemsize:
        raise BadInput(
            f"{path}: events of type {kind} and {size} bytes; contrast events are type 0 or 12, "
            f"{_EVENT.itemsize} bytes"
        )
    check_whole(path, len(content) - start - 2, _EVENT.itemsize)
    events = np.frombuffer(content, _EVENT, offset=start + 2)
    address = events["address"].astype(np.int64)
    y_bit, p_bit = (14, 28) if values.get("version", 0) >= 2 else (9, 17)
    x = address & ((1 << y_bit) - 1)
    y = (address >> y_bit) & ((1 << (p_bit - y_bit)) - 1)
    p = (address >> p_bit) & 1
    known = {"width", "height"} <= values.keys()
    sensor = (values["width"], values["height"]) if known else None
    return RawEvents(x, y, events["t"].astype(np.int64), p, sensor)
