"""`run_lava`: a program on Lava's simulation, in a worker process that always ends."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import BUNDLED, expand
from deploy.emulate.reference import Messages, check_inputs
from deploy.emulate.trace import MAX_RECORD_BYTES, Record, Trace, record_bytes
from deploy.errors import BadInput
from deploy.files import read_json, temporary_folder
from deploy.program.file import save_program
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Program
from export.targets.lava.parts.job import (
    CHECKED,
    RESULT,
    Job,
    Slots,
    allocate,
    remove_shared_memory,
    slots,
    write_job,
)
from export.targets.lava.parts.neurons import check_neurons
from export.targets.lava.parts.own import own_modules
from export.targets.lava.parts.synapses import check_size, recorded
from export.targets.lava.results import read_registers, read_trace
from export.targets.lava.supervise import HANG_S, follow, worker_process


@dataclass(frozen=True, eq=False)
class LavaRun:
    """What Lava did with a program.

    trace: as `deploy.emulate.reference.emulate` returns it, in sample time. registers: under the names of
    `deploy.program.program.registers`, the values that the running Lava models held. latency_steps:
    {population: chip steps removed}. timings, in seconds: start_s (interpreter, imports and
    compilation), run_s, stop_s, read_s. versions: of the worker's Python and Lava. checked:
    {connection: sums of our convolution that were equal to Lava's own}.
    """

    trace: Trace
    registers: dict[str, NDArray[Any]]
    latency_steps: dict[str, int]
    timings: dict[str, float]
    versions: dict[str, str]
    checked: dict[str, int]


def run_lava(
    program: Program,
    inputs: Messages,
    record: Record = "all",
    *,
    python: str | Path | None = None,
    timeout: float = 600.0,
    hang: float = HANG_S,
    progress: bool = True,
    stock: bool = False,
) -> LavaRun:
    """Stream samples through one running Lava network (`select_tag="fixed_pt"`) with exact resets.

    inputs, record: as for `emulate`. python: an interpreter that has Lava, by default this one.
    timeout: seconds for the whole run. hang: seconds without a step after which a run that has begun
    is given up. progress: show a progress bar of chip steps on a terminal. stock: let the function of
    Lava's own Conv compute every convolution, however slow.
    However this ends, no process, shared memory or temporary file of the run is left.
    Raises BadInput for bad inputs, for a program that this target cannot run, and where `python`
    has no Lava; CheckFailed where the worker fails or does not end in time.
    """
    samples, timesteps = check_inputs(program, inputs)
    latency = latency_steps(program)
    check_program(program)
    needed = record_bytes(program.populations, samples, timesteps, record)
    if needed > MAX_RECORD_BYTES:
        raise BadInput(
            f"recording {samples} samples takes {needed} bytes, more than {MAX_RECORD_BYTES}"
        )
    found = shutil.which(str(python or sys.executable))
    if found is None:
        raise BadInput(f"{python}: not an executable Python (--lava-python)")
    # Not resolved: the link in a virtual environment is what tells Python of the environment.
    interpreter = Path(found).absolute()
    modules = own_modules(program)
    job = Job(samples, timesteps, record, tuple(modules), stock)
    with _folder() as folder:
        where = slots(folder, job, program, latency)
        try:
            _write(folder, program, inputs, job, where)
            for path in set(modules.values()):
                (folder / "packages" / path.name).symlink_to(path)
        except OSError as error:
            raise BadInput(f"{folder}: cannot write: {error.strerror or error}") from error
        started = time.monotonic()
        with worker_process(folder, interpreter) as worker:
            steps = samples * timesteps + max(latency.values())
            follow(worker, folder, _called(program), steps, timeout, progress, hang)
            ended = time.monotonic()
            # The worker lives until everything is read: if this process is killed, it cleans up.
            result = read_json(folder / RESULT)
            checked = {
                name: int(np.load(slot.file(CHECKED))[0])
                for name, slot in where.connections.items()
            }
            trace, registers = read_trace(program, job, where), read_registers(program, where)
        timings = {
            "start_s": result["running"] - started,
            "run_s": result["run_s"],
            "stop_s": ended - result["running"] - result["run_s"],
            "read_s": time.monotonic() - ended,
        }
        return LavaRun(trace, registers, latency, timings, result["versions"], checked)


def check_program(program: Program) -> None:
    """Raises BadInput naming the node that our worker's Lava network cannot hold."""
    for p in program.populations:
        check_neurons(p)
    for c in program.connections:
        check_size(recorded(c), c)


def _called(program: Program) -> str:
    """A program has no name of its own: its first and last populations."""
    names = [p.name for p in program.populations]
    return f"network '{names[0]}'" + (f" … '{names[-1]}'" if len(names) > 1 else "")


@contextmanager
def _folder() -> Iterator[Path]:
    """A job's folder, which goes in the end together with the shared memory named after it."""
    with temporary_folder("neuroclip-lava-", remove_shared_memory) as folder:
        yield folder


def _write(folder: Path, program: Program, inputs: Messages, job: Job, where: Slots) -> None:
    # Kinds of one's own, which the worker does not know, are lists to Lava.
    held = tuple(c if c.kind in BUNDLED else expand(c) for c in program.connections)
    save_program(folder / "program.npz", replace(program, connections=held))
    for name, slot in where.inputs.items():
        rows = np.asarray(inputs[name]).reshape(job.samples * job.timesteps, -1)
        np.save(slot.file("data"), rows.astype(np.int32))
    allocate(folder, program, job, where)
    write_job(folder, job)
    # Only our own packages are shown to the worker: its interpreter may be of another version, and
    # this one's site-packages would break it.
    (folder / "packages").mkdir()
    root = Path(__file__).parents[3]
    for package in ("deploy", "export"):
        (folder / "packages" / package).symlink_to(root / package, target_is_directory=True)
