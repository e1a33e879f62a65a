"""Seconds spent in each stage of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.progress import say


class Stages:
    """Seconds spent in each stage of a run."""

    def __init__(self, start: float | None = None) -> None:
        """start: processor seconds before the first stage: the interpreter and its imports."""
        self.seconds: dict[str, float] = {} if start is None else {"start": start}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        say(f"{stage} …")
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
            say(f"{stage}: {took:.2f} s")
