"""`emulate_fast`: a program on many samples, in chunks, over threads."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.emulator import Messages, check_inputs, empty_trace, emulate
from deploy.errors import BadInput
from deploy.fast import numpy_block
from deploy.fast.plan import Block, Plan, prepare
from deploy.fast.recording import Recording, finish, start
from deploy.populations import is_plain
from deploy.program import Dense, Input, Program
from deploy.trace import Record, Trace

_KERNELS = "deploy.fast.kernels"
# About a second of NumPy on one core.
_SMALL_WORK = 25 * 10**9

Kernel = Literal["numba", "numpy"]
_Counts = tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]
_RunBlock = Callable[[Block, dict[str, NDArray[Any]], Recording], None]

# Messages, sums and states of the samples that a thread holds at one time: the kernels like them
# in a core's cache, NumPy likes long arrays.
_CHUNK_BYTES: dict[Kernel, int] = {"numba": 8 << 20, "numpy": 64 << 20}


def emulate_fast(
    program: Program | Plan,
    inputs: Messages,
    record: Record = "all",
    threads: int | None = None,
    kernel: Kernel | None = None,
    per_step: bool = False,
) -> Trace:
    """Run a program as `deploy.emulator.emulate` does, equal bit for bit in every array.

    program: or its `Plan` from `prepare`, which saves the preparation when used again. inputs,
    record, per_step: as for `emulate`. threads: over samples, by default one per core. kernel: "numba"
    (event-driven int8 rows) or "numpy" (matrix products); by default numba where it is installed,
    unless the work is less than loading, and the first time compiling, it would be. Programs with
    other than dense connections or plain populations run on the reference.
    Raises BadInput as `emulate` does, and for "numba" where it is not installed.
    """
    if isinstance(program, Program) and not (
        all(isinstance(c, Dense) for c in program.connections)
        and all(is_plain(p) for p in program.populations)
    ):
        return emulate(program, inputs, record, per_step)
    plan = program if isinstance(program, Plan) else prepare(program)
    samples, timesteps = _check(plan.program, inputs)
    kernel = kernel or _choose(plan, samples, timesteps)
    run = _backend(kernel)
    trace = empty_trace(plan.program, samples, timesteps, record, False, per_step)
    threads = max(1, min(threads or _cores(), samples))
    size = _chunk_size(plan, timesteps, kernel)
    size = min(size, -(-samples // threads))
    chunks = [slice(a, min(a + size, samples)) for a in range(0, samples, size)]

    def work(chunk: slice) -> _Counts:
        return _run_chunk(plan, inputs, chunk, trace, run, kernel)

    if threads == 1:
        for chunk in chunks:
            _add(trace, *work(chunk))
    else:
        with ThreadPoolExecutor(threads) as pool:
            for counts in pool.map(work, chunks):
                _add(trace, *counts)
    return trace


def _run_chunk(
    plan: Plan, inputs: Messages, chunk: slice, trace: Trace, run: _RunBlock, kernel: Kernel
) -> _Counts:
    """Run some samples through every block; the non-zero messages each node sent, and of each step."""
    messages: dict[str, NDArray[Any]] = {}
    counts: dict[str, NDArray[Any]] = {}
    for node in plan.program.inputs:
        messages[node.name] = sent = _messages(node, inputs[node.name][chunk])
        counts[node.name] = _count(sent, kernel)
    for block in plan.blocks:
        out = start(block, trace, chunk)
        run(block, messages, out)
        finish(block, out, trace, chunk)
        for p, first in zip(block.populations, block.starts, strict=True):
            part = slice(first, first + p.size)
            messages[p.name] = np.ascontiguousarray(out.s[..., part])
            counts[p.name] = out.counts[part]
    return counts, {name: _each_step(messages[name]) for name in trace.per_step}


def _each_step(messages: NDArray[Any]) -> NDArray[Any]:
    """Non-zero messages [samples, time, size] → of each step, int64 [time, size]."""
    sent = messages if messages.dtype == np.uint8 else messages != 0
    return sent.sum(axis=0, dtype=np.int64)


def _add(trace: Trace, counts: dict[str, NDArray[Any]], steps: dict[str, NDArray[Any]]) -> None:
    for name, step in steps.items():
        trace.per_step[name][...] += step.reshape(trace.per_step[name].shape)
    for name, count in counts.items():
        trace.messages[name][...] += count.reshape(trace.messages[name].shape)


def _messages(node: Input, data: NDArray[Any]) -> NDArray[Any]:
    """Messages as uint8 (binary) or int32 [samples, time, size], copied only where needed.

    Kernels are compiled for arrays that are contiguous and writable.
    """
    flat = data.reshape(*data.shape[:2], -1)
    if node.binary and flat.dtype == np.int8:
        flat = flat.view(np.uint8)
    return np.require(flat, np.uint8 if node.binary else np.int32, ("C", "W"))


def _count(messages: NDArray[Any], kernel: Kernel) -> NDArray[Any]:
    if kernel == "numpy":
        return numpy_block.count_messages(messages)
    from deploy.fast.kernels import count_messages

    counts = np.zeros(messages.shape[2], np.int32)
    count_messages(messages, counts)
    return counts


def _check(program: Program, inputs: Messages) -> tuple[int, int]:
    """`check_inputs`, spared its array of comparisons where each input's extremes already fit."""
    known = {n.name for n in program.inputs}
    if inputs.keys() == known and all(_fits(n, inputs[n.name]) for n in program.inputs):
        shapes = {(len(x), x.shape[1]) for x in inputs.values()}
        if len(shapes) == 1:
            return shapes.pop()
    return check_inputs(program, inputs)


