"""The run behind `neuroclip-export`: lower, execute, compare, map, count, report."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.baseline import baseline
from deploy.chip import load_chip
from deploy.counts import count
from deploy.counts import to_json as counts_json
from deploy.emulator import emulate
from deploy.energy import bundled_coefficients, energy_report, load_coefficients
from deploy.files import write_json
from deploy.mapping import save_mapping
from deploy.parity import Parity, compare_recordings, compare_registers, merge, recordings
from deploy.partition import core_report, partition
from deploy.program import Program, load_program, registers, save_program
from deploy.proof import prove, require
from deploy.report import write_report
from deploy.statistics import wilson_interval
from deploy.trace import Record, Trace, concatenate, first_samples, record_bytes, save_trace
from deploy.validate import require_valid
from export.deployment import Deployment
from export.lower import lower
from export.nir_read import read_nir
from export.nir_write import write_nir
from export.versions import versions

SCHEMA = 1

# A chunk of samples whose recordings of every state take this much: what is held at once.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Options:
    """What a run was asked for; see `neuroclip-export --help`."""

    target: str
    out: Path
    chip: str = "loihi2"
    coefficients: str | None = None
    dt: float = 1e-4
    record: Record = "spikes"
    record_samples: int = 100
    strict: bool = False
    seed: int = 0
    lava_python: Path | None = None
    timeout: float = 600.0
    command: str = ""


@dataclass(frozen=True)
class Executor:
    """One way to run a program: `run` gives a trace of every state, `held` the registers behind it."""

    name: str
    run: Callable[[Mapping[str, NDArray[Any]]], Trace]
    held: Callable[[], Mapping[str, NDArray[Any]]]


@dataclass
class Stages:
    """Seconds spent in each stage of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def lowered(deployment: Deployment, options: Options) -> Program:
    """The program of a deployment, by way of its files: what is written is what is run."""
    write_nir(options.out / "model.nir", deployment.graph)
    program = lower(
        read_nir(options.out / "model.nir"), dt=options.dt, input_ranges=deployment.input_ranges
    )
    save_program(options.out / "program.npz", program)
    return load_program(options.out / "program.npz")


def executors(deployment: Deployment, program: Program, options: Options) -> list[Executor]:
    """The executors that a target compares, in the order in which neighbours are compared."""
    found = [Executor("emulator", lambda x: emulate(program, x), lambda: registers(program))]
    if deployment.network is not None:
        from export.torch_run import run_torch, torch_registers

        network = deployment.network
        found.insert(
            0,
            Executor("torch", lambda x: run_torch(network, x), lambda: torch_registers(network)),
        )
    if options.target == "lava":
        found.append(lava_executor(program, options))
    return found


def lava_executor(program: Program, options: Options) -> Executor:
    """Lava's simulation in its worker process; its registers are those its models reported."""
    from export.lava.client import run_lava

    held: dict[str, NDArray[Any]] = {}

    def run(inputs: Mapping[str, NDArray[Any]]) -> Trace:
        result = run_lava(program, inputs, python=options.lava_python, timeout=options.timeout)
        held.update(result.registers)
        return result.trace

    return Executor("lava", run, lambda: held)
