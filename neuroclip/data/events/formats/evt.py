"""`.raw` of Prophesee: a header (`prophesee`) and words of EVT 2.0, 2.1 or 3.0 (docs.prophesee.ai).

Bits 28–31 (2.0), 60–63 (2.1) or 12–15 (3.0) of a word say its type. Time comes in two parts, high and low,
and starts again at 0 after 2^34 µs (2.0, 2.1) or 2^24 µs (3.0). As in OpenEB's decoders: events before
the first word of high time have no time and are left out; where the high time of 3.0 changes, the low
one is 0 until it is said; high time that falls by half its range has started again. Triggers and words
of types that are reserved are passed over.

Why none of the packages that read these files is used: docs/recordings.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.prophesee import Header, read_header
from neuroclip.data.events.formats.raw import (
    MAX_LATE_US,
    RawEvents,
    Sensor,
    check_count,
    check_whole,
    read_bytes,
    unwrapped,
)

_TIME_HIGH = 0x8
# Beside events and times: triggers, and what vendors add.
_OTHER_TYPES = (_TIME_HIGH, 0xA, 0xE, 0xF)
# What a word costs while it is decoded is bounded by this many bytes of file for an event.
_BYTES_PER_EVENT = 4

Columns = tuple[NDArray[np.int64], ...]
"""x, y, t, p, int64 [events] each."""


@dataclass(frozen=True)
class _Encoding:
    """A way to write events. word: bytes of a word; decode: path, data → columns; legal: whether all words of
    data are of its types, by which, and by their order, files without a header are told."""

    name: str
    word: int
    decode: Callable[[Path, bytes], Columns]
    legal: Callable[[bytes], bool]


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read contrast events. Raises BadInput: unreadable, another encoding, truncated, too many."""
    content = read_bytes(path, _BYTES_PER_EVENT)
    header = read_header(content)
    data = content[header.start :]
    x, y, t, p = _decoded(path, header, data)
    return RawEvents(x, y, t, p, header.sensor)


def _decoded(path: Path, header: Header, data: bytes) -> Columns:
    said, among = _encodings(path, header)
    fitting = {e.name: columns for e in among if (columns := _fit(path, e, data)) is not None}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if said is None:
        found = " or ".join(fitting) or "none of them"
        names = ", ".join(e.name for e in among)
        raise BadInput(
            f"{path}: its header does not say which of {names} its words are, and they could be {found}"
        )
    check_whole(path, len(data), said.word)
    return said.decode(path, data)


def _fit(path: Path, encoding: _Encoding, data: bytes) -> Columns | None:
    """The columns of data that keep all rules of an encoding."""
    if not data or len(data) % encoding.word or not encoding.legal(data):
        return None
    columns = encoding.decode(path, data)
    t = columns[2]
    in_order = len(t) and int((np.maximum.accumulate(t) - t).max()) <= MAX_LATE_US
    return columns if in_order else None


def _encodings(path: Path, header: Header) -> tuple[_Encoding | None, tuple[_Encoding, ...]]:
    """The encoding that is said, or meant where not one alone fits of the others, which are tried first."""
    said = header.fields.get("format", "").split(";")[0].upper().replace(".", "")
    if not said and "evt" in header.fields:
        said = "EVT" + header.fields["evt"].replace(".0", "").replace(".", "")
    order = header.fields.get("format endianness", header.fields.get("endianness", "")).lower()
    if said not in ("", "EVT2", "EVT20", "EVT21", "EVT3", "EVT30"):
        raise BadInput(f"{path}: its encoding is {said[:20]}, expected EVT2, EVT21 or EVT3")
    if order not in ("", "little", "legacy"):
        raise BadInput(f"{path}: its words are in '{order[:20]}' order, expected little or legacy")
    if said in ("EVT2", "EVT20"):
        return _EVT2, ()
    if said in ("EVT3", "EVT30"):
        return _EVT3, ()
    if said and order:
        return (_EVT21_LEGACY if order == "legacy" else _EVT21), ()
    if said:  # OpenEB's order, where none is said
        return _EVT21, (_EVT21, _EVT21_LEGACY)
    return None, (_EVT2, _EVT21, _EVT21_LEGACY, _EVT3)


def _evt2(path: Path, data: bytes) -> Columns:
    words = np.frombuffer(data, "<u4")
    kind = words >> 28
    events, high = _timed(kind <= 1, kind == _TIME_HIGH, words & 0xFFFFFFF)
    word = words[events]
    t = high * 64 + (word >> 22 & 63)
    return _int64(word >> 11 & 2047), _int64(word & 2047), t, _int64(word >> 28)


def _evt21(path: Path, data: bytes, high_first: bool = False) -> Columns:
    halves = np.frombuffer(data, "<u4").reshape(-1, 2)
    upper, valid = halves[:, 1 - high_first], halves[:, high_first * 1]
    kind = upper >> 28
    groups, high = _timed(kind <= 1, kind == _TIME_HIGH, upper & 0xFFFFFFF)
    word, mask = upper[groups], valid[groups]
    of_masks = mask.astype("<u4").view(np.uint8)
    check_count(path, int(_COUNTS[of_masks].sum(dtype=np.int64)))
    # Row by row the bits of a mask, from the first pixel of its group on.
    bits = np.unpackbits(of_masks, bitorder="little")
    row, bit = np.divmod(np.flatnonzero(bits), 32)
    word, t = word[row], (high * 64 + (word >> 22 & 63))[row]
    return _int64(word >> 11 & 2047) + bit, _int64(word & 2047), t, _int64(word >> 28)