def _fits(node: Input, data: NDArray[Any]) -> bool:
    return (
        data.dtype.kind in "biu"
        and data.ndim >= 3
        and data.shape[2:] == node.shape
        and 0 not in data.shape
        and int(data.min()) >= int(node.low.max())
        and int(data.max()) <= int(node.high.min())
    )


def _chunk_size(plan: Plan, timesteps: int, kernel: Kernel) -> int:
    """Samples whose messages, and sums and states of the largest block, stay below the budget."""
    sent = sum(n.size * (1 if n.binary else 4) for n in plan.program.inputs)
    sent += sum(block.size for block in plan.blocks)
    largest = max(_working_bytes(plan, block, kernel) for block in plan.blocks)
    return max(1, _CHUNK_BYTES[kernel] // (timesteps * (sent + largest)))


def _working_bytes(plan: Plan, block: Block, kernel: Kernel) -> int:
    """Bytes per step of the sums of a block and of the largest product that makes them."""
    graded = {n.name for n in plan.program.inputs if not n.binary}
    products = [s for s in block.outside if kernel == "numpy" or s.connection.source in graded]
    summed = bool(products) or len(block.outside) > 1 or len(block.populations) > 1
    floats = max((8 * s.rows.shape[0] + 16 * s.rows.shape[1] for s in products), default=0)
    return 8 * block.size * summed + floats


def _choose(plan: Plan, samples: int, timesteps: int) -> Kernel:
    if not _has_numba():
        return "numpy"
    if _KERNELS in sys.modules:
        return "numba"
    synapses = sum(c.weight.size for c in plan.program.connections)
    neurons = sum(block.size for block in plan.blocks)
    # In multiply-accumulates of BLAS, by time: 50 for a neuron's update, 10^6 for its calls.
    work = timesteps * (samples * (synapses + 50 * neurons) + 10**6 * len(plan.blocks))
    return "numba" if work > _SMALL_WORK else "numpy"


def _backend(kernel: Kernel) -> _RunBlock:
    if kernel == "numpy":
        return numpy_block.run_numpy
    if not _has_numba():
        raise BadInput(
            "kernel 'numba': numba is not installed (pip install '.[fast]' in the repository)"
        )
    from deploy.fast.numba_block import run_numba

    return run_numba


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
