"""The numba kernels: event-driven sums, fused with the neuron's update.

Imported only where numba is installed. A spike adds one row of halved int8 weights of a dense
connection: 256 of them stay within 16 bits (256·127 < 2^15), so sums run in int16 lanes and are
widened once per 256 spikes, to the type of the neurons' sums. That is int32 only where a block is
`narrow`: then no sum is beyond 2^18, and none beyond 2^26 before its shift to the right, by 7 at most.
A spike of a convolution adds, for each kernel row, the taps that meet a target: runs of channels of
the one shared kernel. A spike of listed synapses adds each of them.

For example inputs 0 and 2 of three spike, and their rows of weights are [6, −4] and [−2, 8]:

    rows     halved [3, −2] and [−1, 4]; that of input 1 is not read
    int16    3 − 1 and −2 + 4: [2, 2]
    widened  after 256 rows or the last one, and doubled: the sums a are [4, 4]
    update   u ← T(u·(4096 − (du + 1))) + (4 << 6), v and s, in the same pass

All compiled functions share this file, which takes no constant from another: numba's cache sees
changes of this file and of the arguments' types only. So links are records, read by name.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Array = NDArray[Any]

_LIMIT = 2**23
_GROUP = 256


def _can_cache() -> bool:
    """False where numba finds no folder to keep compiled code in: then each process compiles."""
    try:
        njit(cache=True)(_can_cache)
    except RuntimeError:
        return False
    return True


_CACHE = _can_cache()


@intrinsic
def _trailing_zeros(context: Any, word: Any) -> Any:
    """The number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _ones(context: Any, word: Any) -> Any:
    """The number of bits that are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def _word(context: Any, flags: Any, start: Any) -> Any:
    """64 bytes, from `start` of an array, as bits: set where a byte is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        lanes = ir.VectorType(ir.IntType(8), 64)
        first = builder.gep(array.data, [arguments[1]])
        flags = builder.load(builder.bitcast(first, lanes.as_pointer()))
        flags.align = 1
        set_ = builder.icmp_unsigned("!=", flags, ir.Constant(lanes, [0] * 64))
        return builder.bitcast(set_, ir.IntType(64))

    return types.uint64(flags, types.int64), generate


def _decayed(x: Any, m: Any) -> Any:
    """T(x·m) for m = 4096 − decay, T(y) = sign(y)·(|y| >> 12); types are those of `x`."""
    raise NotImplementedError  # compiled code only, see the overload


@overload(_decayed)
def _decayed_of_type(x: Any, m: Any) -> Any:
    if x == types.int32:
        # x = high·4096 + low with |high| ≤ 2^11: no product needs more than 25 bits. T(x·m) is the
        # floor of x·m/4096, of (x·m + 4095)/4096 for negative x.
        def narrow(x: Any, m: Any) -> Any:
            up = np.int32(4095) if x < 0 else np.int32(0)
            low = np.int32(np.int32(np.int32(x & 4095) * m) + up)
            return np.int32(np.int32(np.int32(x >> 12) * m) + np.int32(low >> 12))

        return narrow

    def wide(x: Any, m: Any) -> Any:
        # Literally sign·(|·| >> 12), so that even a product beyond 64 bits is the reference's.
        product = np.int64(x * m)
        size = (-product if product < 0 else product) >> 12
        return -size if product < 0 else size

    return wide


def _like(x: Any, y: Any) -> Any:
    """`x` as an integer of the type of `y`: 32-bit sums stay in 32-bit lanes."""
    raise NotImplementedError  # compiled code only, see the overload


@overload(_like)
def _like_type(x: Any, y: Any) -> Any:
    if y == types.int32:

        def narrow(x: Any, y: Any) -> Any:
            return np.int32(x)

        return narrow

    def wide(x: Any, y: Any) -> Any:
        return np.int64(x)

    return wide


# Arrays are handed on whole, with the places in them: a slice that is handed to a function costs
# two atomic counts of references.


