"""The executors of a program, run beside each other and compared as they go."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.fast import emulate_fast
from deploy.observe import observe
from deploy.parity import Parity, compare_recordings, compare_registers, merge, recordings
from deploy.program import Program, registers
from deploy.trace import MAX_RECORD_BYTES, Trace, concatenate, first_samples, record_bytes
from export.deployment import Deployment
from export.stages import Stages

# A chunk of samples whose recordings of every state take this much: what is held at once.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Executor:
    """One way to run a program: `run` gives a trace of every state, `held` the registers behind it."""

    name: str
    run: Callable[[Mapping[str, NDArray[Any]]], Trace]
    held: Callable[[], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Runs:
    """What running all samples on all executors gave.

    trace: of the emulator, its recordings cut to the first samples, its totals over all. predictions:
    {executor: int64 [samples]}. pairs: neighbouring executors compared over all samples.
    """

    trace: Trace
    predictions: Mapping[str, NDArray[np.int64]]
    pairs: tuple[Parity, ...]


def torch_executor(network: Any) -> Executor:
    """The torch module itself, its registers as its modules hold them."""
    from export.torch_run import run_torch, torch_registers

    return Executor("torch", lambda x: run_torch(network, x), lambda: torch_registers(network))


def emulator_executor(program: Program, jobs: int = 1) -> Executor:
    """Our emulator, in `jobs` threads: the fast path, equal to the reference bit for bit."""
    return Executor(
        "emulator", lambda x: emulate_fast(program, x, threads=jobs), lambda: registers(program)
    )


def lava_executor(
    program: Program, stages: Stages, python: Path | None = None, timeout: float = 600.0
) -> Executor:
    """Lava's simulation in its worker process; its registers are those its models reported."""
    from export.lava.client import run_lava

    held: dict[str, NDArray[Any]] = {}

    def execute(inputs: Mapping[str, NDArray[Any]]) -> Trace:
        result = run_lava(program, inputs, python=python, timeout=timeout)
        held.update(result.registers)
        for stage, seconds in result.timings.items():
            name = f"lava {stage.removesuffix('_s')}"
            stages.seconds[name] = stages.seconds.get(name, 0.0) + seconds
        return result.trace

    return Executor("lava", execute, lambda: held)


def run_all(
    deployment: Deployment,
    program: Program,
    found: list[Executor],
    record_samples: int,
    stages: Stages,
    watched: Collection[str] = (),
) -> Runs:
    """Run every sample on every executor, chunk by chunk, and compare neighbours as it goes.

    record_samples: of so many samples the emulator's recordings are kept, 2 GiB at most. watched: the
    populations that can leave their registers: `Trace.observed` counts what went beyond.
    """
    per_sample = record_bytes(program, 1, deployment.timesteps, "all")
    size = max(1, _CHUNK_BYTES // per_sample)
    recorded = min(record_samples, MAX_RECORD_BYTES // per_sample)
    kept: list[Trace] = []
    predictions: dict[str, list[NDArray[np.int64]]] = {e.name: [] for e in found}
    pairs: dict[tuple[str, str], list[Parity]] = {}
    with tqdm(total=deployment.samples, desc="samples", disable=None) as bar:
        for start in range(0, deployment.samples, size):
            where = slice(start, start + size)
            inputs = {name: x[where] for name, x in deployment.inputs.items()}
            traces = {}
            for executor in found:
                with stages.time(executor.name):
                    traces[executor.name] = executor.run(inputs)
                predictions[executor.name].append(deployment.predict(traces[executor.name], where))
            with stages.time("compare"):
                for a, b in pairwise(found):
                    chunk = compare_recordings(
                        a.name,
                        recordings(traces[a.name]),
                        b.name,
                        recordings(traces[b.name]),
                        start,
                    )
                    pairs.setdefault((a.name, b.name), []).append(chunk)
            trace = traces["emulator"]
            if watched:
                with stages.time("observe"):
                    trace = replace(trace, observed=observe(program, inputs, trace, watched))
            kept.append(first_samples(trace, max(0, recorded - start)))
            bar.update(len(next(iter(inputs.values()))))
    held = {e.name: e.held() for e in found}
    return Runs(
        concatenate(kept),
        {name: np.concatenate(parts) for name, parts in predictions.items()},
        tuple(
            merge(chunks, compare_registers(held[a], held[b])) for (a, b), chunks in pairs.items()
        ),
    )
