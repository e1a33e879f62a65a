"""The executors of a program, run beside each other and compared as they go."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Parity, compare_recordings, compare_registers, merge, recordings
from deploy.count.operations import count
from deploy.emulate.edge_counts import observe
from deploy.emulate.trace import MAX_RECORD_BYTES, Trace, concatenate, first_samples, record_bytes
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.mapping import Mapping as CoreMapping
from deploy.program.program import Program, registers
from deploy.progress import track
from deploy.run.by_core import emulate_mapped
from deploy.run.emulated import emulated
from deploy.run.stream import Kept, stream
from export.deployment.deployment import Deployment
from export.quantization.fidelity import FLOAT_GRAPH, Counted, added, measured
from export.run.kept import Chunk
from export.run.stages import Stages
from export.targets.target import Arrays, Executor

# A chunk of samples whose recordings of every state take this much: what is held at once.
_CHUNK_BYTES = 256 << 20
# Of the emulator alone: memory that is used again, which more is not, costs no page faults.
_ALONE_BYTES = 96 << 20


@dataclass(frozen=True, eq=False)
class Runs:
    """What running all samples on all executors gave.

    trace: of the emulator, its recordings cut to the first samples, its totals over all. predictions:
    {executor: int64 [samples]}. pairs: neighbouring executors compared over all samples.
    float_predictions, fidelity: of the float graph that the integers were made of, where there is
    one: see `export.quantization.fidelity`. checked: {connection: sums that executors compared
    themselves}.
    """

    trace: Trace
    predictions: Mapping[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]
    float_predictions: NDArray[np.int64] | None = None
    fidelity: Counted = field(default_factory=dict)
    checked: Mapping[str, int] = field(default_factory=dict)


def torch_executor(network: Any) -> Executor:
    """The torch module itself, its registers as its modules hold them."""
    from export.run.torch_run import run_torch, torch_registers

    return Executor("torch", lambda x: run_torch(network, x), lambda: torch_registers(network))


def emulator_executor(program: Program, jobs: int = 1) -> Executor:
    """Our emulator, in `jobs` threads: the fast path, equal to the reference bit for bit."""
    outputs = frozenset(output.source for output in program.outputs)
    run = partial(emulated, program, threads=jobs, per_step=True)
    lean = partial(run, record="spikes", nodes=outputs)
    return Executor("emulator", run, lambda: registers(program), lean)


def run_all(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    record_samples: int,
    state_samples: int,
    stages: Stages,
    keep: Callable[[int], Kept[Chunk]],
    watched: Collection[str] = (),
    workers: int | None = None,
    jobs: int = 1,
) -> Runs:
    """Run every sample on every executor, chunk by chunk, and compare neighbours as it goes.

    record_samples: of so many samples the emulator's recordings are kept, 2 GiB at most; state_samples:
    of so many of them its states too, those of read-outs of all. keep: where chunks of a size are kept,
    and found again; the last one always runs, so that registers are compared. watched: the
    populations that can leave their registers: `Trace.observed` counts what went beyond. workers:
    threads of the cluster on which the emulator runs; the others run here. jobs: threads of the float
    graph.
    """
    samples = deployment.samples
    per_sample = record_bytes(program.populations, 1, deployment.timesteps, "all")
    # So many chunks are under way at a time (`deploy.jobs`).
    held_bytes = _CHUNK_BYTES if len(found) > 1 else min(_CHUNK_BYTES, _ALONE_BYTES)
    size = max(1, held_bytes // (4 * workers if workers else 1) // per_sample)
    recorded = min(record_samples, MAX_RECORD_BYTES // per_sample)
    starts = range(0, samples, size)
    emulator = next(e for e in found if e.name == "emulator")
    quantized = (
        deployment.quantization is not None and deployment.quantization.reference is not None
    )
    # Alone and not watched, the emulator records no state beyond the samples to keep.
    alone = len(found) == 1 and not watched and not quantized
    runs = [emulator.lean if alone and start >= recorded else emulator.run for start in starts]
    parts = [slice(start, start + size) for start in starts]
    items = [
        (run or emulator.run, {name: x[part] for name, x in deployment.inputs.items()})
        for run, part in zip(runs, parts, strict=True)
    ]

    def then(index: int, done: tuple[Trace, float]) -> Chunk:
        trace, seconds = done
        stages.seconds["emulator"] = stages.seconds.get("emulator", 0.0) + seconds
        where = parts[index]
        kept_of_it = tuple(max(0, n - where.start) for n in (recorded, state_samples))
        return _chunk(deployment, program, found, where, trace, kept_of_it, stages, watched, jobs)

    last = len(items) - 1
    chunks: list[Chunk] = []
    with track(total=samples, desc="samples") as bar:
        for chunk in stream(_timed, items, then, keep(size), always=(last,), workers=workers):
            chunks.append(chunk)
            bar.update(chunk.trace.samples)
    held = {e.name: e.held() for e in found}
    return Runs(
        concatenate([c.trace for c in chunks]),
        {e.name: np.concatenate([c.predictions[e.name] for c in chunks]) for e in found},
        tuple(
            merge([c.pairs[i] for c in chunks], compare_registers(held[a.name], held[b.name]))
            for i, (a, b) in enumerate(pairwise(found))
        ),
        np.concatenate([c.predictions[FLOAT_GRAPH] for c in chunks])
        if FLOAT_GRAPH in chunks[0].predictions
        else None,
        added(c.fidelity for c in chunks),
        sum((Counter(c.checked) for c in chunks), Counter()),
    )


def _timed(item: tuple[Callable[[Arrays], Trace], Arrays]) -> tuple[Trace, float]:
    """The emulator's trace of a chunk, and the seconds that it took."""
    run, inputs = item
    started = time.perf_counter()
    return run(inputs), time.perf_counter() - started


