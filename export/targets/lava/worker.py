"""The process in which Lava runs: `python -m export.targets.lava.worker JOB.json`, started by the client.

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
from importlib import import_module
from importlib.metadata import version
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, NoReturn

_memory: list[SharedMemory] = []
_forks: list[int] = []


def main(path: Path) -> int:
    """Run one job and return the exit status."""
    client = threading.Thread(target=_end_with_client, args=(path.parent,), daemon=True)
    client.start()
    try:
        import lava.magma.compiler.compiler  # noqa: F401  (reaches every dependency of Lava)
        import numpy  # noqa: F401
    except ImportError as error:
        print(error, file=sys.stderr)
        return 3  # job.CANNOT_IMPORT, which needs numpy to be imported
    from deploy.files import write_json
    from deploy.processes import die_with_parent
    from export.targets.lava.parts.job import RESULT

    # Lava's own processes end with this one, even where nobody is left to end them.
    os.register_at_fork(
        before=lambda: _forks.append(os.getpid()),
        after_in_child=lambda: die_with_parent(_forks[-1]),
        after_in_parent=_forks.pop,
    )
    try:
        write_json(path.parent / RESULT, _run(path))
    except Exception as error:
        _fail(f"{type(error).__name__}: {error}")
    # Stay until the client has read everything, or is gone.
    client.join()
    return 0


def _run(path: Path) -> dict[str, Any]:
    """Build the recording network, stream every sample through it, and stop it."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    from deploy.program.file import load_program
    from deploy.program.pipeline_latency import latency_steps
    from export.targets.lava.parts.job import read_job, shared_memory_prefix, slots
    from export.targets.lava.processes import channels
    from export.targets.lava.processes.recorded import RecordedNetwork

    folder = path.parent
    job = read_job(path)
    for name in job.modules:
        import_module(name)
    program = load_program(folder / "program.npz")
    latency = latency_steps(program)
    _name_shared_memory(shared_memory_prefix(folder))
    channels.install()
    network = RecordedNetwork(
        program=program,
        latency=latency,
        slots=slots(folder, job, program, latency),
        stock=job.stock,
    )
    steps = job.samples * job.timesteps + max(latency.values())
    network.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    ran = threading.Event()
    watch = threading.Thread(target=_end_with_actors, args=(network.runtime, ran), daemon=True)
    watch.start()
    running = time.monotonic()
    try:
        network.run(condition=RunSteps(num_steps=steps))
    except RuntimeError as error:
        # Lava only counts the exceptions of its processes.
        told = [a.exception[0] for a in _actors(network.runtime) if a.exception]
        raise told[-1] if told else error from error
    ended = time.monotonic()
    # Two threads that wait for one process can both miss that it has ended.
    ran.set()
    watch.join()
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
    from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

    class NamedSharedMemory:
        """The methods that Lava uses of its SharedMemoryManager."""

        def start(self) -> None:
            """Nothing to start."""

        def create_shared_memory(self, size: int) -> SharedMemory:
            """Memory for one channel."""
            _memory.append(SharedMemory(f"{prefix}{len(_memory)}", create=True, size=size))
            return _memory[-1]

        def shutdown(self) -> None:
            """Remove the memory of all channels."""
            _remove_memory()

    infrastructure.SharedMemoryManager = NamedSharedMemory


def _remove_memory() -> None:
    while _memory:
        _memory.pop().unlink()


def _actors(runtime: Any) -> list[Any]:
    """The forked processes of a Lava runtime (multiprocessing.Process with an `exception`)."""
    return list(runtime._messaging_infrastructure.actors)


def _fail(message: str) -> NoReturn:
    """End with a message as the last line; a normal exit would wait for Lava's other processes."""
    _remove_memory()  # or Python warns of it, in a line after the message
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def _end_with_client(folder: Path) -> None:
    """Wait until the client is gone, however it ended, then remove everything it cannot."""
    while os.read(0, 1):
        pass
    from export.targets.lava.parts.job import remove_shared_memory

    shutil.rmtree(folder, ignore_errors=True)
    remove_shared_memory(folder)
    os.killpg(0, signal.SIGKILL)


def _end_with_actors(runtime: Any, ran: threading.Event) -> None:
    """Lava waits for ever for a process of its own that was killed; end with a message instead."""
    while not ran.wait(0.2):
        for actor in _actors(runtime):
            try:
                status = actor.exitcode
            except ValueError:  # closed: Lava is stopping
                return
            if status is not None and status < 0:
                _fail(f"a Lava process ended by signal {-status}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
