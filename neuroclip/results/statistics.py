"""Intervals for measured proportions and differences."""

from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]

# The normal distribution's quantile for a two-sided 95 % interval.
_Z95 = 1.959963984540054
_DRAWS = 10_000


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval (low, high) of a proportion `correct` of `n`.

    centre = (p + z²/2n) / (1 + z²/n), half = z √(p(1-p)/n + z²/4n²) / (1 + z²/n)
    (Wilson 1927, J. Am. Stat. Assoc. 22:209). Raises ValueError unless 0 ≤ correct ≤ n and n ≥ 1.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} is no proportion")
    p, z2 = correct / n, _Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n of n the exact bounds are 0 and 1; rounding must not step over them.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


def paired_difference(a: BoolArray, b: BoolArray) -> tuple[float, float, float]:
    """Mean of a − b in points, and its 95 % interval (low, high) by a bootstrap over seeds × recordings.

    a, b: which recordings were classified rightly, bool [seeds, recordings]; every seed is tested on
    the same recordings. Seeds and recordings are each drawn anew with replacement, crossed, 10 000
    times, from a fixed seed (Owen 2007, Ann. Appl. Stat. 1:386, who shows it to be a little too wide); the
    interval is the draws' 2.5th and 97.5th percentile. Of one seed it is over the recordings alone.
    """
    differences = 100.0 * (a.astype(np.float64) - b)
    seeds, recordings = differences.shape
    of_seeds, of_recordings = _draws(seeds, recordings)
    means = np.einsum("ds,ds->d", of_seeds, of_recordings @ differences.T)
    low, high = np.percentile(means, (2.5, 97.5)) / (seeds * recordings)
    return float(differences.mean()), float(low), float(high)


@lru_cache(maxsize=1)
def _draws(seeds: int, recordings: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How often each seed [draws, seeds] and recording [draws, recordings] is drawn, alike for all pairs."""
    random = np.random.default_rng(0)
    of_seeds, of_recordings = (
        random.multinomial(n, [1 / n] * n, size=_DRAWS).astype(np.float32)
        for n in (seeds, recordings)
    )
    return of_seeds, of_recordings
