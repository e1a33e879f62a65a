"""The worker's process: started apart, followed, and ended together with everything it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from deploy.errors import BadInput, CheckFailed, ToolError
from deploy.progress import track
from export.targets.lava.network import INSTALL
from export.targets.lava.parts.job import CANNOT_IMPORT, PROGRESS, RESULT

Worker = subprocess.Popen[bytes]

# No network of a size that Lava can run needs this long for one step.
HANG_S = 120.0
_POLL_S = 0.05
_ERRORS = "stderr.txt"


@contextmanager
def worker_process(folder: Path, python: Path) -> Iterator[Worker]:
    """A worker on the job in `folder`; at the end its whole process group is killed.

    It has a session of its own, so that a Ctrl-C in the terminal does not reach it half-way, and a
    pipe as standard input, by whose end it knows that this process is gone.
    Raises BadInput where `python` cannot be run.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    paths = [str(folder / "packages")]
    if python == Path(sys.executable) and "PYTHONPATH" in os.environ:
        paths.append(os.environ["PYTHONPATH"])
    # One thread each: Lava runs a process per layer, and BLAS threads would fight over the cores.
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    try:
        with open(folder / _ERRORS, "wb") as errors:
            worker = subprocess.Popen(
                [str(python), "-m", "export.targets.lava.worker", str(folder / "job.json")],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
    except OSError as error:
        raise BadInput(f"{python}: cannot run: {error.strerror or error}") from error
    try:
        yield worker
    finally:
        # Where the worker has ended, processes of its group may still be left.
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()


def follow(
    worker: Worker,
    folder: Path,
    network: str,
    steps: int,
    timeout: float,
    progress: bool,
    hang: float = HANG_S,
) -> None:
    """Show a worker's progress in chip steps until its result is there.

    network: what the program is called in messages. timeout: seconds. hang: the run is given up where,
    once begun, it makes no step for so many seconds; the step is what a recorder last wrote down.
    Raises BadInput where its Python has no Lava, CheckFailed where it fails, hangs or takes too long.
    """
    reached = np.load(folder / PROGRESS, mmap_mode="r")
    moved = time.monotonic()
    deadline = moved + timeout
    with track(total=steps, unit="step", desc="Lava", show=progress) as bar:
        before = 0
        while not (folder / RESULT).exists():
            with suppress(subprocess.TimeoutExpired):
                worker.wait(_POLL_S)
            step, now = int(reached[0]), time.monotonic()
            if step > before:
                before, moved = step, now
            bar.update(step - bar.n)
            if worker.returncode is not None:
                raise _failure(worker, folder, f"{network}: the Lava worker", f"{step} of {steps}")
            if 0 < step < steps and now - moved > hang:
                raise CheckFailed(
                    f"{network}: Lava hangs: no step for {hang:g} s after step {step} of {steps}"
                )
            if now > deadline:
                raise CheckFailed(
                    f"{network}: Lava did not end within {timeout:g} s; it reached step {step} of "
                    f"{steps}, {_pace(step, steps, now - moved)}"
                )
        bar.update(int(reached[0]) - bar.n)


def _pace(step: int, steps: int, stood: float) -> str:
    """Whether a run that ended too late was slow or stood still."""
    if step == 0:
        return "not begun yet"
    if step == steps:
        return "and was stopping"
    return "still running" if stood < 1 else f"where it stood for {stood:.0f} s"


def _failure(worker: Worker, folder: Path, subject: str, step: str) -> ToolError:
    text = (folder / _ERRORS).read_text(errors="replace").strip()
    last = text.splitlines()[-1] if text else "without a message"
    if worker.returncode == CANNOT_IMPORT:
        assert isinstance(worker.args, list)
        return BadInput(f"{worker.args[0]}: cannot import Lava ({last}). {INSTALL}")
    if worker.returncode < 0:
        return CheckFailed(f"{subject} was ended by signal {-worker.returncode} at step {step}")
    return CheckFailed(f"{subject} failed at step {step}: {last}")