@njit(nogil=True, cache=_CACHE)
def _active(bits: Array, g: int, t: int, begin: int, words: int, index: Array) -> int:
    """Write the places of set bits to `index`, in eights, so beyond their number; their number."""
    n = 0
    for w in range(words):
        left = bits[g, t, begin + w]
        if left == 0:
            continue
        number: int = _ones(left)  # type: ignore[call-arg]
        for first in range(0, number, 8):
            for k in range(8):
                index[n + first + k] = 64 * w + _trailing_zeros(left)
                left &= left - np.uint64(1)
        n += number
    return n


@njit(nogil=True, cache=_CACHE)
def _add_rows(
    link: Any, rows: Array, index: Array, n: int, sums16: Array, totals: Array, a: Array
) -> None:
    """The target += (Σ of the rows of n sources) << shift; the row after the last is zero."""
    width, shift, offset = link["width"], link["shift"], link["weights"]
    target = a[link["start"] : link["start"] + width]
    for k in range(n, n + 8):
        index[k] = link["source_size"]
    sums = sums16[:width]
    many = n > _GROUP
    if many:
        totals[:width] = 0
    for first in range(0, n, _GROUP):
        sums[:] = 0
        last = min(first + _GROUP, n)
        k = first
        while k + 4 < last:
            o = offset + index[k] * width
            r0 = rows[o : o + width]
            o = offset + index[k + 1] * width
            r1 = rows[o : o + width]
            o = offset + index[k + 2] * width
            r2 = rows[o : o + width]
            o = offset + index[k + 3] * width
            r3 = rows[o : o + width]
            o = offset + index[k + 4] * width
            r4 = rows[o : o + width]
            o = offset + index[k + 5] * width
            r5 = rows[o : o + width]
            o = offset + index[k + 6] * width
            r6 = rows[o : o + width]
            o = offset + index[k + 7] * width
            r7 = rows[o : o + width]
            for j in range(width):
                sums[j] += np.int16(
                    np.int16(np.int16(r0[j] + r1[j]) + np.int16(r2[j] + r3[j]))
                    + np.int16(np.int16(r4[j] + r5[j]) + np.int16(r6[j] + r7[j]))
                )
            k += 8
        if k < last:
            o = offset + index[k] * width
            r0 = rows[o : o + width]
            o = offset + index[k + 1] * width
            r1 = rows[o : o + width]
            o = offset + index[k + 2] * width
            r2 = rows[o : o + width]
            o = offset + index[k + 3] * width
            r3 = rows[o : o + width]
            for j in range(width):
                sums[j] += np.int16(np.int16(r0[j] + r1[j]) + np.int16(r2[j] + r3[j]))
        if many:
            for j in range(width):
                totals[j] += sums[j]
    scale, down = np.int32(1 << max(shift, 0)), max(-shift, 0)
    if many:
        for j in range(width):
            target[j] += (totals[j] * scale) >> down
    elif shift >= 0:
        for j in range(width):
            target[j] += sums[j] * scale
    else:
        for j in range(width):
            target[j] += sums[j] >> down


@njit(nogil=True, cache=_CACHE)
def _add_listed(
    link: Any, taps: Array, table: Array, index: Array, n: int, a: Array, start: int
) -> None:
    """a[start:] += every listed synapse of n sources."""
    target = a[start : start + link["width"]]
    first_of = table[link["table"] : link["table"] + link["source_size"] + 1]
    targets = table[link["table"] + link["source_size"] + 1 :]
    weights = taps[link["weights"] :]
    for k in range(n):
        for i in range(first_of[index[k]], first_of[index[k] + 1]):
            target[targets[i]] += weights[i]


