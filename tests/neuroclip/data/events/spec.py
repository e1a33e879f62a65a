"""Event files as their published descriptions define them: writers of bytes, and decoders one word at a time.

Written from the descriptions named at each, and sharing nothing with the readers that they check. An event
is (x, y, p, t): column from the left, row from the top, 1 where it got brighter, µs.
"""

import random
import struct

Event = tuple[int, int, int, int]


def stream(seed: int, count: int, width: int, height: int, step: int = 40) -> list[Event]:
    """Random events in time order, some at one time and in one row, as vectors need them."""
    rng = random.Random(seed)
    events, t, y, p = [], rng.randrange(1, 200), 0, 0
    for _ in range(count):
        if rng.random() < 0.5:
            t, y, p = t + rng.randrange(step), rng.randrange(height), rng.randrange(2)
        events.append((rng.randrange(width), y, p, t))
    return events


# --- Prophesee RAW (docs.prophesee.ai: RAW file format; EVT 2.0, 2.1, 3.0 format) ---


def raw_header(version: str, width: int, height: int, style: str = "format") -> bytes:
    """Headers as cameras of different years wrote them."""
    lines = ["% date 2023-03-29 16:37:46", f"% evt {version}"]
    if style in ("format", "little"):
        name = "EVT" + version.replace(".0", "").replace(".", "")
        lines += [f"% format {name};height={height};width={width}", f"% geometry {width}x{height}"]
        lines[-2] += ";endianness=little" * (style == "little")
        lines += ["% serial_number 00ca0009", "% system_ID 49", "% end"]
    elif style == "geometry":
        lines += ["% Integrator Müller & Söhne", f"% geometry {width}x{height}"]
    return "".join(f"{line}\n" for line in lines).encode()


def evt2(events: list[Event], *, noise: bool = False) -> bytes:
    """Words of 32 bits: high time 28 bits; polarity in the type, low time 6, x 11, y 11."""
    words, high = [], None
    for x, y, p, t in events:
        t %= 1 << 34
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
        if noise and x % 3 == 0:
            words += [0xA << 28 | (t & 63) << 22 | 1, 0xE << 28 | 77, 0xF << 28 | 5]
    return struct.pack(f"<{len(words)}I", *words)


def decode_evt2(data: bytes) -> list[Event]:
    """One word after the other; what comes before the first high time is left out."""
    events, high, loops = [], None, 0
    for (word,) in struct.iter_unpack("<I", data):
        kind = word >> 28
        if kind == 0x8:
            new = word & 0xFFFFFFF
            loops += high is not None and high - new >= 1 << 27
            high = new
        elif kind in (0, 1) and high is not None:
            t = loops * (1 << 34) + (high << 6) + (word >> 22 & 63)
            events.append((word >> 11 & 2047, word & 2047, kind, t))
    return events


