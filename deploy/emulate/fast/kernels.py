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
from numba.core import cgutils
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


def _lanes(builder: Any, pointer: Any, start: Any) -> Any:
    """(64 elements from `start` on, and where they are)."""
    first = builder.gep(pointer, [start])
    there = builder.bitcast(first, ir.VectorType(first.type.pointee, 64).as_pointer())
    held = builder.load(there)
    held.align = 1
    return held, there


def _bits(builder: Any, lanes: Any) -> Any:
    set_ = builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, [0] * 64))
    return builder.bitcast(set_, ir.IntType(64))


@intrinsic
def _marked(context: Any, values: Any, start: Any) -> Any:
    """64 elements from `start` on, as bits, set where one is not zero; all become zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, there = _lanes(builder, *arguments)
        builder.store(ir.Constant(held.type, [0] * 64), there).align = 1
        return _bits(builder, held)

    return types.uint64(values, types.int64), generate


@intrinsic
def _counted(context: Any, few: Any, flags: Any, start: Any) -> Any:
    """few += flags in 64 lanes from `start` on; the flags as bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, there = _lanes(builder, arguments[0], arguments[2])
        flags, _ = _lanes(builder, *arguments[1:])
        builder.store(builder.add(held, flags), there).align = 1
        return _bits(builder, flags)

    return types.uint64(few, flags, types.int64), generate


@intrinsic
def _clear(context: Any, values: Any, start: Any) -> Any:
    """64 elements from `start` on become zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, there = _lanes(builder, *arguments)
        builder.store(ir.Constant(held.type, [0] * 64), there).align = 1
        return context.get_dummy_value()

    return types.void(values, types.int64), generate


@intrinsic
def _call(context: Any, address: Any, arguments: Any) -> Any:
    """The function at an address, of integers and pointers."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        values = [builder.extract_value(given[1], i) for i in range(len(arguments))]
        kind = ir.FunctionType(ir.IntType(64), [value.type for value in values])
        return builder.call(builder.inttoptr(given[0], kind.as_pointer()), values)

    return types.int64(types.int64, arguments), generate


@intrinsic
def _pointer(context: Any, array: Any, place: Any) -> Any:
    """The element at a place of an array in C order: arrays that are handed on count references."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.gep(held.data, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.int64), generate


@intrinsic
def _after(context: Any, pointer: Any, number: Any) -> Any:
    """The element so many further on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(*arguments[:1], arguments[1:])

    return pointer(pointer, types.int64), generate


def _at(kind: Any) -> Any:
    @intrinsic
    def at(context: Any, address: Any) -> Any:
        """What lies at an address."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), generate

    return at


_words_at, _values_at, _bytes_at = _at(types.uint64), _at(types.int32), _at(types.uint8)


@intrinsic
def _round(context: Any, how: Any) -> Any:
    """How floats are rounded from now on, in LLVM's numbers (0: toward zero); how they were before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, module = ir.IntType(32), builder.module
        kinds = {
            "get": ir.FunctionType(number, []),
            "set": ir.FunctionType(ir.VoidType(), [number]),
        }
        get, set_ = (
            cgutils.get_or_insert_function(module, kind, f"llvm.{name}.rounding")
            for name, kind in kinds.items()
        )
        before = builder.call(get, [])
        builder.call(set_, [builder.trunc(arguments[0], number)])
        return builder.sext(before, ir.IntType(64))

    return types.int64(types.int64), generate


@njit(nogil=True, cache=_CACHE)
def pack_bytes(flat: int, bits: Array, few: Array, counts: Array) -> int:
    """Bytes 0 and 1 as bits [rows, words]; counts [size] += them; all bytes, or-ed.

    flat: the address of the bytes [rows, size]. few: uint8 [64·words], zeros to work in.
    """
    rows, size = len(bits), len(counts)
    seen = np.uint8(0)
    for r in range(rows):
        row = _bytes_at(flat + r * size)
        for w in range(size >> 6):
            bits[r, w] = _counted(_pointer(few, 0), row, 64 * w)
        if size & 63:
            left = np.uint64(0)
            for j in range(size & -64, size):
                left |= np.uint64(row[j] & 1) << np.uint64(j & 63)
                few[j] += row[j]
            bits[r, size >> 6] = left
        for j in range(size):
            seen |= row[j]
        # 255 rows are counted in 8 bits before they are widened.
        if r % 255 == 254 or r == rows - 1:
            for j in range(size):
                counts[j] += few[j]
                few[j] = 0
    return int(seen)


@njit(nogil=True, cache=_CACHE)
def _active(bits: Any, words: int, index: Any) -> int:
    """Write the places of set bits to `index`, in eights, so beyond their number; their number."""
    n = 0
    for w in range(words):
        left = bits[w]
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
    address: int, link: Any, held: Any, g: int, t: int, index: Any, values: Any, a: Any, touched: Any,
    spare: Any,
) -> None:  # fmt: skip
    """The sums of a link, held there, at step t of sample g, added to those of its block."""
    now = t - link["delay"]
    if now < 0:
        return
    bits = link["bits"] + g * link["bits_sample"] + now * link["bits_step"]
    n = _active(_words_at(bits), link["words"], index)
    if n == 0:
        return
    if link["graded"]:
        sent = _values_at(link["values"] + g * link["values_sample"] + now * link["values_step"])
        for k in range(n):
            values[k] = sent[index[k]]
    start = link["start"]
    _call(
        address,
        (
            held, link["weights"], link["table"], index, values, n, _after(a, start),
            _after(touched, start >> 6), spare,
        ),
    )  # fmt: skip


