"""Many independent pieces of work: one after another, or on the workers of a Dask cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from deploy.errors import BadInput, CheckFailed

T = TypeVar("T")
R = TypeVar("R")

# Within this, a scheduler that is there answers.
_ANSWER_S = 10


def run_jobs(work: Callable[[T], R], items: Sequence[T], workers: int | None = None) -> Iterator[R]:
    """The results of work(item), in the order of the items, each as soon as it and those before are.

    workers: threads of the `cluster` within which this is called; work and items are then pickled
    between our own processes. Without any, this thread does it all, one item after another.
    """
    if workers is None:
        yield from map(work, items)
        return
    import joblib

    # Waves, not one long call: their results are at hand, and kept, as they come.
    wave = 4 * workers
    with joblib.Parallel(n_jobs=workers) as parallel:
        for first in range(0, len(items), wave):
            yield from parallel(joblib.delayed(work)(item) for item in items[first : first + wave])


@contextmanager
def cluster(address: str | None) -> Iterator[int | None]:
    """Within the block, `run_jobs` reaches a Dask cluster; yields how many threads it has.

    address: HOST:PORT of its scheduler, which is trusted: what is sent to and fro are pickles; None is
    none, and yields None. Raises
    BadInput where Dask is not installed, none answers or there are no workers, and CheckFailed where
    the workers are lost.
    """
    if address is None:
        yield None
        return
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
