"""The sums of connections for the numba kernels: what n sources that send add to their targets.

Each is compiled on its own when a connection first needs it and is called through its address, so that
nobody waits for the compilation of kinds that a network does not have.

    add(link, weights, table, index, values, n, a, touched, spare) → 0

link: a record, read by name (`deploy.emulate.fast.layout.LINK`). weights: int16. table: int32. index:
int32, the sources; values: int32, their messages, and None where each is a spike. a: the
sums of the targets, of the lanes' type (int32 or int64), to which is added; spare: as many more. int32
only where a block is `narrow`: then no sum is beyond 2^18, and none beyond 2^26 before its shift to the
right, by 7 at most; on the way there sums may wrap. touched: uint8, 1 is written for every 64 targets
of which one is added to; by rows, which add to all, nothing is.

A spike adds one row of halved int8 weights of a dense connection: 256 of them stay within 16 bits
(256·127 < 2^15), so sums run in int16 lanes, in registers. Two weights lie in one int16, and three
operations add them. For example inputs 0 and 2 of three spike, and their rows are [6, −4] and [−2, 8]:

    halved   [3, −2] and [−1, 4]; the row of input 1 is not read
    held     as int16 x = 256·second + (first + 128): −381 and 1151
    added    Σ x = 770 and Σ (x >> 8) = −2 + 4 = 2, the second; 770 − 256·2 − 2·128 = 2, the first
    widened  after 256 rows or the last one, and doubled: the sums a are [4, 4]

A spike of a convolution adds, for each kernel row, the taps that meet a target: runs of channels of the
one shared kernel. A spike of listed synapses adds each of them. A graded message adds the same, times
itself. Compiled functions take no constant from another file: see `kernels`.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, from_dtype, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from deploy.compiled import can_cache

_GROUP = 256
_I64, _I16 = ir.IntType(64), ir.IntType(16)
# Targets of a block of a row are 64, in 32 lanes.
_HALF = 32

_CACHE = can_cache()


def _vector(builder: Any, pointer: Any, place: Any, lanes: int) -> Any:
    """A pointer to so many elements from a place on."""
    first = builder.gep(pointer, [place])
    return builder.bitcast(first, ir.VectorType(first.type.pointee, lanes).as_pointer())


def _load(builder: Any, pointer: Any, place: Any, lanes: int) -> Any:
    loaded = builder.load(_vector(builder, pointer, place, lanes))
    loaded.align = 1
    return loaded


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    """A number in all lanes."""
    vector = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I64, 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _constant(of: Any, number: int) -> Any:
    return ir.Constant(of, [number] * of.count)


def _resized(builder: Any, value: Any, lane: Any) -> Any:
    """An integer of another width."""
    if lane.width == value.type.width:
        return value
    return (builder.trunc if lane.width < value.type.width else builder.sext)(value, lane)


def _over(builder: Any, n: Any, begin: list[Any], step: Any) -> list[Any]:
    """values = step(k, values) for 0 ≤ k < n, kept in registers."""
    before, head = builder.block, builder.append_basic_block("head")
    body, done = builder.append_basic_block("body"), builder.append_basic_block("done")
    builder.branch(head)
    builder.position_at_end(head)
    k, values = builder.phi(_I64), [builder.phi(value.type) for value in begin]
    for phi, value in zip([k, *values], [ir.Constant(_I64, 0), *begin], strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", k, n), body, done)
    builder.position_at_end(body)
    found = [builder.add(k, ir.Constant(_I64, 1)), *step(k, values)]
    for phi, value in zip([k, *values], found, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return values


def _add_blocks(blocks: int) -> Any:
    @intrinsic
    def add_blocks(
        context: Any, rows: Any, offset: Any, width: Any, index: Any, values: Any, first: Any, n: Any,
        a: Any, place: Any, up: Any, down: Any,
    ) -> Any:  # fmt: skip
        """a[place:] += (Σ of 64·`blocks` weights, from `offset` on, of n sources) << up >> down.

        index[first:]: the sources, of `width` int16 each. values: their messages, or None; then n is
        at most 256.
        """
        graded = values != types.none

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows, offset, width, index, messages, first, n, a, place, up, down = arguments
            lane = a.type.pointee
            of = ir.VectorType(lane if graded else _I16, _HALF)
            byte, wide = _constant(of, 8), ir.VectorType(lane, _HALF)

            def add(k: Any, sums: list[Any]) -> list[Any]:
                k = builder.add(first, k)
                source = builder.sext(builder.load(builder.gep(index, [k])), _I64)
                row = builder.add(offset, builder.mul(source, width))
                found: list[Any] = []
                if graded:
                    message = _resized(builder, builder.load(builder.gep(messages, [k])), lane)
                    times = _splat(builder, message, _HALF)
                for block in range(blocks):
                    at = builder.add(row, ir.Constant(_I64, block * _HALF))
                    x = _load(builder, rows, at, _HALF)
                    if graded:
                        x = builder.sext(x, of)
                        low = builder.sub(builder.and_(x, _constant(of, 255)), _constant(of, 128))
                        parts = [builder.mul(y, times) for y in (low, builder.ashr(x, byte))]
                    else:
                        parts = [x, builder.ashr(x, byte)]
                    found += map(builder.add, sums[2 * block : 2 * block + 2], parts)
                return found

            sums = _over(builder, n, [_constant(of, 0)] * (2 * blocks), add)
            up, down = (_splat(builder, _resized(builder, x, lane), _HALF) for x in (up, down))
            for block in range(blocks):
                low, high = sums[2 * block : 2 * block + 2]
                if not graded:
                    bias = builder.shl(builder.trunc(n, _I16), ir.Constant(_I16, 7))
                    low = builder.sub(
                        builder.sub(low, builder.shl(high, byte)), _splat(builder, bias, _HALF)
                    )
                for i, part in enumerate((low, high)):
                    part = part if graded else builder.sext(part, wide)
                    part = builder.ashr(builder.shl(part, up), down)
                    to = builder.add(place, ir.Constant(_I64, (2 * block + i) * _HALF))
                    there = _vector(builder, a, to, _HALF)
                    held = builder.load(there)
                    held.align = 1
                    builder.store(builder.add(held, part), there).align = 1
            return context.get_dummy_value()

        whole = types.int64
        return types.void(
            rows, whole, whole, index, values, whole, whole, a, whole, whole, whole
        ), generate

    return add_blocks


_add_64, _add_512 = _add_blocks(1), _add_blocks(8)


def _add_lanes(lanes: int) -> Any:
    @intrinsic
    def add_lanes(context: Any, a: Any, to: Any, taps: Any, first: Any, values: Any, k: Any) -> Any:
        """a[to:] += `lanes` taps from `first` on, times values[k] unless that is None."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, to, taps, first, messages, k = arguments
            there, lane = _vector(builder, a, to, lanes), a.type.pointee
            held = builder.load(there)
            held.align = 1
            added = builder.sext(_load(builder, taps, first, lanes), held.type)
            if values != types.none:
                message = _resized(builder, builder.load(builder.gep(messages, [k])), lane)
                added = builder.mul(added, _splat(builder, message, lanes))
            builder.store(builder.add(held, added), there).align = 1
            return context.get_dummy_value()

        return types.void(a, types.int64, taps, types.int64, values, types.int64), generate

    return add_lanes