@njit(nogil=True, cache=_CACHE)
def add_events(address: int, links: Array, first: int, drive: Array) -> None:
    """drive[g, t] += sums of a connection, links[0], at step first + t.

    drive: [samples, steps, size] in C order.
    """
    samples, steps, size = drive.shape
    index = np.empty(64 * links[0]["words"] + 16, np.int32)
    values = np.empty(len(index) if links[0]["graded"] else 1, np.int32)
    spare, touched = np.empty(size, drive.dtype), np.empty(size >> 6, np.uint8)
    for g in range(samples):
        for t in range(steps):
            _add_sums(
                address, links[0], _pointer(links, 0), g, first + t, _pointer(index, 0),
                _pointer(values, 0), _pointer(drive, (g * steps + t) * size), _pointer(touched, 0),
                _pointer(spare, 0),
            )  # fmt: skip


@njit(nogil=True, cache=_CACHE)
def _step_words(
    address: int, t: int, first: int, last: int, stop: int, a: Any, state: Any, stride: int,
    registers: Any, settings: Any, flags: Any, sent: Any, few: Any, bits: Any,
) -> bool:  # fmt: skip
    """Step the neurons of the words first ≤ w < last that lie before `stop`; whether that must stop."""
    here = 64 * first
    if _call(
        address,
        (
            t, min(64 * last, stop) - here, _after(a, here), _after(state, here), stride,
            _after(registers, here), settings, _after(flags, here), sent,
        ),
    ):  # fmt: skip
        return True
    for w in range(first, last):
        bits[w] = _counted(few, flags, 64 * w)
        _clear(a, 64 * w)
    return False


@njit(nogil=True, cache=_CACHE)
def run_block(
    links: Array,
    adders: Array,
    drive: Array,
    driven: bool,
    populations: Array,
    updates: Array,
    settings: Array,
    registers: Array,
    sums: Array,
    flags: Array,
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

    links: of all its connections, and adders, the addresses of their sums, 0 for those that `drive`
    [samples, stop − first, size] holds, where `driven`. populations [n, 8]: see `Block.spans`;
    updates: addresses, and settings [n, 8]. registers [rows, size]. sums and flags, uint8, [2, size]: zeros
    to work in. states [samples, rows, size]: kept from one call to the next. bits: zeros. graded: int32
    [samples, time, size or 0]. u_record, v_record: int32 [samples, time, width], where `record`.
    counts [size] += messages.
    Returns whether a population sent what it cannot: then nothing that was written counts.
    """
    samples, rows, size = states.shape
    longest, valued = 0, 0
    for c in range(len(links)):
        longest, valued = max(longest, links[c]["words"]), max(valued, links[c]["graded"])
    index = np.empty(64 * longest + 16, np.int32)
    values = np.empty(len(index) if valued else 1, np.int32)
    few = flags[1]
    # Words of neurons that heard something, and as many as are read at once.
    touched = np.zeros((size >> 6) + 64, np.uint8)
    sent = np.zeros(size if graded.shape[2] else 1, np.int32)
    waiting, beyond = 0, False
    before = _round(0)
    for g in range(samples):
        state = _pointer(states, g * rows * size)
        for t in range(first, stop):
            if driven:
                sums[0] = drive[g, t - first]
            of_step = _pointer(bits, (g * bits.shape[1] + t) * bits.shape[2])
            for p in range(populations.shape[0]):
                word, end = populations[p, 0] >> 6, populations[p, 1] >> 6
                for c in range(populations[p, 2], populations[p, 3]):
                    if adders[c]:
                        _add_sums(
                            adders[c], links[c], _pointer(links, c), g, t, _pointer(index, 0),
                            _pointer(values, 0), _pointer(sums, 0), _pointer(touched, 0),
                            _pointer(sums, size),
                        )  # fmt: skip
                still = populations[p, 4] and not record and not driven
                for group in range(word, end if still else word + 1, 64):
                    marks = np.uint64(1)
                    if still:
                        marks = _marked(_pointer(touched, 0), group)
                        if end - group < 64:
                            # The next population's are as they may be.
                            marks &= (np.uint64(1) << np.uint64(end - group)) - np.uint64(1)
                    while marks:
                        # A run of words where still, else all of them at once.
                        begin = group + _trailing_zeros(marks)
                        last = begin + 1 if still else end
                        marks &= marks - np.uint64(1)
                        while marks and group + _trailing_zeros(marks) == last:
                            last += 1
                            marks &= marks - np.uint64(1)
                        beyond |= _step_words(
                            updates[p], t, begin, last, populations[p, 7], _pointer(sums, 0), state, size,
                            _pointer(registers, 0), _pointer(settings, p * settings.shape[1]),
                            _pointer(flags, 0),
                            _pointer(sent, 64 * begin if graded.shape[2] else 0),
                            _pointer(flags, size), of_step,
                        )  # fmt: skip
                if graded.shape[2]:
                    # Now, since the next population may hear it in this step.
                    here = populations[p, 0]
                    graded[g, t, here : 64 * end] = sent[here : 64 * end]
            if beyond:
                break
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
        if beyond:
            break
    for j in range(size):
        counts[j] += few[j]
    few[:] = 0
    _round(before)
    return beyond
