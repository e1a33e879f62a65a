"""Many independent pieces of work: in threads, or through joblib's backends, over machines too."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import Literal, TypeVar

from deploy.errors import BadInput

T = TypeVar("T")
R = TypeVar("R")
Engine = Literal["threads", "joblib"]


def run_jobs(
    work: Callable[[T], R], items: Sequence[T], jobs: int, engine: Engine = "threads"
) -> Iterator[R]:
    """The results of work(item), in the order of the items, each as soon as it and those before are.

    engine: "threads" of this process, at most two pieces ahead of each; or "joblib", which follows
    the backend of `joblib.parallel_config`: its own processes, or backend="dask", the workers of a
    cluster (`pip install '.[cluster]'`); work and items are then pickled between our own processes.
    Raises BadInput where joblib is wanted and not installed.
    """
    if engine == "joblib":
        yield from _joblib(work, items, jobs)
        return
    with ThreadPoolExecutor(jobs) as pool:
        waiting: list[Future[R]] = []
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * jobs:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _joblib(work: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[R]:
    if find_spec("joblib") is None:
        raise BadInput(
            "engine 'joblib': joblib is not installed (pip install '.[cluster]' in the repository)"
        )
    import joblib

    # Waves, not one long call: their results are at hand, and kept, as they come.
    wave = 4 * jobs
    with joblib.Parallel(n_jobs=jobs) as parallel:
        for first in range(0, len(items), wave):
            yield from parallel(joblib.delayed(work)(item) for item in items[first : first + wave])
