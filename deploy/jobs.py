"""Many independent pieces of work: in threads, or through joblib's backends, over machines too."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, TypeVar

from deploy.errors import BadInput, CheckFailed

T = TypeVar("T")
R = TypeVar("R")
Engine = Literal["threads", "joblib"]

# Within this, a scheduler that is there answers.
_ANSWER_S = 10


def run_jobs(
    work: Callable[[T], R], items: Sequence[T], jobs: int, engine: Engine = "threads"
) -> Iterator[R]:
    """The results of work(item), in the order of the items, each as soon as it and those before are.

    engine: "threads" of this process, at most two pieces ahead of each, one job being this thread; or
    "joblib", which follows the backend of `joblib.parallel_config`: its own processes, or within
    `cluster` the workers of a cluster; work and items are then pickled between our own processes.
    Raises BadInput where joblib is wanted and not installed.
    """
    if engine == "joblib":
        yield from _joblib(work, items, jobs)
        return
    if jobs == 1:
        yield from map(work, items)
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


@contextmanager
def cluster(address: str) -> Iterator[int]:
    """Within the block, the engine "joblib" is a Dask cluster; yields how many threads it has.

    address: HOST:PORT of its scheduler, which is trusted: what is sent to and fro are pickles. Raises
    BadInput where Dask is not installed, none answers or there are no workers, and CheckFailed where
    the workers are lost.
    """
    for package in ("joblib", "distributed"):
        if find_spec(package) is None:
            raise BadInput(
                f"workers {address}: {package} is not installed (pip install '.[cluster]' in the "
                "repository)"
            )
    import joblib
    from distributed import Client, KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        client = Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"workers {address}: no Dask scheduler answers there: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise BadInput(f"workers {address}: the scheduler has no workers")
        try:
            with joblib.parallel_config(backend="dask"):
                yield threads
        except (KilledWorker, CommClosedError) as error:
            raise CheckFailed(f"workers {address}: {error}") from error


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