@njit(nogil=True, cache=_CACHE, error_model="numpy")
def _add_kernel(
    link: Any, taps: Array, table: Array, index: Array, n: int, a: Array, start: int
) -> None:
    """a[start:] += the kernel around each of n sources."""
    target = a[start : start + link["width"]]
    channels, columns, kernel_x = link["channels"], link["columns"], link["kernel_x"]
    area, out, run = link["height"] * columns, link["out"], link["group_out"]
    of_rows, of_columns = link["table"], link["table"] + 3 * link["height"]
    whole = link["target_step_x"] == 1 and run == out
    step = link["target_step_x"] * out
    for k in range(n):
        j = np.uint32(index[k])
        if link["last"]:
            place = np.int64(j // np.uint32(channels))
            channel = j - place * channels
        else:
            channel = np.int64(j // np.uint32(area))
            place = j - channel * area
        y = np.int64(np.uint32(place) // np.uint32(columns))
        in_row = of_rows + 3 * y
        in_column = of_columns + 3 * (place - y * columns)
        count_y, count_x = table[in_row + 2], table[in_column + 2]
        group = channel // link["group_in"] if run != out else np.int64(0)
        w = link["weights"] + (channel * link["kernel_y"] + table[in_row]) * kernel_x * run
        w += table[in_column] * run
        to = (table[in_row + 1] * link["out_columns"] + table[in_column + 1]) * out + group * run
        down = link["target_step_y"] * link["out_columns"] * out
        back = link["kernel_step"] * kernel_x * run
        for _ in range(count_y):
            if whole:
                there, added = target[to : to + count_x * run], taps[w : w + count_x * run]
                for i in range(count_x * run):
                    there[i] += added[i]
            else:
                for tap in range(count_x):
                    first = to + tap * step
                    there = target[first : first + run]
                    added = taps[w + tap * run : w + (tap + 1) * run]
                    for i in range(run):
                        there[i] += added[i]
            to += down
            w -= back


@njit(nogil=True, cache=_CACHE)
def _add_sums(
    link: Any,
    rows: Array,
    taps: Array,
    table: Array,
    bits: Array,
    g: int,
    t: int,
    index: Array,
    sums16: Array,
    totals: Array,
    a: Array,
) -> None:
    """a[start : start + width] += the sums of one connection at step t of sample g."""
    begin = link["source_word"]
    n = _active(bits, g, t - link["delay"], begin, link["source_words"], index)
    if n == 0:
        return
    if link["rows"]:
        _add_rows(link, rows, index, n, sums16, totals, a)
    elif link["shift"] == 0:
        _add_synapses(link, taps, table, index, n, a, link["start"])
    else:
        # A negative exponent shifts the whole sum.
        start, width, down = link["start"], link["width"], -link["shift"]
        totals[:width] = 0
        _add_synapses(link, taps, table, index, n, totals, 0)
        target = a[start : start + width]
        for j in range(width):
            target[j] += totals[j] >> down


@njit(nogil=True, cache=_CACHE)
def _add_synapses(
    link: Any, taps: Array, table: Array, index: Array, n: int, a: Array, start: int
) -> None:
    if link["listed"]:
        _add_listed(link, taps, table, index, n, a, start)
    else:
        _add_kernel(link, taps, table, index, n, a, start)


@njit(nogil=True, cache=_CACHE)
def _advance(
    first: int,
    stop: int,
    a: Array,
    u: Array,
    v: Array,
    mu: Array,
    mv: Array,
    bias: Array,
    threshold: Array,
    s: Array,
) -> None:
    """One step of the neurons first ≤ j < stop: see `deploy.program.program.Population`."""
    a, u, v, s = a[first:stop], u[first:stop], v[first:stop], s[first:stop]
    mu, mv = mu[first:stop], mv[first:stop]
    bias, threshold = bias[first:stop], threshold[first:stop]
    for j in range(stop - first):
        m = mu[j]
        x = _like(_decayed(u[j], m) + _like(a[j] << 6, m), m)
        if x > _LIMIT:
            x = _like(x - 2 * _LIMIT, m)
        elif x <= -_LIMIT:
            x = _like(x + 2 * _LIMIT, m)
        u[j] = x
        y = _like(_like(_decayed(v[j], mv[j]) + x, m) + bias[j], m)
        y = _like(min(max(y, _like(-_LIMIT + 1, m)), _like(_LIMIT - 1, m)), m)
        fired = y > threshold[j]
        v[j] = _like(0, m) if fired else y
        s[j] = fired


@njit(nogil=True, cache=_CACHE)
def _advance_undecayed(
    first: int, stop: int, a: Array, u: Array, v: Array, bias: Array, threshold: Array, s: Array
) -> None:
    """`_advance` for mu = 0 and mv = 4096."""
    a, u, v, s = a[first:stop], u[first:stop], v[first:stop], s[first:stop]
    bias, threshold = bias[first:stop], threshold[first:stop]
    for j in range(stop - first):
        m = u[j]
        x = _like(a[j] << 6, m)
        if x > _LIMIT:
            x = _like(x - 2 * _LIMIT, m)
        elif x <= -_LIMIT:
            x = _like(x + 2 * _LIMIT, m)
        u[j] = x
        y = _like(_like(v[j] + x, m) + bias[j], m)
        y = _like(min(max(y, _like(-_LIMIT + 1, m)), _like(_LIMIT - 1, m)), m)
        fired = y > threshold[j]
        v[j] = _like(0, m) if fired else y
        s[j] = fired


@njit(nogil=True, cache=_CACHE)
def add_events(
    source: Array,
    link: Any,
    rows: Array,
    taps: Array,
    table: Array,
    first: int,
    drive: Array,
) -> None:
    """drive[g, t] += sums of a connection at step first + t; source: spikes [samples, time, words]."""
    samples, steps = drive.shape[:2]
    index = np.empty(64 * source.shape[2] + 16, np.int32)
    sums16 = np.empty(link["width"], np.int16)
    totals = np.empty(link["width"], drive.dtype)
    for g in range(samples):
        for t in range(max(link["delay"] - first, 0), steps):
            _add_sums(
                link, rows, taps, table, source, g, first + t, index, sums16, totals, drive[g, t]
            )


@njit(nogil=True, cache=_CACHE)
def run_block(
    source: Array,
    source_link: Any,
    source_rows: Array,
    source_taps: Array,
    source_table: Array,
    fused: bool,
    drive: Array,
    driven: bool,
    populations: Array,
    links: Array,
    rows: Array,
    taps: Array,
    table: Array,
    mu: Array,
    mv: Array,
    bias: Array,
    threshold: Array,
    first: int,
    stop: int,
    u_all: Array,
    v_all: Array,
    bits: Array,
    u_record: Array,
    v_record: Array,
    record: bool,
    counts: Array,
) -> None:
    """The steps first ≤ t < stop of a block, its spikes to bits [samples, time, words].

    source …: one connection from outside, spikes [samples, time, words], summed on the fly where
    `fused`. drive [samples, stop − first, size]: sums of all other outside connections, where
    `driven`. populations [n, 5]: see `Block.spans`; links …: the connections among them. u_all,
    v_all [samples, size]: the states, kept from one call to the next. u_record, v_record: int32
    [samples, time, width], where `record`. counts [size] += spikes.
    """
    samples, size = u_all.shape
    a = np.zeros(size, mu.dtype)
    index = np.empty(64 * max(source.shape[2], bits.shape[2]) + 16, np.int32)
    sums16, totals = np.empty(size, np.int16), np.empty(size, mu.dtype)
    s, few = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    waiting = 0
    for g in range(samples):
        u, v = u_all[g], v_all[g]
        for t in range(first, stop):
            if driven:
                a[:] = drive[g, t - first]
            else:
                a[:] = 0
            if fused and t >= source_link["delay"]:
                _add_sums(
                    source_link, source_rows, source_taps, source_table, source, g, t,
                    index, sums16, totals, a,
                )  # fmt: skip
            for p in range(populations.shape[0]):
                here, end = populations[p, 0], populations[p, 1]
                for c in range(populations[p, 2], populations[p, 3]):
                    link = links[c]
                    if t >= link["delay"]:
                        _add_sums(link, rows, taps, table, bits, g, t, index, sums16, totals, a)
                if populations[p, 4]:
                    _advance_undecayed(here, end, a, u, v, bias, threshold, s)
                else:
                    _advance(here, end, a, u, v, mu, mv, bias, threshold, s)
                for w in range(here >> 6, end >> 6):
                    bits[g, t, w] = _word(s, 64 * w)  # type: ignore[call-arg]
            # 255 steps are counted in lanes of 8 bits before they are widened.
            for j in range(size):
                few[j] += s[j]
            waiting += 1
            if waiting == 255:
                for j in range(size):
                    counts[j] += few[j]
                few[:] = 0
                waiting = 0
            if record:
                u_row, v_row = u_record[g, t], v_record[g, t]
                for j in range(u_row.shape[0]):
                    u_row[j] = u[j]
                    v_row[j] = v[j]
    for j in range(size):
        counts[j] += few[j]