def _evt3(path: Path, data: bytes) -> Columns:
    words = np.frombuffer(data, "<u2")
    kind = (words >> 12).astype(np.uint8)
    value = words & 0xFFF
    # Everything before the first high time is passed over, what it says of rows included.
    first = np.flatnonzero(kind == _TIME_HIGH)[:1]
    if not len(first):
        return tuple(np.zeros(0, np.int64) for _ in range(4))
    kind, value = kind[first[0] :], value[first[0] :]
    vector = (kind == 4) | (kind == 5)
    # A vector may be of no pixel at all, and still moves those behind it.
    filled = vector & (value & np.where(kind == 5, np.uint16(255), np.uint16(4095)) > 0)
    of_events = np.flatnonzero(filled | (kind == 2))
    # Of each event word: the last row before it (type 1: of another kind of event) …
    rows = np.flatnonzero(kind <= 1)
    row = np.searchsorted(rows, of_events) - 1
    bases = np.flatnonzero(kind == 3)
    base = np.searchsorted(bases, of_events) - 1
    known = (row >= 0) & ((base >= 0) | (kind[of_events] == 2))
    known[known] = kind[rows[row[known]]] == 0
    of_events, row, base = of_events[known], row[known], base[known]
    y, t = value[rows[row]] & 2047, _times3(kind, value, of_events)
    # … and of a vector the pixels that the ones before it took since its base was said.
    single = kind[of_events] == 2
    steps = np.cumsum(np.where(vector, np.where(kind == 4, 12, 8), 0), dtype=np.int64)
    own = value[of_events]
    mask = np.where(single, 1, np.where(kind[of_events] == 5, own & 255, own))
    taken, start, polarity = np.zeros((3, len(of_events)), np.int64)
    of_vectors = np.flatnonzero(~single)
    at, place = of_events[of_vectors], bases[base[of_vectors]]
    taken[of_vectors] = steps[at - 1] - steps[place]
    start[of_vectors], polarity[of_vectors] = value[place] & 2047, value[place] >> 11
    start[single], polarity[single] = own[single] & 2047, own[single] >> 11
    counts = _COUNTS[mask]
    check_count(path, int(counts.sum(dtype=np.int64)))
    of_word = np.repeat(np.arange(len(of_events)), counts)
    bit = _BITS[mask][np.arange(12) < counts[:, None]]
    x = (start + taken)[of_word] + bit
    return x, _int64(y[of_word]), t[of_word], polarity[of_word]


def _times3(
    kind: NDArray[np.uint8], value: NDArray[Any], of_events: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Time in µs at each event word; a low time stands until the high one changes."""
    highs = np.flatnonzero(kind == _TIME_HIGH)
    high = unwrapped(_int64(value[highs]), 1 << 12)
    changes = highs[np.diff(high, prepend=-1) != 0]
    lows = np.flatnonzero(kind == 6)
    last_high = np.searchsorted(highs, of_events) - 1
    changed = changes[np.searchsorted(changes, of_events) - 1]
    last_low = np.searchsorted(lows, of_events) - 1
    if not len(lows):
        return high[last_high] << 12
    low_at = lows[np.maximum(last_low, 0)]
    said = (last_low >= 0) & (low_at > changed)
    return (high[last_high] << 12) + np.where(said, value[low_at], 0)


def _timed(
    is_event: NDArray[np.bool_], is_time: NDArray[np.bool_], value: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the words of events are that follow a time, and their high time, started again or not."""
    events = np.flatnonzero(is_event)
    last = np.cumsum(is_time, dtype=np.int64)[events] - 1
    events, last = events[last >= 0], last[last >= 0]
    return events, unwrapped(_int64(value[is_time]), 1 << 28)[last]


def _int64(values: NDArray[Any]) -> NDArray[np.int64]:
    return values.astype(np.int64)


# Of a mask of 12 pixels: how many are in it, and which, in order, before those that are not.
_MASKS = np.arange(1 << 12)[:, None] >> np.arange(12) & 1
_COUNTS = _MASKS.sum(axis=1)
_BITS = np.argsort(1 - _MASKS, axis=1, kind="stable")


def _legal(kind: NDArray[Any], *events: int) -> bool:
    """Whether words are events, times, or what stands beside them."""
    return set(np.flatnonzero(np.bincount(kind, minlength=16))) <= {*events, *_OTHER_TYPES}


def _legal2(data: bytes) -> bool:
    return _legal(np.frombuffer(data, "<u4") >> 28, 0, 1)


def _legal21(data: bytes, high_first: bool = False) -> bool:
    upper = np.frombuffer(data, "<u4").reshape(-1, 2)[:, 1 - high_first]
    kind = upper >> 28
    # A group starts at a multiple of 32 columns.
    return _legal(kind, 0, 1) and bool(((kind > 1) | (upper >> 11 & 31 == 0)).all())


def _legal3(data: bytes) -> bool:
    return _legal(np.frombuffer(data, "<u2") >> 12, 0, 2, 3, 4, 5, 6, 7)


_EVT2 = _Encoding("EVT2", 4, _evt2, _legal2)
_EVT21 = _Encoding("EVT21", 8, _evt21, _legal21)
_EVT21_LEGACY = _Encoding(
    "EVT21 in legacy order",
    8,
    lambda path, data: _evt21(path, data, high_first=True),
    lambda data: _legal21(data, high_first=True),
)
_EVT3 = _Encoding("EVT3", 2, _evt3, _legal3)
