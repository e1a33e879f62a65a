"""Independent trainings in processes of their own, none of which outlives the command."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TypeVar

from deploy.errors import CheckFailed
from deploy.processes import die_with_parent

T = TypeVar("T")
R = TypeVar("R")


def in_processes(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """The results of work(item), as they come; with one job in this process.

    work: a function of a module. However the caller stops, by an exception, a signal or its end, no
    process is left. Raises CheckFailed where one of them was killed.
    """
    if jobs == 1:
        yield from map(work, items)
        return
    # Started anew, not forked: torch's threads do not survive a fork. Items go as plain pickles, as
    # multiprocessing's own would put tensors into shared memory.
    context = multiprocessing.get_context("spawn")
    pending: set[Future[R]] = set()
    whole = False
    with ProcessPoolExecutor(jobs, context, _begin, (os.getpid(),)) as pool:
        try:
            for item in items:
                pending.add(pool.submit(_run, work, pickle.dumps(item)))
                if len(pending) >= 2 * jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            whole = True
        except BrokenProcessPool as error:
            raise CheckFailed(f"a process of a training was ended from outside: {error}") from error
        finally:
            if not whole:
                for process in multiprocessing.active_children():
                    process.kill()
                _nobody_reads(pool)


def _nobody_reads(pool: ProcessPoolExecutor) -> None:
    """Let a pool whose processes were ended end too.

    Before Python 3.12 (gh-94777) its thread waits for ever to write an item that is larger than a pipe
    holds, since the pool itself keeps the end open that nobody reads any more.
    """
    with suppress(AttributeError, OSError):
        pool._call_queue._reader.close()  # type: ignore[attr-defined]


def _run(work: Callable[[T], R], item: bytes) -> R:
    return work(pickle.loads(item))  # of our own process


def _begin(parent: int) -> None:
    # Ctrl-C reaches every process of a terminal; it is the parent that answers.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    die_with_parent(parent)
