"""The numba kernels: from spikes as bits, step by step, over sums and neurons, to spikes as bits.

Imported only where numba is installed. What a link adds to its targets (`sum_kernels`) and what a step
does to neurons (`neuron_kernels`) are functions that are called by their addresses: the loops here are
compiled once for all kinds, and of the kinds only those that a network has. For example one step of one
sample, inputs 0 and 66 spike:

    bits    [0b1, 0b100]: two words of 64 inputs
    index   [0, 66], which a link's function adds up: a = [4, 4, 0, …]
    flags   [1, 0, 0, …], from the neurons' update of a
    bits    [0b1]: the block's, which the next block reads, and later steps of this one

Compiled functions of one file take no constant from another: numba's cache sees changes of the
function's file and of the arguments' types only. So links are records, read by name.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numpy.typing import NDArray

from deploy.compiled import can_cache

Array = NDArray[Any]
# Its types do not know that who calls leaves out the context.
intrinsic: Any = extending.intrinsic

_CACHE = can_cache()


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


def _lanes(context: Any, builder: Any, signature: Any, arguments: Any, i: int, start: Any) -> Any:
    """(64 elements of the i-th argument, from `start` on, and where they are)."""
    array = context.make_array(signature.args[i])(context, builder, arguments[i])
    first = builder.gep(array.data, [start])
    there = builder.bitcast(first, ir.VectorType(first.type.pointee, 64).as_pointer())
    held = builder.load(there)
    held.align = 1
    return held, there


def _bits(builder: Any, lanes: Any) -> Any:
    set_ = builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, [0] * 64))
    return builder.bitcast(set_, ir.IntType(64))


@intrinsic
def _word(context: Any, values: Any, start: Any) -> Any:
    """64 elements, from `start` of an array on, as bits: set where one is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _bits(builder, _lanes(context, builder, signature, arguments, 0, arguments[1])[0])

    return types.uint64(values, types.int64), generate


@intrinsic
def _counted(context: Any, few: Any, flags: Any, start: Any) -> Any:
    """few += flags in 64 lanes from `start` on; the flags as bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, there = _lanes(context, builder, signature, arguments, 0, arguments[2])
        flags, _ = _lanes(context, builder, signature, arguments, 1, arguments[2])
        builder.store(builder.add(held, flags), there).align = 1
        return _bits(builder, flags)

    return types.uint64(few, flags, types.int64), generate


@intrinsic
def _clear(context: Any, values: Any, start: Any) -> Any:
    """64 elements, from `start` of an array on, become zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, there = _lanes(context, builder, signature, arguments, 0, arguments[1])
        builder.store(ir.Constant(held.type, [0] * 64), there).align = 1
        return context.get_dummy_value()

    return types.void(values, types.int64), generate


@intrinsic
def _call(context: Any, address: Any, arguments: Any) -> Any:
    """The function at an address, of integers and pointers, all as int64."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        values = [builder.extract_value(given[1], i) for i in range(len(arguments))]
        kind = ir.FunctionType(ir.IntType(64), [value.type for value in values])
        return builder.call(builder.inttoptr(given[0], kind.as_pointer()), values)

    return types.int64(types.int64, arguments), generate


@intrinsic
def _at(context: Any, array: Any, place: Any) -> Any:
    """The address of the element at a place of an array in C order: `ctypes` would count references."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(builder.gep(held.data, [arguments[1]]), ir.IntType(64))

    return types.int64(array, types.int64), generate


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
        number: int = _ones(left)
        for first in range(0, number, 8):
            for k in range(8):
                index[n + first + k] = 64 * w + _trailing_zeros(left)
                left &= left - np.uint64(1)
        n += number
    return n


@njit(nogil=True, cache=_CACHE)
def _add_sums(
    address: int,
    links: Array,
    c: int,
    weights: Array,
    table: Array,
    bits: Array,
    messages: Array,
    g: int,
    t: int,
    index: Array,
    values: Array,
    a: int,
    spare: Array,
) -> None:
    """The sums of connection c at step t of sample g, added at the address a of its block's sums."""
    link = links[c]
    begin, now = link["source_word"], t - link["delay"]
    n = _active(bits, g, now, begin, link["source_words"], index)
    if n == 0:
        return
    if link["graded"]:
        for k in range(n):
            values[k] = messages[g, now, 64 * begin + index[k]]
    _call(
        address,
        (
            _at(links, c), _at(weights, 0), _at(table, 0), _at(index, 0), _at(values, 0), n,
            a + link["start"] * spare.itemsize, _at(spare, 0),
        ),
    )  # fmt: skip


