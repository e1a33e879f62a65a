"""Processes and signals: how one is asked to end, and children that do not outlive their parent."""

import ctypes
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Ctrl-C, `kill`, and a terminal that was closed.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
# While a command cleans up, further signals are not obeyed; after so long they are, at once.
_CLEANING_S, _AGAIN_S = 10.0, 0.05
# Linux: the signal that a process gets when its parent dies (prctl(2)).
_PR_SET_PDEATHSIG = 1
# Before any fork, whose child must not wait for a lock of the loader's.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Ended(KeyboardInterrupt):
    """A signal that ends a command: everything is cleaned up on the way out."""

    def __init__(self, number: int) -> None:
        by = f"ended by {signal.Signals(number).name}"
        super().__init__("interrupted" if number == signal.SIGINT else by)
        self.number = number


def die_with_parent(parent: int) -> None:
    """Called in a child: it is killed when its parent, a process number, ends in whatever way (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone meanwhile
            os._exit(128 + signal.SIGKILL)


@contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """Within, the signals that ask a process to end raise `Ended`, unless they are ignored (nohup).

    One is enough: what comes while the first is cleaned up after is not obeyed. Where code that is no
    business of ours swallows the exception, as destructors do, it is raised again. What is yielded is
    to be called where the exception has been caught for good.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked: list[float] = []
    raised: list[weakref.ref[Ended]] = []
    within = True

    def caught() -> None:
        nonlocal within
        within = False

    def end(number: int, _: FrameType | None) -> None:
        if not asked:
            asked.append(time.monotonic())
        elif time.monotonic() - asked[0] > _CLEANING_S:
            os._exit(128 + number)
        elif raised and raised[-1]() is not None:
            return
        found = Ended(number)
        raised.append(weakref.ref(found, lambda _: again(number)))
        try:
            raise found
        finally:
            del found  # or its own traceback holds it, and it never goes

    def again(number: int) -> None:
        if within:  # a little later, when whatever swallowed it is done
            timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
            timer.daemon = True
            timer.start()

    def unraisable(what: Any) -> None:
        if not isinstance(what.exc_value, Ended):
            shown(what)

    shown, held = sys.unraisablehook, {}
    for name in _ENDING:
        number = getattr(signal, name, None)  # SIGHUP is not everywhere
        if number is not None and signal.getsignal(number) in (
            signal.SIG_DFL,
            signal.default_int_handler,
        ):
            held[number] = signal.signal(number, end)
    sys.unraisablehook = unraisable
    try:
        yield caught
    finally:
        caught()
        sys.unraisablehook = shown
        for number, before in held.items():
            signal.signal(number, before)