def evt21(events: list[Event], *, legacy: bool = False) -> bytes:
    """Words of 64 bits: type 4, low time 6, x 11 (a multiple of 32), y 11, then a mask of 32 pixels."""
    words, high, i = [], None, 0
    while i < len(events):
        x, y, p, t = events[i]
        mask, last = 0, -1
        # Pixels of one group, in the order in which they are read back.
        while i < len(events) and (events[i][0] // 32, *events[i][1:]) == (x // 32, y, p, t):
            if events[i][0] <= last:
                break
            last = events[i][0]
            mask |= 1 << last % 32
            i += 1
        t %= 1 << 34
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 60 | high << 32)
        words.append(p << 60 | (t & 63) << 54 | (x // 32 * 32) << 43 | y << 32 | mask)
    if legacy:
        words = [(word & 0xFFFFFFFF) << 32 | word >> 32 for word in words]
    return struct.pack(f"<{len(words)}Q", *words)


def decode_evt21(data: bytes, *, legacy: bool = False) -> list[Event]:
    events, high, loops = [], None, 0
    for (word,) in struct.iter_unpack("<Q", data):
        if legacy:
            word = (word & 0xFFFFFFFF) << 32 | word >> 32
        kind = word >> 60
        if kind == 0x8:
            new = word >> 32 & 0xFFFFFFF
            loops += high is not None and high - new >= 1 << 27
            high = new
        elif kind in (0, 1) and high is not None:
            t = loops * (1 << 34) + (high << 6) + (word >> 54 & 63)
            for bit in range(32):
                if word >> bit & 1:
                    events.append(((word >> 43 & 2047) + bit, word >> 32 & 2047, kind, t))
    return events


def evt3(events: list[Event], *, vectors: bool = True, noise: bool = False) -> bytes:
    """Words of 16 bits; what is as before is not said again. Runs of one row become vectors."""
    words: list[int] = []
    high = low = row = None
    i = 0
    while i < len(events):
        x, y, p, t = events[i]
        t %= 1 << 24
        if t >> 12 != high:
            high, low = t >> 12, None
            words.append(0x8 << 12 | high)
        if t & 4095 != low:
            low = t & 4095
            words.append(0x6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        xs = [x]
        while i + len(xs) < len(events) and events[i + len(xs)][1:] == events[i][1:]:
            following = events[i + len(xs)][0]
            if not vectors or not xs[-1] < following < x + 32:
                break
            xs.append(following)
        if len(xs) > 1:
            valid = sum(1 << (place - x) for place in xs)
            words += [0x3 << 12 | p << 11 | x, 0x4 << 12 | valid & 4095]
            words += [0x4 << 12 | valid >> 12 & 4095, 0x5 << 12 | valid >> 24]
        else:
            words.append(0x2 << 12 | p << 11 | x)
        if noise and x % 3 == 0:
            words += [0xA << 12 | 0x101, 0x7 << 12 | 9, 0xE << 12 | 3, 0xF << 12 | 4]
        i += len(xs)
    return struct.pack(f"<{len(words)}H", *words)


def decode_evt3(data: bytes) -> list[Event]:
    events: list[Event] = []
    started, loops, high, low, row, is_cd, base, base_p = False, 0, 0, 0, 0, False, None, 0
    for (word,) in struct.iter_unpack("<H", data):
        kind, value = word >> 12, word & 4095
        if kind == 0x8:
            if started:
                loops += high - value >= 1 << 11
            low = low if started and value == high else 0
            high, started = value, True
        if not started:
            continue
        t = loops << 24 | high << 12 | low
        if kind == 0x6:
            low = value
        elif kind in (0x0, 0x1):
            row, is_cd = value & 2047, kind == 0
        elif kind == 0x2 and is_cd:
            events.append((value & 2047, row, value >> 11, t))
        elif kind == 0x3:
            base, base_p = value & 2047, value >> 11
        elif kind in (0x4, 0x5) and base is not None:
            width = 12 if kind == 0x4 else 8
            for bit in range(width):
                if is_cd and value >> bit & 1:
                    events.append((base + bit, row, base_p, t))
            base += width
    return events


# --- Prophesee DAT (docs.prophesee.ai: DAT file format; load_atis_data of the toolbox for version 1) ---


def dat(
    events: list[Event], *, version: int | None = 2, size: tuple[int, int] | None = None
) -> bytes:
    """A header, type and size of an event, and two words each; version None: no header at all."""
    new = version == 2
    words = [
        (t & 0xFFFFFFFF, (p << 28 | y << 14 | x) if new else (p << 17 | y << 9 | x))
        for x, y, p, t in events
    ]
    data = b"".join(struct.pack("<II", *pair) for pair in words)
    if version is None:
        return data
    lines = [
        "% Data file containing CD events.",
        f"% Version {version}",
        "% Date 2017-3-29 12:28:37",
    ]
    lines += [f"% Width {size[0]}", f"% Height {size[1]}"] if size else []
    return "".join(f"{line}\n" for line in lines).encode() + bytes([0x0C, 8]) + data


# --- Event Stream 2 (github.com/neuromorphicsystems/event_stream) ---


def es(events: list[Event], width: int, height: int) -> bytes:
    """DVS events: a byte of polarity and time since the one before, x, y from the bottom."""
    out = bytearray(b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", width, height))
    before = 0
    for x, y, p, t in events:
        passed, before = t - before, t
        out += b"\xff" * (passed // 127) + bytes([passed % 127 << 1 | p])
        out += struct.pack("<HH", x, height - 1 - y)
    return bytes(out)


# --- AEDAT 2.0 (docs.inivation.com; v2e's aedat2_output.py) ---


def aedat2_davis(
    events: list[Event], header: list[str], width: int, height: int, encoding: str = "utf-8"
) -> bytes:
    """Big-endian addresses and times of a DAVIS: columns from the right, rows from the bottom."""
    words = (((height - 1 - y) << 22 | (width - 1 - x) << 12 | p << 11, t) for x, y, p, t in events)
    text = "".join(f"#{line}\r\n" for line in ("!AER-DAT2.0", *header)).encode(encoding)
    return text + b"".join(struct.pack(">II", *pair) for pair in words)


# --- AEDAT 3.1 (docs.inivation.com), as DVS128 Gesture has it ---


def aedat3(events: list[Event], packet: int = 64) -> bytes:
    """Little-endian packets of polarity events; x in bits 17 to 31, y in 2 to 16, then ON and valid."""
    out = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    for start in range(0, len(events), packet):
        part = events[start : start + packet]
        out += struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(part), len(part), len(part))
        out += b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t) for x, y, p, t in part)
    return out


# --- N-MNIST (Orchard et al. 2015) ---


def five_bytes(events: list[Event]) -> bytes:
    """x, y, polarity and 23 bits of time."""
    return b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in events)
