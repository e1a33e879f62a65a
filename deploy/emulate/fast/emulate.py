"""`emulate_fast`: a program on many samples, in chunks, over threads."""

import os
import sys
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import numpy_block
from deploy.emulate.fast.layout import Layout
from deploy.emulate.fast.plan import Block, Plan, prepare
from deploy.emulate.fast.recording import Recording, finish, start
from deploy.emulate.fast.spikes import Messages as Sent
from deploy.emulate.fast.spikes import Spikes, packed, unpack
from deploy.emulate.reference import Messages, check_inputs, check_shapes, empty_trace, emulate
from deploy.emulate.trace import Record, Trace
from deploy.errors import BadInput, CheckFailed
from deploy.program.program import Input, Program

_KERNELS = "deploy.emulate.fast.kernels"
# About what NumPy does in the time that loading the compiled kernels takes.
_SMALL_WORK = 6 * 10**9

Kernel = Literal["numba", "numpy"]
_Counts = tuple[dict[str, NDArray[np.int64]], dict[str, Spikes]]


class _Backend(NamedTuple):
    """How a block is run, and how bytes become bits: as `deploy.emulate.fast.spikes.packed`."""

    run: Callable[[Block, Sent, Recording], None]
    pack: Callable[[NDArray[np.uint8]], tuple[NDArray[np.uint64], NDArray[np.int64], int]]


# Messages and states of the samples that a thread holds at one time.
_CHUNK_BYTES = 16 << 20
# Chunks a thread, so that threads end together.
_TURNS = 4
# What a byte counts.
_IN_BYTES = 255