_add_16, _add_8, _add_1 = _add_lanes(16), _add_lanes(8), _add_lanes(1)


@njit(cache=_CACHE)
def _rows(
    link: Any, rows: Any, index: Any, values: Any, n: int, a: Any, up: int, down: int
) -> None:
    row, first = link["width"] >> 1, 0
    while first < n:
        number = n - first if values is not None else min(n - first, _GROUP)
        j = 0
        while j + 512 <= link["width"] and values is None:
            _add_512(rows, j >> 1, row, index, values, first, number, a, j, up, down)
            j += 512
        while j < link["width"]:
            _add_64(rows, j >> 1, row, index, values, first, number, a, j, up, down)
            j += 64
        first += number


@njit(cache=_CACHE)
def _add_run(a: Any, to: int, taps: Any, first: int, number: int, values: Any, k: int) -> None:
    """a[to:] += a run of taps, times values[k] unless that is None."""
    i = 0
    while i + 16 <= number:
        _add_16(a, to + i, taps, first + i, values, k)
        i += 16
    if i + 8 <= number:
        _add_8(a, to + i, taps, first + i, values, k)
        i += 8
    while i < number:
        _add_1(a, to + i, taps, first + i, values, k)
        i += 1


@njit(cache=_CACHE)
def _listed(
    link: Any, taps: Any, table: Any, index: Any, values: Any, n: int, a: Any, touched: Any
) -> None:
    targets = link["source_size"] + 1
    for k in range(n):
        for i in range(table[index[k]], table[index[k] + 1]):
            j = np.int64(table[targets + i])
            touched[j >> 6] = 1
            _add_1(a, j, taps, i, values, k)


