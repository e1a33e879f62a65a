"""What is said of work that takes long, on stderr: how much, a person chooses once for the whole process.

On a terminal it is a bar. In a log it is a line after 5 s, and then ever more rarely, without the
characters that move a cursor. `--quiet` leaves it out; `--verbose` names stages and files too.
"""

import sys
import time
from collections.abc import Iterable
from typing import Any, Literal

Verbosity = Literal["quiet", "normal", "verbose"]

# Seconds until the first line in a log; the pause doubles with each, up to the longest.
FIRST_S, LONGEST_S = 5.0, 300.0
_IN_A_LOG = "{desc}: {n_fmt} of {total_fmt}, {elapsed} passed, {remaining} to go{postfix}"
_WITHOUT_TOTAL = "{desc}: {n_fmt}, {elapsed} passed{postfix}"

_verbosity: Verbosity = "normal"


def set_verbosity(verbosity: Verbosity) -> None:
    """Say so much from now on, in this process."""
    global _verbosity
    _verbosity = verbosity


def verbosity() -> Verbosity:
    """How much is said."""
    return _verbosity


def say(text: str) -> None:
    """A line on stderr of what is being done, by `--verbose` only."""
    if _verbosity == "verbose":
        print(text, file=sys.stderr, flush=True)


def track(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    unit: str = "it",
    total: int | None = None,
    initial: int = 0,
    leave: bool = True,
    show: bool = True,
) -> Any:
    """The items, or without any a tqdm bar to `update` and close, shown as it suits where stderr leads.

    leave: whether what is shown last stays. show: another process may be the one that tells.
    """
    from tqdm import tqdm  # takes its time, and sets how processes are started

    asked = {"desc": desc, "unit": unit, "total": total, "initial": initial, "leave": leave}
    if not show or _verbosity == "quiet" or sys.stderr is None:
        return tqdm(items, **asked, disable=True)
    if sys.stderr.isatty():
        return tqdm(items, **asked)
    known = total is not None or hasattr(items, "__len__")
    return tqdm(
        items,
        **asked,
        file=_Lines(sys.stderr),
        bar_format=_IN_A_LOG if known else _WITHOUT_TOTAL,
        delay=FIRST_S,
        mininterval=FIRST_S,
        position=0,
    )


class _Lines:
    """What a bar draws over and over, as lines of their own: now and then, and where it ends."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._pause = stream, FIRST_S
        self._next, self._last, self._told = time.monotonic(), "", ""

    def write(self, text: str) -> None:
        """Take what tqdm draws: a text, or the newline after its last."""
        self._last = text.strip() or self._last
        now = time.monotonic()
        if (now < self._next and text != "\n") or self._last == self._told:
            return
        self._told = self._last
        self._next, self._pause = now + self._pause, min(2 * self._pause, LONGEST_S)
        self._stream.write(f"{self._last}\n")

    def flush(self) -> None:
        """As of the stream."""
        self._stream.flush()
