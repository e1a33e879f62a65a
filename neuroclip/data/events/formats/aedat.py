"""`.aedat` of jAER, v2e and cAER: AEDAT 2.0 (DVS128, DAVIS) and 3.1 (the packets of DVS128 Gesture).

The chip stands in a line of the header of its own (`# AEChip: …`, `#Source 1: …`); what other lines mention,
such as preferences, counts only where there is none. v2e's files name no chip: they are a DAVIS's, of which
the size has to be given.

tonic (1.7) unpacks the header's three values into two in its DVS128 readers, so that they raise on
every file, and takes packets of every kind for events; the addresses are decoded here.
"""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import (
    RawEvents,
    Sensor,
    check_whole,
    header_lines,
    read_bytes,
    unwrapped,
)

# Width and height by the chip's name in the header (jAER's and libcaer's device classes).
SENSORS: dict[str, Sensor] = {
    "dvs128": (128, 128),
    "davis128": (128, 128),
    "davis208": (208, 192),
    "davis240": (240, 180),
    "davis346": (346, 260),
    "davis640": (640, 480),
}

_POLARITY_EVENT = 1
_PACKET_HEADER = struct.Struct("<hhiiiiii")


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read the polarity events of an AEDAT 2.0 or 3.1 file; sensor: of a DAVIS, as v2e does not say it.

    Raises BadInput: unreadable, another version, an unknown chip, truncated.
    """
    content = read_bytes(path, 8)
    lines, start = header_lines(content, b"#")
    version = re.match(r"!AER-DAT(\d+)\.(\d+)", lines[0]) if lines else None
    if version is None:
        raise BadInput(f"{path}: the first line is not '#!AER-DAT…': not an .aedat file")
    own = [line for line in lines if re.match(r"(?i)(AEChip|Source \d+) *:", line)]
    chip = _chip(own or lines)
    if version[1] == "2":
        if own and chip is None:
            raise BadInput(f"{path}: its chip, {own[0][:80]!r}, is none of {', '.join(SENSORS)}")
        simulated = any("AEDat2Output in v2e" in line for line in lines)
        if simulated and chip is None:
            if sensor is None:
                raise BadInput(
                    f"{path}: v2e's files do not say the sensor's size; it has to be given: "
                    "--sensor 346x260 or 240x180"
                )
            return _read_davis(path, content[start:], sensor)
        return _read_version_2(path, content[start:], chip)
    if version[1] == "3":
        return _read_version_3(path, content, start, chip)
    wanted = "rename it to .aedat4" if version[1] == "4" else "expected 2.0 or 3.1"
    raise BadInput(f"{path}: AEDAT version {version[1]}.{version[2]}, {wanted}")


def _chip(lines: list[str]) -> str | None:
    """The chip of `SENSORS` that lines of a header name; none where they name two."""
    text = "\n".join(lines).lower()
    # Letters may follow or come before (eu…davis.Davis346blue), but no further digit.
    found = [chip for chip in SENSORS if re.search(rf"{chip}(?!\d)", text)]
    return found[0] if len(found) == 1 else None


def _read_version_2(path: Path, data: bytes, chip: str | None) -> RawEvents:
    """Big-endian pairs of address and time in µs, as jAER writes them.

    jAER counts columns from the right and rows from the bottom. CIFAR10-DVS, alone, was recorded
    with rows and columns exchanged: its files, known by their names, are read as they are upright
    (as SpikingJelly reads them).
    """
    if chip in (None, "dvs128"):
        address, t = _words(path, data)
        # x in bits 1–7, y in bits 8–14, OFF in bit 0; bit 15 marks a signal from outside.
        foreign = np.flatnonzero(address >> 16)
        if len(foreign):
            i = int(foreign[0])
            raise BadInput(
                f"{path}: event {i} has address {int(address[i])}, beyond a DVS128's 16 bits, and "
                f"the header names none of {', '.join(SENSORS)}"
            )
        seen = address >> 15 == 0
        address, t = address[seen], t[seen]
        column, row = 127 - (address >> 1 & 127), 127 - (address >> 8 & 127)
        if path.name.startswith("cifar10_"):
            column, row = row, column
        return RawEvents(column, row, t, 1 - (address & 1), (128, 128))
    return _read_davis(path, data, SENSORS[chip])


def _words(path: Path, data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Addresses, and times in µs, whose 32 bits start again at 0."""
    check_whole(path, len(data), 8)
    words = np.frombuffer(data, np.dtype([("address", ">u4"), ("t", ">u4")]))
    return words["address"].astype(np.int64), unwrapped(words["t"].astype(np.int64), 1 << 32)


def _read_davis(path: Path, data: bytes, sensor: Sensor) -> RawEvents:
    """DAVIS: bit 31 marks a sample of a picture, bit 10 a signal from outside; y in bits 22–30, x in
    bits 12–21, ON in bit 11."""
    width, height = sensor
    address, t = _words(path, data)
    seen = (address >> 31 | address >> 10 & 1) == 0
    address, t = address[seen], t[seen]
    column, row = width - 1 - (address >> 12 & 1023), height - 1 - (address >> 22 & 511)
    return RawEvents(column, row, t, address >> 11 & 1, (width, height))


def _read_version_3(path: Path, content: bytes, start: int, chip: str | None) -> RawEvents:
    """Little-endian packets: a header of 28 bytes, and for polarities 8 bytes an event.

    Bit 0 of an event's first word says that it is valid, bit 1 ON, bits 2–16 y, bits 17–31 x; y
    counts from the top. Its second word is the time in µs, above which the packet counts overflows.
    """
    parts: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
    while start < len(content):
        if start + _PACKET_HEADER.size > len(content):
            raise BadInput(f"{path}: the packet header at byte {start} is cut: truncated")
        fields = _PACKET_HEADER.unpack_from(content, start)
        kind, _, size, _, overflow, capacity, number, _ = fields
        start += _PACKET_HEADER.size
        stop = start + size * capacity
        if size < 1 or not 0 <= number <= capacity or overflow < 0 or stop > len(content):
            raise BadInput(
                f"{path}: the packet at byte {start - _PACKET_HEADER.size} declares {number} of "
                f"{capacity} events of {size} bytes; the file holds {len(content) - start} bytes more"
            )
        if kind == _POLARITY_EVENT:
            if size != 8:
                raise BadInput(f"{path}: polarity events of {size} bytes, expected 8")
            words = np.frombuffer(content, "<u4", 2 * number, start).reshape(-1, 2)
            words = words[words[:, 0] & 1 == 1]
            parts.append((words[:, 0], words[:, 1].astype(np.int64) + (overflow << 31)))
        start = stop
    if not parts:
        raise BadInput(f"{path}: the recording holds zero events")
    data = np.concatenate([words for words, _ in parts]).astype(np.int64)
    t = np.concatenate([times for _, times in parts])
    sensor = SENSORS[chip] if chip else None
    return RawEvents(data >> 17, data >> 2 & 32767, t, data >> 1 & 1, sensor)