def _chunk(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    where: slice,
    trace: Trace,
    recorded: tuple[int, ...],
    stages: Stages,
    watched: Collection[str],
    jobs: int,
) -> Chunk:
    """Some samples on every executor beside the emulator, whose trace is there, and compared.

    recorded: of how many of them messages, and of how many states are kept.
    """
    inputs = {name: x[where] for name, x in deployment.inputs.items()}
    traces: dict[str, Trace] = {}
    predictions = {}
    checked: Counter[str] = Counter()
    for executor in found:
        if executor.name == "emulator":
            traces["emulator"] = trace
        else:
            with stages.time(executor.name):
                traces[executor.name] = executor.run(inputs)
            checked.update(executor.checked())
        predictions[executor.name] = deployment.predict(traces[executor.name], where)
    with stages.time("compare"):
        pairs = tuple(
            compare_recordings(
                a.name,
                recordings(traces[a.name]),
                b.name,
                recordings(traces[b.name]),
                where.start,
                trace.readout,
            )
            for a, b in pairwise(found)
        )
    if watched:
        with stages.time("observe"):
            trace = replace(trace, observed=observe(program, inputs, trace, watched))
    counted: Counted = {}
    if deployment.quantization is not None and deployment.quantization.reference is not None:
        with stages.time("float graph"):
            predictions[FLOAT_GRAPH], counted = measured(deployment, where, inputs, trace, jobs)
    # A byte holds what a few samples send in a step: a long run has many chunks, kept until it ends.
    narrow = np.min_scalar_type(trace.samples)
    each_step = {name: total.astype(narrow) for name, total in trace.per_step.items()}
    kept = replace(first_samples(trace, *recorded), per_step=each_step)
    return Chunk(predictions, pairs, kept, counted, checked)


def by_core(deployment: Deployment, program: Program, mapping: CoreMapping, trace: Trace) -> Parity:
    """The emulator against the program run core by core, over the samples that are recorded.

    program: what is mapped, relays included, in sample time. trace: the emulator's. Each core holds its
    own neurons and synapses and knows nothing else (`deploy.run.by_core`). Raises BadInput where no
    sample is recorded, and CheckFailed where other packets leave the cores than are counted.
    """
    expected = recordings(trace)
    samples = min((len(x) for x in expected.values()), default=0)
    if not samples:
        raise BadInput("--by-core: no sample was recorded, as one takes more than 2 GiB")
    per_sample = record_bytes(program.populations, 1, deployment.timesteps, "all")
    size = max(1, _CHUNK_BYTES // per_sample)
    parities = []
    for start in track(range(0, samples, size), desc="by core"):
        part = slice(start, min(start + size, samples))
        inputs = {name: x[part] for name, x in deployment.inputs.items()}
        run = emulate_mapped(program, mapping, inputs)
        ours = {entry: x[part] for entry, x in expected.items()}
        # The emulator runs without the relays.
        theirs = {entry: x for entry, x in recordings(run.trace).items() if entry in ours}
        parities.append(
            compare_recordings("emulator", ours, "by-core", theirs, start, trace.readout)
        )
        counts = count(
            program, run.trace.messages, run.trace.samples, deployment.timesteps, mapping
        )
        if run.packets != counts.messages:
            raise CheckFailed(f"by core: packets {run.packets} left, {counts.messages} are counted")
    # Every core's registers are cut out of the program that the emulator holds: nothing to compare.
    return merge(parities, None, registers_compared=False)
