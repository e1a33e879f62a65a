"""Prophesee's Event Compression Format: chunks of HDF5 files that the filter 0x8ECF made.

No package for Python 3.10 has that filter, so the chunks are taken as they are stored and decoded here, by
the format that Prophesee's public codec (github.com/prophesee-ai/hdf5_ecf) writes. Little-endian:

    u32 events·4 + 2·A + B        A: y, x and p are packed together; B: x and p are
    i64                           a time in µs; then of each run of events at one time
        u8 d·16 + n               d < 15 µs later, n events; n = 15: u16 n follows
        u8 15·16 + h              the time goes on by h·16^j, j counting such bytes in a row
    A:  3 u32 of 4 events         24 bits an event: y·4096 + 2·x + p
    or: u16 y·32 + n              n events of a row; n = 31: u16 n follows
        B:  3 u16 of 4 events     12 bits an event: 2·x + p
        or: u16 x·32 + m          an event at x, and one at x + j for each bit 5 − j of m, j = 1 … 5
            u8 p·128 + n          n events of a polarity; n = 127: u16 n follows

Of four values a, b, c, d in three words the first holds a above the low quarter word of b, the second
the rest of b above the low half word of c, the third the rest of c above d. The last four, and the last
mask, may reach beyond the events. Prophesee's writer leaves the last chunk of a data set short.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput

# The filter's number, and the only table that it compresses.
FILTER = 0x8ECF
EVENTS = np.dtype({
    "names": ["x", "y", "p", "t"], "formats": ["<u2", "<u2", "<i2", "<i8"], "offsets": [0, 2, 4, 8],
    "itemsize": 16,
})  # fmt: skip
# The codec's own limit on the events of a chunk.
MOST = 65_535


def compressed(entry: h5py.Dataset) -> bool:
    """Whether an entry is a table of events under this filter and no other."""
    recipe = entry.id.get_create_plist()
    filters = [recipe.get_filter(i)[0] for i in range(recipe.get_nfilters())]
    return filters == [FILTER] and entry.ndim == 1 and entry.dtype == EVENTS


def read_table(path: Path, entry: h5py.Dataset) -> NDArray[np.void]:
    """All events of a compressed entry. Raises BadInput naming the chunk that is missing or damaged."""
    (length,), (size,) = entry.shape, entry.chunks
    table = np.empty(length, EVENTS)
    for start in range(0, length, size):
        part = table[start : start + size]
        if entry.id.get_chunk_info_by_coord((start,)).byte_offset is None:
            raise BadInput(f"{path}: '{entry.name}' holds no chunk of event {start}")
        left_out, stored = entry.id.read_direct_chunk((start,))
        try:
            # The filter is optional: its bit says that a chunk was stored without it.
            found = np.frombuffer(stored, EVENTS) if left_out & 1 else decoded(stored)
        except ValueError as error:
            raise BadInput(f"{path}: '{entry.name}', chunk of event {start}: {error}") from error
        if not len(part) <= len(found) <= size:
            raise BadInput(
                f"{path}: '{entry.name}', chunk of event {start}: it holds {len(found)} events, "
                f"expected {len(part)}"
            )
        part[:] = found[: len(part)]
    return table


def decoded(chunk: bytes) -> NDArray[np.void]:
    """The events of one chunk. Raises ValueError where its bytes are not of the format, or cut off."""
    if len(chunk) < 4:
        raise ValueError("its header is cut off")
    head = int.from_bytes(chunk[:4], "little")
    count, together, packed = head >> 2, bool(head & 2), bool(head & 1)
    if count > MOST:
        raise ValueError(f"{count} events, more than the format's {MOST}")
    events = np.zeros(count, EVENTS)
    if not count:
        return events
    events["t"], at = _times(chunk, count)
    if together:
        values = _packed(chunk, at, count, "<u4")
        events["y"], events["x"], events["p"] = (
            values >> 12 & 0x7FF,
            values >> 1 & 0x7FF,
            values & 1,
        )
        return events
    events["y"], at = _runs(chunk, at, count, "<u2", 5, "y")
    if packed:
        values = _packed(chunk, at, count, "<u2")
        events["x"], events["p"] = values >> 1, values & 1
        return events
    events["x"], at = _masked(chunk, at, count)
    events["p"], _ = _runs(chunk, at, count, "u1", 7, "p")
    return events


def _times(chunk: bytes, count: int) -> tuple[NDArray[np.int64], int]:
    """Times of all events, and where the bytes behind them begin."""
    if len(chunk) < 12:
        raise ValueError("its first time is cut off")
    data = np.frombuffer(chunk, np.uint8, offset=12)
    starts, runs, end = _section(data, count, 15, "time", lambda words: words < 0xF0)
    value = data[starts].astype(np.int64)
    far = value >= 0xF0
    # Which of the far ones in a row each is.
    order = np.arange(len(value))
    row = order - np.maximum.accumulate(np.where(far, -1, order)) - 1
    if (row[far] > 15).any():
        raise ValueError("a time of more than 64 bits")
    steps = np.where(far, (value & 15) << 4 * np.where(far, row, 0), value >> 4)
    first = int.from_bytes(chunk[4:12], "little", signed=True)
    times = np.cumsum(np.concatenate([[first], steps]))
    # What goes beyond 63 bits begins again at the other end.
    if (steps < 0).any() or (times[1:] < times[:-1]).any():
        raise ValueError("a time of more than 63 bits")
    return np.repeat(times[1:], runs), 12 + end


def _runs(
    chunk: bytes, at: int, count: int, kind: str, bits: int, name: str
) -> tuple[NDArray[np.unsignedinteger], int]:
    """Values in runs of a word of `kind` each, whose lowest bits say how many, and where they end."""
    data = _words(chunk, at, kind)
    most = (1 << bits) - 1
    starts, runs, end = _section(data, count, most, name)
    return np.repeat(data[starts] >> bits, runs), at + end * data.itemsize


def _section(
    data: NDArray[np.unsignedinteger],
    count: int,
    most: int,
    name: str,
    runs_of: Callable[[NDArray[np.unsignedinteger]], NDArray[np.bool_]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Where the words begin whose runs reach all events, the run of each, and where the last one ends.

    most: the lowest bits of a word, its run, or where all are set, that a run of 16 bits follows. runs_of:
    which words have a run; None for all. Raises ValueError: cut off, or runs beyond the events.
    """
    extra = 2 // data.itemsize
    size = count // 4 + 64
    while True:
        # A section says nothing of its length: as many words are looked at as it takes.
        part = data[:size]
        has = np.ones(len(part), bool) if runs_of is None else runs_of(part)
        runs = np.where(has, part & most, 0).astype(np.int64)
        longer, end = [], 0
        for place in np.flatnonzero(runs == most).tolist():
            if place >= end:
                longer.append(place)
                end = place + 1 + extra
        if end > len(part):
            part = part[: longer.pop()]
        runs, begins = runs[: len(part)], np.ones(len(part), bool)
        for i in range(1, extra + 1):
            begins[np.array(longer, np.int64) + i] = False
        for place in longer:
            runs[place] = int.from_bytes(part[place + 1 : place + 1 + extra].tobytes(), "little")
        starts = np.flatnonzero(begins)
        reached = np.cumsum(runs[starts])
        last = int(np.searchsorted(reached, count))
        if last < len(reached):
            break
        if size >= len(data):
            raise ValueError(f"its {name} is cut off")
        size *= 2
    if reached[last] != count:
        raise ValueError(f"its {name} is of {reached[last]} events, not of {count}")
    starts = starts[: last + 1]
    end = int(starts[-1]) + 1 + (extra if int(starts[-1]) in longer else 0)
    return starts, runs[starts], end


