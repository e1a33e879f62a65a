"""Work on a stranger's file in a child process, which may crash, loop or take memory by itself.

libhdf5 does all of these on damaged files: a signal ends the process, or a read never returns.
"""

import os
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from deploy.processes import die_with_parent

# A child that neither works nor ends waits for a lock that some thread held when it was forked.
_WALL_SECONDS = 60.0
_FAILED = 3


class Died(Exception):
    """The child did not end well; the message says why."""


def supervised(work: Callable[[], bytes], cpu_seconds: float, memory: int) -> bytes:
    """What `work` returns, computed in a forked child.

    cpu_seconds: of processor time the child may use. memory: bytes that it may allocate. Raises Died
    where it fails; what it raises is lost. Where there is no fork, `work` is run as it is.
    """
    if not hasattr(os, "fork"):
        return work()
    receiving, sending = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        # Newer Pythons warn of threads; the child uses none, and leaves without cleaning up.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        die_with_parent(parent)
        _work(work, sending, cpu_seconds, memory)
    os.close(sending)
    found = None
    try:
        found = _received(receiving, time.monotonic() + _WALL_SECONDS + 10 * cpu_seconds)
    finally:
        os.close(receiving)
        if found is None:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if found is None:
        raise Died("reading it does not end")
    if status == -signal.SIGPROF:
        raise Died(f"reading it takes more than {cpu_seconds:.1f} seconds")
    if status < 0:
        raise Died(f"reading it ends in {signal.Signals(-status).name}")
    if status:
        raise Died("reading it fails")
    return found


def _received(pipe: int, deadline: float) -> bytes | None:
    """All that comes until the other end closes, or None at the deadline."""
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(pipe, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _work(
    work: Callable[[], bytes], sending: int, cpu_seconds: float, memory: int
) -> NoReturn:  # the child's part
    try:
        import faulthandler
        import resource

        faulthandler.disable()

        # What libc says of a damaged heap is not for the user's terminal.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        statm = Path("/proc/self/statm")
        if statm.exists():
            held = int(statm.read_text().split()[0]) * resource.getpagesize()
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            wanted = held + memory
            resource.setrlimit(
                resource.RLIMIT_AS, (wanted if most < 0 else min(wanted, most), most)
            )
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        content = memoryview(work())
        while content:
            content = content[os.write(sending, content) :]
        os._exit(0)
    finally:
        # Whatever was raised, the parent's frames below must not go on in the child.
        os._exit(_FAILED)
