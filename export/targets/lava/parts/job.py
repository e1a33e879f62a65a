"""A worker's job: the files through which the client and the Lava worker exchange everything.

In one folder: `job.json` (a Job), `program.npz`, the inputs, and what the network fills in while it
runs, preallocated by the client so that a full disk is found before the run and not during it.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.trace import Record, message_type
from deploy.errors import BadInput
from deploy.files import read_json, write_json
from deploy.program.program import Program

# What a worker exits with when its Python cannot import what it needs (the rest is Python's own).
CANNOT_IMPORT = 3

# Of a connection: how many sums of ours were held against Lava's.
CHECKED = "checked"
# Files of a job: the chip step reached, as a memory map, and the timings, written when all is done.
PROGRESS = "progress.npy"
RESULT = "result.json"


@dataclass(frozen=True)
class Job:
    """What the worker is asked: samples × timesteps of input, and what to record.

    modules: those that register kinds of neurons of one's own, to be imported first. stock: whether
    Lava's own code computes every convolution.
    """

    samples: int
    timesteps: int
    record: Record
    modules: tuple[str, ...] = ()
    stock: bool = False


@dataclass(frozen=True)
class Slot:
    """Where one Lava process writes: the files in `folder` that start with `prefix`.

    latency: the chip steps to remove, so that recordings are in sample time; of a connection, its
    source's.
    """

    folder: Path
    prefix: str
    latency: int
    samples: int
    timesteps: int

    def file(self, quantity: str) -> Path:
        """The .npy file of a quantity."""
        return self.folder / f"{self.prefix}-{quantity}.npy"

    @property
    def registers(self) -> Path:
        """The .npz file of the registers that the process's model holds."""
        return self.folder / f"{self.prefix}-registers.npz"

    def open(self, quantity: str) -> NDArray[Any] | None:
        """The mapped memory of a quantity, to be filled in; None where it is not recorded."""
        path = self.file(quantity)
        # As a plain array: each part of a memory map that is touched costs an object of its own.
        return np.load(path, mmap_mode="r+").view(np.ndarray) if path.exists() else None

    def step(self, chip_step: int) -> int:
        """Chip step (from 1) → this process's step of its current sample (from 0)."""
        return (chip_step - 1 - self.latency) % self.timesteps

    def row(self, chip_step: int) -> int | None:
        """Chip step (from 1) → row of the recording, None before the first and after the last."""
        row = chip_step - 1 - self.latency
        return row if 0 <= row < self.samples * self.timesteps else None


@dataclass(frozen=True)
class Slots:
    """The slots of all processes, by the name of the node or connection they run."""

    inputs: dict[str, Slot]
    populations: dict[str, Slot]
    connections: dict[str, Slot]


def slots(folder: Path, job: Job, program: Program, latency: dict[str, int]) -> Slots:
    """Where each process of a program writes; files are numbered, since names may hold anything."""

    def made(kind: str, latencies: dict[str, int]) -> dict[str, Slot]:
        return {
            name: Slot(folder, f"{kind}-{i}", steps, job.samples, job.timesteps)
            for i, (name, steps) in enumerate(latencies.items())
        }

    lag = {n.name: 0 for n in program.inputs} | latency
    return Slots(
        made("input", {n.name: 0 for n in program.inputs}),
        made("population", latency),
        made("connection", {c.name: lag[c.source] for c in program.connections}),
    )


def allocate(folder: Path, program: Program, job: Job, where: Slots) -> None:
    """Create every file that the network fills in, zeroed and with its disk space reserved."""
    rows = job.samples * job.timesteps
    for node in program.inputs:
        _create(where.inputs[node.name].file("messages"), np.int64, (node.size,))
    for p in program.populations:
        slot = where.populations[p.name]
        _create(slot.file("messages"), np.int64, (p.size,))
        if job.record != "none":
            _create(slot.file("s"), message_type(p), (rows, p.size))
        for state in p.recorded if job.record == "all" else ():
            _create(slot.file(state), np.int32, (rows, p.size))
        if p.is_readout:
            _create(slot.file("readout"), np.int32, (job.samples, p.size))
    for c in program.connections:
        _create(where.connections[c.name].file(CHECKED), np.int64, (1,))
    _create(folder / PROGRESS, np.int64, (1,))


def write_job(folder: Path, job: Job) -> None:
    """Write `job.json`."""
    write_json(folder / "job.json", asdict(job))


def read_job(path: Path) -> Job:
    """Read `job.json`. Raises BadInput naming the file."""
    try:
        return Job(**read_json(path))
    except TypeError as error:
        raise BadInput(f"{path}: not a worker's job: {error}") from error


def shared_memory_prefix(folder: Path) -> str:
    """What the names of a worker's shared memory start with; `folder` is its job's, unique by name."""
    return f"{folder.name}-"


def remove_shared_memory(folder: Path) -> None:
    """Remove the shared memory that the worker of `folder` left behind (Linux keeps it as files)."""
    for left in Path("/dev/shm").glob(f"{shared_memory_prefix(folder)}*"):
        left.unlink(missing_ok=True)


def _create(path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    del array
    # A memory map of a file with holes dies of a bus error when the disk is full.
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with open(path, "r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