def emulate_fast(
    program: Program | Plan,
    inputs: Messages,
    record: Record = "all",
    threads: int | None = None,
    kernel: Kernel | None = None,
    nodes: Collection[str] | None = None,
    per_step: bool = False,
) -> Trace:
    """Run a program as `deploy.emulate.reference.emulate` does, equal bit for bit in every array.

    program: or its `Plan` from `prepare`, which saves the preparation when used again. inputs,
    record: as for `emulate`. threads: over samples, by default one per core. kernel: "numba"
    (event-driven, or matrix products where much is active) or "numpy" (matrix products); by default
    numba where it is installed, unless the work is less than loading, and the first time compiling,
    it would be. nodes: the populations to record, by default all. per_step: as for `emulate`.
    Besides recordings, memory is taken for the samples that the threads hold.
    Raises BadInput and CheckFailed as `emulate` does, and BadInput for "numba" where it is not
    installed.
    """
    plan = program if isinstance(program, Plan) else prepare(program)
    samples, timesteps = check_shapes(plan.program, inputs)
    kernel = kernel or _choose(plan, samples, timesteps)
    backend = _backend(kernel)
    trace = empty_trace(plan.program, samples, timesteps, record, False, nodes, per_step)
    threads = max(1, min(threads or _cores(), samples))
    size = max(1, _CHUNK_BYTES // (timesteps * _step_bytes(plan, kernel, record)))
    size = min(size, -(-samples // (threads if threads == 1 else threads * _TURNS)))
    chunks = [slice(a, min(a + size, samples)) for a in range(0, samples, size)]

    each_step = {
        name: _EachStep(plan.layouts[name], total) for name, total in trace.per_step.items()
    }

    def work(chunk: slice) -> _Counts:
        return _run_chunk(plan, inputs, chunk, trace, backend)

    def add(counts: dict[str, NDArray[np.int64]], sent_by: dict[str, Spikes]) -> None:
        for name, count in counts.items():
            trace.messages[name][...] += count
        for name, messages in sent_by.items():
            each_step[name].add(messages)

    try:
        if threads == 1:
            for chunk in chunks:
                add(*work(chunk))
        else:
            with ThreadPoolExecutor(threads) as pool:
                for counts in pool.map(work, chunks):
                    add(*counts)
        for steps in each_step.values():
            steps.widen()
    except CheckFailed:
        # A message that is too large: which is the first of all, the reference says.
        emulate(plan.program, inputs, "none")
        raise
    return trace


def _run_chunk(
    plan: Plan, inputs: Messages, chunk: slice, trace: Trace, backend: _Backend
) -> _Counts:
    """Run some samples through every block; the non-zero messages each node sent, and, where each step
    is counted, which."""
    messages: Sent = {}
    counts: dict[str, NDArray[np.int64]] = {}
    steps: dict[str, Spikes] = {}
    for node in plan.program.inputs:
        messages[node.name], counts[node.name] = _messages(plan, inputs, node, chunk, backend)
    for number, block in enumerate(plan.blocks):
        out = start(block, trace, plan.layouts, chunk)
        backend.run(block, messages, out)
        messages |= finish(block, out, trace, plan.layouts, chunk)
        for p, first in zip(block.populations, block.starts, strict=True):
            part = out.counts[first : first + p.size]
            counts[p.name] = plan.layouts[p.name].outer(part)
        for name in trace.per_step:
            if name in messages and name not in steps:
                steps[name] = messages[name]
        for name in [n for n in messages if plan.needed.get(n, -1) <= number]:
            del messages[name]
    return counts, steps


class _EachStep:
    """Non-zero messages of each step of a node, added to `total`, int64 [time, *shape].

    So many samples are counted in bytes, as neurons lie, before they are widened.
    """

    def __init__(self, layout: Layout, total: NDArray[np.int64]) -> None:
        self._layout, self._total = layout, total
        self._few, self._samples = np.zeros((len(total), layout.size), np.uint8), 0

    def add(self, heard: Spikes) -> None:
        for first in range(0, len(heard.bits), _IN_BYTES):
            some = unpack(heard.bits[first : first + _IN_BYTES], heard.size)
            if self._samples + len(some) > _IN_BYTES:
                self.widen()
            self._few += np.add.reduce(some, axis=0, dtype=np.uint8)
            self._samples += len(some)

    def widen(self) -> None:
        self._total += self._layout.outer(self._few)
        self._few[...], self._samples = 0, 0


def _messages(
    plan: Plan, inputs: Messages, node: Input, chunk: slice, backend: _Backend
) -> tuple[Spikes, NDArray[np.int64]]:
    """What an input sends, and its non-zero messages. Raises BadInput for one beyond its range."""
    data = inputs[node.name][chunk]
    flat = np.ascontiguousarray(data).reshape(*data.shape[:2], -1)
    as_bytes = node.binary and flat.dtype.itemsize == 1
    bits, counts, seen = backend.pack((flat if as_bytes else flat != 0).view(np.uint8))
    # Where extremes do not show that each channel's are within its range, each is looked at.
    low, high = int(node.low.max()), int(node.high.min())
    if not ((low, high, seen | 1) == (0, 1, 1) if as_bytes else _fits(data, low, high)):
        check_inputs(plan.program, inputs)
    values = None if node.binary else flat.astype(np.int32, copy=False)
    return Spikes(bits, flat.shape[2], int(counts.sum()), values), counts.reshape(node.shape)


def _fits(data: NDArray[Any], low: int, high: int) -> bool:
    """True where no message is below `low` or above `high`."""
    return int(data.min()) >= low and int(data.max()) <= high


def _step_bytes(plan: Plan, kernel: Kernel, record: Record) -> int:
    """Bytes of the messages of a step of a sample, and of the states of the largest block."""
    messages = sum(n.size // 8 + 1 + 4 * n.size * (not n.binary) for n in plan.program.inputs)
    messages += sum(block.size // 8 + 4 * block.size * block.graded for block in plan.blocks)
    states = 8 * (record == "all") + (kernel == "numpy")
    return messages + states * max(block.size for block in plan.blocks)


def _choose(plan: Plan, samples: int, timesteps: int) -> Kernel:
    if not _has_numba():
        return "numpy"
    if _KERNELS in sys.modules:
        return "numba"
    number = sum(c.synapse_count() for c in plan.program.connections)
    neurons = sum(block.size for block in plan.blocks)
    # In multiply-accumulates of BLAS, by time: 50 for a neuron's update, 10^6 for its calls.
    work = timesteps * (samples * (number + 50 * neurons) + 10**6 * len(plan.blocks))
    return "numba" if work > _SMALL_WORK else "numpy"


def _backend(kernel: Kernel) -> _Backend:
    if kernel == "numpy":
        return _Backend(numpy_block.run_numpy, packed)
    if not _has_numba():
        raise BadInput(
            "kernel 'numba': numba is not installed (pip install '.[fast]' in the repository)"
        )
    from deploy.emulate.fast.numba_block import pack_numba, run_numba

    return _Backend(run_numba, pack_numba)


@cache
def _has_numba() -> bool:
    # Words of spikes are read and written as bytes, too.
    return sys.byteorder == "little" and find_spec("numba") is not None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
