"""The executors of a program, run beside each other and compared as they go."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.compare.parity import Parity, compare_recordings, compare_registers, merge, recordings
from deploy.emulate.edge_counts import observe
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.trace import MAX_RECORD_BYTES, Trace, concatenate, first_samples, record_bytes
from deploy.program.program import Program, registers
from export.deployment.deployment import Deployment
from export.quantization.fidelity import FLOAT_GRAPH, Counted, added, measured
from export.run.kept import Chunk, Kept
from export.run.stages import Stages
from export.targets.target import Executor

# A chunk of samples whose recordings of every state take this much: what is held at once.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Runs:
    """What running all samples on all executors gave.

    trace: of the emulator, its recordings cut to the first samples, its totals over all. predictions:
    {executor: int64 [samples]}. pairs: neighbouring executors compared over all samples.
    float_predictions, fidelity: of the float graph that the integers were made of, where there is
    one: see `export.quantization.fidelity`.
    """

    trace: Trace
    predictions: Mapping[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]
    float_predictions: NDArray[np.int64] | None = None
    fidelity: Counted = field(default_factory=dict)


def torch_executor(network: Any) -> Executor:
    """The torch module itself, its registers as its modules hold them."""
    from export.run.torch_run import run_torch, torch_registers

    return Executor("torch", lambda x: run_torch(network, x), lambda: torch_registers(network))


def emulator_executor(program: Program, jobs: int = 1) -> Executor:
    """Our emulator, in `jobs` threads: the fast path, equal to the reference bit for bit."""
    # Planned once, and only when it runs.
    plan = cache(lambda: prepare(program))
    outputs = {output.source for output in program.outputs}
    return Executor(
        "emulator",
        lambda x: emulate_fast(plan(), x, threads=jobs, per_step=True),
        lambda: registers(program),
        lambda x: emulate_fast(plan(), x, "spikes", jobs, nodes=outputs, per_step=True),
    )


def run_all(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    record_samples: int,
    stages: Stages,
    kept: Kept,
    watched: Collection[str] = (),
) -> Runs:
    """Run every sample on every executor, chunk by chunk, and compare neighbours as it goes.

    record_samples: of so many samples the emulator's recordings are kept, 2 GiB at most. kept: where
    chunks are kept, and found again; the last one always runs, so that registers are compared.
    watched: the populations that can leave their registers: `Trace.observed` counts what went
    beyond.
    """
    samples = deployment.samples
    per_sample = record_bytes(program.populations, 1, deployment.timesteps, "all")
    size = max(1, _CHUNK_BYTES // per_sample)
    recorded = min(record_samples, MAX_RECORD_BYTES // per_sample)
    chunks: list[Chunk] = []
    with tqdm(total=samples, desc="samples", disable=None) as bar:
        for start in range(0, samples, size):
            last = start + size >= samples
            chunk = None if last else kept.load(start)
            if chunk is None:
                where = slice(start, start + size)
                chunk = _run_chunk(deployment, program, found, where, recorded, stages, watched)
                if not last:
                    kept.save(start, chunk)
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
    )


def _run_chunk(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    where: slice,
    recorded: int,
    stages: Stages,
    watched: Collection[str],
) -> Chunk:
    """Some samples on every executor. Alone and not watched, one records no state beyond the samples
    to keep."""
    inputs = {name: x[where] for name, x in deployment.inputs.items()}
    quantization = deployment.quantization
    quantized = quantization is not None and quantization.reference is not None
    alone = len(found) == 1 and where.start >= recorded and not watched and not quantized
    traces, predictions = {}, {}
    for executor in found:
        run = executor.lean if alone and executor.lean is not None else executor.run
        with stages.time(executor.name):
            traces[executor.name] = run(inputs)
        predictions[executor.name] = deployment.predict(traces[executor.name], where)
    with stages.time("compare"):
        pairs = tuple(
            compare_recordings(
                a.name, recordings(traces[a.name]), b.name, recordings(traces[b.name]), where.start
            )
            for a, b in pairwise(found)
        )
    trace = traces["emulator"]
    if watched:
        with stages.time("observe"):
            trace = replace(trace, observed=observe(program, inputs, trace, watched))
    counted: Counted = {}
    if quantized:
        with stages.time("float graph"):
            predictions[FLOAT_GRAPH], counted = measured(deployment, where, inputs, trace)
    return Chunk(predictions, pairs, first_samples(trace, max(0, recorded - where.start)), counted)
