"""The process in which Lava runs: `python -m export.lava.worker JOB.json`, started by the client.

It imports neither torch nor lava-dl: torch inside Lava's forked processes can hang. Its standard
input is a pipe that the client holds open; when it closes, the client is gone and so is everything.
"""

import os
import platform
import shutil
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(path: Path) -> int:
    """Run one job and return the exit status."""
    threading.Thread(target=_end_with_client, args=(path.parent,), daemon=True).start()
    try:
        import lava.magma.compiler.compiler  # noqa: F401  (reaches every dependency of Lava)
        import numpy  # noqa: F401
    except ImportError as error:
        print(error, file=sys.stderr)
        return 3  # job.CANNOT_IMPORT, which needs numpy to be imported
    from deploy.files import write_json

    write_json(path.parent / "result.json", _run(path))
    return 0


def _run(path: Path) -> dict[str, Any]:
    """Build the recording network, stream every sample through it, and stop it."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    from deploy.program import load_program
    from export.lava.job import read_job, shared_memory_prefix, slots
    from export.lava.latency import latency_steps
    from export.lava.processes.recorded import RecordedNetwork

    folder = path.parent
    job, program = read_job(path), load_program(folder / "program.npz")
    latency = latency_steps(program)
    _name_shared_memory(shared_memory_prefix(folder))
    network = RecordedNetwork(
        program=program, latency=latency, slots=slots(folder, job, program, latency)
    )
    steps = job.samples * job.timesteps + max(latency.values())
    network.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    threading.Thread(target=_end_with_actors, args=(network.runtime,), daemon=True).start()
    running = time.monotonic()
    network.run(condition=RunSteps(num_steps=steps))
    ended = time.monotonic()
    network.stop()
    return {
        "running": running,
        "run_s": ended - running,
        "versions": {"lava-nc": version("lava-nc"), "python": platform.python_version()},
    }


def _name_shared_memory(prefix: str) -> None:
    """Give Lava's shared memory names that start with `prefix`, so that the client can remove it.

    Lava's own manager leaves names to chance and needs a process of its own to keep them.
    """
    from multiprocessing.shared_memory import SharedMemory

    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    class NamedSharedMemory:
        def __init__(self) -> None:
            self.handles: list[SharedMemory] = []

        def start(self) -> None:
            """Lava starts its manager's process here."""

        def create_shared_memory(self, size: int) -> SharedMemory:
            name = f"{prefix}{len(self.handles)}"
            self.handles.append(SharedMemory(name, create=True, size=size))
            return self.handles[-1]

        def shutdown(self) -> None:
            while self.handles:
                self.handles[-1].unlink()
                self.handles.pop().close()

    infrastructure.SharedMemoryManager = NamedSharedMemory


def _end_with_client(folder: Path) -> None:
    """Wait until the client is gone, however it ended, then remove everything it cannot."""
    while os.read(0, 1):
        pass
    from export.lava.job import remove_shared_memory

    shutil.rmtree(folder, ignore_errors=True)
    remove_shared_memory(folder)
    os.killpg(0, signal.SIGKILL)


def _end_with_actors(runtime: Any) -> None:
    """Lava waits for ever for a process of its own that was killed; end with a message instead."""
    actors = list(runtime._messaging_infrastructure.actors)
    while True:
        time.sleep(0.2)
        for actor in actors:
            try:
                status = actor.exitcode
            except ValueError:  # closed: Lava is stopping
                return
            if status is not None and status < 0:
                print(f"a Lava process ended by signal {-status}", file=sys.stderr, flush=True)
                os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