@njit(nogil=True, cache=_CACHE)
def add_events(
    address: int,
    source: Array,
    messages: Array,
    links: Array,
    weights: Array,
    table: Array,
    first: int,
    drive: Array,
) -> None:
    """drive[g, t] += sums of a connection, links[0], at step first + t.

    source: what is not zero, as bits [samples, time, words]. messages: int32 [samples, time, size],
    where they are graded. drive: [samples, steps, size] in C order.
    """
    samples, steps, size = drive.shape
    index = np.empty(64 * source.shape[2] + 16, np.int32)
    values = np.empty(len(index) if links[0]["graded"] else 1, np.int32)
    spare = np.empty(size, drive.dtype)
    for g in range(samples):
        for t in range(max(links[0]["delay"] - first, 0), steps):
            _add_sums(
                address, links, 0, weights, table, source, messages, g, first + t, index, values,
                _at(drive, (g * steps + t) * size), spare,
            )  # fmt: skip


@njit(nogil=True, cache=_CACHE)
def run_block(
    source: Array,
    source_links: Array,
    source_weights: Array,
    source_table: Array,
    fused: int,
    drive: Array,
    driven: bool,
    populations: Array,
    updates: Array,
    settings: Array,
    adders: Array,
    links: Array,
    weights: Array,
    table: Array,
    registers: Array,
    first: int,
    stop: int,
    states: Array,
    bits: Array,
    graded: Array,
    u_record: Array,
    v_record: Array,
    record: bool,
    counts: Array,
) -> bool:
    """The steps first ≤ t < stop of a block, its messages to bits [samples, time, words] and graded.

    source …: one connection of spikes from outside, [samples, time, words], summed on the fly by the
    function at the address `fused`, if not 0. drive [samples, stop − first, size]: sums of all other
    outside connections, where `driven`. populations [n, 8]: see `Block.spans`; updates: addresses, and
    settings [n, 8]. links …: the connections among them; adders: addresses. registers [rows, size].
    states [samples, rows, size]: kept from one call to the next. graded: int32 [samples, time, size or
    0]. u_record, v_record: int32 [samples, time, width], where `record`. counts [size] += messages.
    Returns whether a population sent what it cannot: then nothing that was written counts.
    """
    samples, size = states.shape[0], states.shape[2]
    a = np.zeros(size, registers.dtype)
    index = np.empty(64 * max(source.shape[2], bits.shape[2]) + 16, np.int32)
    values = np.empty(len(index) if graded.shape[2] else 1, np.int32)
    spare = np.empty(size, registers.dtype)
    flags, few = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    sent = np.zeros(size if graded.shape[2] else 1, np.int32)
    waiting = 0
    for g in range(samples):
        for t in range(first, stop):
            if driven:
                a[:] = drive[g, t - first]
            if fused and t >= source_links[0]["delay"]:
                _add_sums(
                    fused, source_links, 0, source_weights, source_table, source, graded, g, t,
                    index, values, _at(a, 0), spare,
                )  # fmt: skip
            for p in range(populations.shape[0]):
                word, end = populations[p, 0] >> 6, populations[p, 1] >> 6
                for c in range(populations[p, 2], populations[p, 3]):
                    if t >= links[c]["delay"]:
                        _add_sums(
                            adders[c], links, c, weights, table, bits, graded, g, t,
                            index, values, _at(a, 0), spare,
                        )  # fmt: skip
                still = populations[p, 4] and not record
                while word < end:
                    last = end
                    if still:
                        # Words of neurons without a sum are left as they are.
                        while word < end and _word(a, 64 * word) == 0:
                            bits[g, t, word] = 0
                            word += 1
                        if word == end:
                            break
                        last = word + 1
                        while last < end and _word(a, 64 * last) != 0:
                            last += 1
                    here = 64 * word
                    number = min(64 * last, populations[p, 7]) - here
                    if _call(
                        updates[p],
                        (
                            t, number, _at(a, here), _at(states, g * states.shape[1] * size + here), size,
                            _at(registers, here), _at(settings, p * settings.shape[1]),
                            _at(flags, here), _at(sent, here if graded.shape[2] else 0),
                        ),
                    ):  # fmt: skip
                        return True
                    # 255 steps are counted in lanes of 8 bits before they are widened.
                    for w in range(word, last):
                        bits[g, t, w] = _counted(few, flags, 64 * w)
                        _clear(a, 64 * w)
                    word = last
                if graded.shape[2]:
                    # Now, since the next population may hear it in this step.
                    here = populations[p, 0]
                    graded[g, t, here : 64 * end] = sent[here : 64 * end]
            waiting += 1
            if waiting == 255:
                for j in range(size):
                    counts[j] += few[j]
                few[:] = 0
                waiting = 0
            if record:
                for p in range(populations.shape[0]):
                    u_row, v_row = populations[p, 5], populations[p, 6]
                    here, end = populations[p, 0], populations[p, 1]
                    # Each has a width of its own: without what only fills words, or with it.
                    if u_row >= 0:
                        last = min(end, u_record.shape[2])
                        u_record[g, t, here:last] = states[g, u_row, here:last]
                    if v_row >= 0:
                        last = min(end, v_record.shape[2])
                        v_record[g, t, here:last] = states[g, v_row, here:last]
    for j in range(size):
        counts[j] += few[j]
    return False