@njit(cache=_CACHE, error_model="numpy")
def _kernel(
    link: Any, taps: Any, table: Any, index: Any, values: Any, n: int, a: Any, touched: Any
) -> None:
    channels, columns, kernel_x = link["channels"], link["columns"], link["kernel_x"]
    area, out, run = link["height"] * columns, link["out"], link["group_out"]
    of_columns = 3 * link["height"]
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
        in_row = 3 * y
        in_column = of_columns + 3 * (place - y * columns)
        count_y, count_x = table[in_row + 2], table[in_column + 2]
        if count_x == 0:
            continue
        group = channel // link["group_in"] if run != out else np.int64(0)
        w = (channel * link["kernel_y"] + table[in_row]) * kernel_x * run
        w += table[in_column] * run
        to = (table[in_row + 1] * link["out_columns"] + table[in_column + 1]) * out + group * run
        down = link["target_step_y"] * link["out_columns"] * out
        back = link["kernel_step"] * kernel_x * run
        reach = (count_x - 1) * step + run - 1
        for _ in range(count_y):
            word, last = to >> 6, (to + reach) >> 6
            touched[last] = 1
            while word < last:
                touched[word] = 1
                word += 1
            if whole:
                _add_run(a, to, taps, w, count_x * run, values, k)
            else:
                for tap in range(count_x):
                    _add_run(a, to + tap * step, taps, w + tap * run, run, values, k)
            to += down
            w -= back


@njit(cache=_CACHE)
def _place(link: Any, a: Any, spare: Any) -> Any:
    """Where taps are added: a negative shift is of the whole sum, which is made beside the others."""
    if link["shift"] == 0:
        return a
    for j in range(link["width"]):
        spare[j] = 0
    return spare


@njit(cache=_CACHE)
def _shifted(link: Any, a: Any, spare: Any) -> int:
    if link["shift"] < 0:
        for j in range(link["width"]):
            a[j] += spare[j] >> -link["shift"]
    return 0


def rows(
    held: Any, weights: Any, table: Any, index: Any, messages: Any, n: Any, a: Any, touched: Any,
    spare: Any,
) -> Any:  # fmt: skip
    """Of a dense connection; spikes of more than one group are shifted together."""
    link = carray(held, 1)[0]
    shift = link["shift"]
    if messages is not None or shift >= 0 or n <= _GROUP:
        _rows(link, weights, index, messages, n, a, max(shift, 0), max(-shift, 0))
        return 0
    _rows(link, weights, index, messages, n, _place(link, a, spare), 0, 0)
    return _shifted(link, a, spare)


def listed(
    held: Any, weights: Any, table: Any, index: Any, messages: Any, n: Any, a: Any, touched: Any,
    spare: Any,
) -> Any:  # fmt: skip
    """Of listed synapses."""
    link = carray(held, 1)[0]
    _listed(link, weights, table, index, messages, n, _place(link, a, spare), touched)
    return _shifted(link, a, spare)


def kernel(
    held: Any, weights: Any, table: Any, index: Any, messages: Any, n: Any, a: Any, touched: Any,
    spare: Any,
) -> Any:  # fmt: skip
    """Of a convolution."""
    link = carray(held, 1)[0]
    _kernel(link, weights, table, index, messages, n, _place(link, a, spare), touched)
    return _shifted(link, a, spare)


_ADDERS = {f.__name__: f for f in (rows, listed, kernel)}


@cache
def adder_named(kind: str, graded: bool, narrow: bool, link: Any) -> Any:
    """A link's sums, compiled: with an `address` that holds while it is kept.

    kind: "rows", "listed" or "kernel". narrow: 32-bit lanes. link: its dtype.
    """
    lane = types.CPointer(types.int32 if narrow else types.int64)
    half, whole = types.CPointer(types.int16), types.CPointer(types.int32)
    # None takes a pointer's place in the call: what is compiled for spikes does not read theirs.
    values = whole if graded else types.none
    signature = types.int64(
        types.CPointer(from_dtype(link)), half, whole, whole, values, types.int64, lane,
        types.CPointer(types.uint8), lane,
    )  # fmt: skip
    return cfunc(signature, cache=_CACHE)(_ADDERS[kind])
