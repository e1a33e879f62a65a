"""Timing of calls that take turns."""

import importlib.util
import os
import resource
import time
from collections.abc import Callable

HAS_NUMBA = importlib.util.find_spec("numba") is not None


def rounds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Least seconds, of wall and of CPU (children that ended included), of calls that take turns, after
    one turn to warm up."""
    best = dict.fromkeys(calls, (float("inf"), float("inf")))
    for turn in range(repeats + 1):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), _processor_time()
            call()
            wall, cpu = time.perf_counter() - wall, _processor_time() - cpu
            if turn:
                best[name] = min(best[name][0], wall), min(best[name][1], cpu)
    return best


def _processor_time() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def machine() -> str:
    """What figures of this run depend on."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return f"{cores} cores, {load:.1f} processes running on them before, {threads} BLAS threads"
