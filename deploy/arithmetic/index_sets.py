"""Sets and ranges of indices as integer arrays."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def ragged(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, …, start + length − 1 of each, one after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def distinct(values: Ints, bound: int) -> Ints:
    """The distinct values, ascending, of integers in 0..bound − 1."""
    if bound > 16 * len(values) + (1 << 20):
        # Most values come in a few ascending runs, which a stable sort only merges, or next to equals.
        return _thinned(np.sort(_thinned(values), kind="stable"))
    # Where the bound is not far above their number, marking them is much faster than sorting.
    seen = np.zeros(bound, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)


def _thinned(values: Ints) -> Ints:
    """Of equals next to each other the first."""
    return values[np.append(True, values[1:] != values[:-1])[: len(values)]]


def fingerprints(members: Ints, of: Ints, sets: int, bound: int) -> Ints:
    """Two numbers of each set, equal where the sets are: int64 [2, sets].

    members: each once in its set, in 0..bound − 1 and in the same order in all sets; of: the set of each.
    """
    drawn = np.random.default_rng(0).integers(0, 1 << 38, (2, bound))
    found = [np.bincount(of, x[members], sets) for x in drawn.astype(np.float64)]
    # Whatever rounds beyond 2^53, does so in equal sets alike.
    return np.array(found).astype(np.int64)
