"""Prophesee's ECF: chunks written here from the format's description, as its own writer stores them."""

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from deploy.errors import BadInput
from neuroclip.data.events.recording import read_recording
from neuroclip.storage import ecf

Event = tuple[int, int, int, int]


def runs(values: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for value in values:
        if found and found[-1][0] == value:
            found[-1] = (value, found[-1][1] + 1)
        else:
            found.append((value, 1))
    return found


def chunk(events: Sequence[Event], form: str) -> bytes:
    """One chunk of events (x, y, p, t) with all packed, "yxp", or x and p, "xp", or none, ""."""
    made = struct.pack("<I", len(events) << 2 | (form == "yxp") << 1 | (form == "xp"))
    if not events:
        return made
    now = events[0][3]
    made += struct.pack("<q", now)
    for t, n in runs([e[3] for e in events]):
        step = t - now
        if step >= 15:
            while step:
                made += bytes([0xF0 | step & 15])
                step >>= 4
        now = t
        made += bytes([step << 4 | min(n, 15)]) + (struct.pack("<H", n) if n >= 15 else b"")
    if form == "yxp":
        return made + quarters([y << 12 | x << 1 | p for x, y, p, _ in events], 8, "<3I")
    for y, n in runs([e[1] for e in events]):
        made += struct.pack("<H", y << 5 | min(n, 31)) + (struct.pack("<H", n) if n >= 31 else b"")
    if form == "xp":
        return made + quarters([x << 1 | p for x, _, p, _ in events], 4, "<3H")
    # As Prophesee's encoder, which looks beyond the last event.
    xs = [e[0] for e in events] + [events[-1][0] + 1, events[-1][0] + 2] + [0] * 4
    at = 0
    while at < len(events):
        x, mask, at = xs[at], 0, at + 1
        for j in range(1, 6):
            if xs[at] == x + j:
                mask, at = mask | 1 << 5 - j, at + 1
        made += struct.pack("<H", x << 5 | mask)
    for p, n in runs([e[2] for e in events]):
        made += bytes([p << 7 | min(n, 127)]) + (struct.pack("<H", n) if n >= 127 else b"")
    return made


def quarters(values: list[int], quarter: int, words: str) -> bytes:
    values = values + [0] * (-len(values) % 4)
    made = b""
    for a, b, c, d in zip(*(values[i::4] for i in range(4)), strict=True):
        low, half = (1 << quarter) - 1, (1 << 2 * quarter) - 1
        first, second = a << quarter | b & low, b >> quarter << 2 * quarter | c & half
        made += struct.pack(words, first, second, c >> 2 * quarter << 3 * quarter | d)
    return made


def drawn(seed: int) -> list[Event]:
    """Long and short runs of each, neighbours in x, and pauses of up to hours."""
    rng = random.Random(seed)
    events, x, y, p, t = [], 0, 0, 0, rng.choice((0, 5, 1 << 40))
    rare = rng.choice((0.004, 0.05, 0.5))
    for _ in range(rng.choice((1, 2, 3, 4, 5, 17, 600))):
        x = x + rng.randrange(1, 7) if x < 1270 and rng.random() < 0.6 else rng.randrange(1280)
        y = rng.randrange(720) if rng.random() < rare else y
        p = 1 - p if rng.random() < rare else p
        t += rng.choice((1, 14, 15, 16, 255, 10**9)) if rng.random() < rare else 0
        events.append((x, y, p, t))
    return events


def file(path: Path, events: Sequence[Event], size: int = 256, form: str = "") -> Path:
    """As Metavision writes it: chunks stored as they are encoded, the last one short."""
    with h5py.File(path, "w") as made:
        table = declared(made, len(events), size)
        for start in range(0, len(events), size):
            table.write_direct_chunk((start,), chunk(events[start : start + size], form))
        made.attrs["geometry"] = "1280x720"
    return path


def declared(
    made: "h5py.File", count: int, size: int, kind: np.dtype = ecf.EVENTS
) -> "h5py.h5d.DatasetID":
    recipe = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    recipe.set_chunk((size,))
    recipe.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((count,), (h5py.h5s.UNLIMITED,))
    of = h5py.h5t.py_create(kind)
    return h5py.h5d.create(made.create_group("CD").id, b"events", of, space, recipe)


def back(found: np.ndarray) -> list[Event]:
    return list(zip(*(found[name].tolist() for name in "xypt"), strict=True))


@pytest.mark.parametrize("form", ["yxp", "xp", ""])
def test_chunks_come_back(form: str) -> None:
    for seed in range(60):
        events = drawn(seed)
        assert back(ecf.decoded(chunk(events, form))) == events, seed
    assert back(ecf.decoded(chunk([], form))) == []


def test_words_of_the_format() -> None:
    """Bytes written by hand."""
    made = "10000000 0400000000000000 03 fcf2f1 01 e302 0100 5401 0000 03 81"
    found = ecf.decoded(bytes.fromhex(made))
    assert back(found) == [(10, 23, 0, 4), (11, 23, 0, 4), (13, 23, 0, 4), (0, 0, 1, 304)]
    # A run of none moves the time on, and what lies behind the last event is nobody's.
    made = "06000000 0400000000000000 20 11 000b7000 00000000 00000000 ff"
    assert back(ecf.decoded(bytes.fromhex(made))) == [(5, 7, 1, 7)]


@pytest.mark.parametrize("form", ["yxp", "xp", ""])
def test_a_recording_in_chunks(tmp_path: Path, form: str) -> None:
    events = [e for e in drawn(1) if e[0] < 1280]
    assert len(events) > 512 and len(events) % 256
    found = read_recording(file(tmp_path / "a.hdf5", events, form=form))
    start = events[0][3]
    assert (found.width, found.height) == (1280, 720)
    assert [e[:3] for e in events] == list(zip(found.x, found.y, found.p, strict=True))
    assert [e[3] - start for e in events] == (found.t - found.t[0]).tolist()


def test_a_chunk_that_the_filter_left_alone(tmp_path: Path) -> None:
    events = drawn(1)[:300]
    table = np.zeros(256, ecf.EVENTS)
    for name, values in zip("xypt", zip(*events[:256], strict=True), strict=True):
        table[name] = values
    with h5py.File(tmp_path / "a.h5", "w") as made:
        entry = declared(made, 300, 256)
        entry.write_direct_chunk((0,), table.tobytes(), 1)
        entry.write_direct_chunk((256,), chunk(events[256:], "xp"))
        made.attrs["geometry"] = "1280x720"
    found = read_recording(tmp_path / "a.h5")
    assert [e[:3] for e in events] == list(zip(found.x, found.y, found.p, strict=True))


def head(count: int, rest: str) -> bytes:
    return struct.pack("<Iq", count << 2, 7) + bytes.fromhex(rest)


DAMAGED = {
    "header": (b"\1\0", "header is cut off"),
    "too many": (struct.pack("<I", 65_536 << 2) + bytes(99), "65536 events, more than"),
    "no time": (struct.pack("<I", 4), "first time is cut off"),
    "times cut off": (head(3, "01"), "time is cut off"),
    "run cut off": (head(3, "0f03"), "time is cut off"),
    "times beyond": (head(3, "04"), "time is of 4 events, not of 3"),
    "17 digits": (head(1, "f1" * 17 + "01"), "more than 64 bits"),
    "a digit beyond 63": (head(1, "f0" * 15 + "f8" + "01"), "more than 63 bits"),
    "a sum beyond 63": (head(1, "ff" * 15 + "f7" + "01"), "more than 63 bits"),
    "rows cut off": (head(2, "02 4100"), "y is cut off"),
    "rows beyond": (head(2, "02 4300"), "y is of 3 events, not of 2"),
    "long row cut off": (head(2, "02 5f00 02"), "y is cut off"),
    "x cut off": (head(2, "02 4200 0000 00"), "x is cut off"),
    "p cut off": (head(2, "02 4200 1000 01"), "p is cut off"),
    "p beyond": (head(2, "02 4200 1000 7f0300"), "p is of 3 events, not of 2"),
    "packed cut off": (struct.pack("<Iq", 1 << 2 | 2, 7) + b"\1" + bytes(11), "events are cut off"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_chunk_is_one_line(tmp_path: Path, case: str) -> None:
    content, says = DAMAGED[case]
    with h5py.File(tmp_path / "a.h5", "w") as made:
        declared(made, 4, 64).write_direct_chunk((0,), content)
    with pytest.raises(BadInput, match=f"a.h5: '/CD/events', chunk of event 0: .*{says}"):
        read_recording(tmp_path / "a.h5", (64, 48))


def two_filters(made: "h5py.File") -> None:
    made.create_dataset("CD/events", (4,), ecf.EVENTS, chunks=(4,), shuffle=True)
    recipe = made["CD/events"].id.get_create_plist()
    recipe.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL)
    del made["CD/events"]
    kind = h5py.h5t.py_create(ecf.EVENTS)
    h5py.h5d.create(made["CD"].id, b"events", kind, h5py.h5s.create_simple((4,)), recipe)


OTHERS: dict[str, tuple[Callable[["h5py.File"], object], str]] = {
    "few": (lambda f: declared(f, 5, 64).write_direct_chunk((0,), chunk(drawn(1)[:4], "xp")),
            "it holds 4 events, expected 5"),
    "many": (lambda f: declared(f, 5, 8).write_direct_chunk((0,), chunk(drawn(1)[:9], "xp")),
             "it holds 9 events, expected 5"),
    "missing": (lambda f: declared(f, 12, 8).write_direct_chunk((0,), chunk(drawn(1)[:8], "xp")),
                "no chunk of event 8"),
    "nothing stored": (lambda f: declared(f, 4_400_000, 16384), "the file holds 0"),
    "other fields": (lambda f: declared(f, 5, 64, np.dtype([(n, "<i4") for n in "xypt"])), "no table of"),
    "two filters": (two_filters, "no table of"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_a_table_that_does_not_hold_what_it_declares(tmp_path: Path, case: str) -> None:
    make, says = OTHERS[case]
    with h5py.File(tmp_path / "a.h5", "w") as made:
        make(made)
    with pytest.raises(BadInput, match=says) as error:
        read_recording(tmp_path / "a.h5", (1280, 720))
    assert "\n" not in str(error.value)


def test_changed_bytes_are_a_line_or_events() -> None:
    told = 0
    for seed in range(300):
        rng = random.Random(seed)
        made = bytearray(chunk(drawn(seed % 7), ("yxp", "xp", "")[seed % 3]))
        for _ in range(rng.randrange(1, 5)):
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
        if seed % 2:
            del made[rng.randrange(len(made)) :]
        try:
            ecf.decoded(bytes(made))
        except ValueError:
            told += 1
    assert 100 < told < 300