def _masked(chunk: bytes, at: int, count: int) -> tuple[NDArray[np.uint16], int]:
    """x of all events, each word one and those that its mask names, and where the words end."""
    data = _words(chunk, at, "<u2")[:count]
    there = np.ones((len(data), 6), bool)
    there[:, 1:] = data[:, None] >> np.arange(4, -1, -1, dtype=np.uint16) & 1
    reached = np.cumsum(there.sum(axis=1))
    words = int(np.searchsorted(reached, count)) + 1
    if words > len(data):
        raise ValueError("its x is cut off")
    x = (data[:words, None] >> 5) + np.arange(6, dtype=np.uint16)
    return x[there[:words]][:count], at + 2 * words


def _packed(chunk: bytes, at: int, count: int, kind: str) -> NDArray[np.int64]:
    """Values of 3/4 of a word each, four in three words."""
    groups = -(-count // 4)
    data = _words(chunk, at, kind)[: 3 * groups]
    if len(data) < 3 * groups:
        raise ValueError("its events are cut off")
    quarter = 2 * data.itemsize
    low, half, most = (1 << quarter) - 1, (1 << 2 * quarter) - 1, (1 << 3 * quarter) - 1
    a, b, c = data.reshape(groups, 3).astype(np.int64).T
    values = np.stack([
        a >> quarter,
        a & low | b >> 2 * quarter << quarter,
        b & half | c >> 3 * quarter << 2 * quarter,
        c & most,
    ], axis=1)  # fmt: skip
    return values.ravel()[:count]


def _words(chunk: bytes, at: int, kind: str) -> NDArray[np.unsignedinteger]:
    """The rest of a chunk in whole words."""
    size = np.dtype(kind).itemsize
    return np.frombuffer(chunk, kind, max(0, len(chunk) - at) // size, min(at, len(chunk)))
