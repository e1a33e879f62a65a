"""Intervals for measured proportions and differences."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

# The normal distribution's quantile for a two-sided 95 % interval.
_Z95 = 1.959963984540054


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


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a − b over pairs, and its 95 % t interval (low, high); NaN ends for a single pair.

    d̄ ± t(0.975; n − 1)·s/√n, with s the standard deviation of the differences.
    """
    differences = np.subtract(a, b)
    mean, n = float(differences.mean()), len(differences)
    if n < 2:
        return mean, float("nan"), float("nan")
    # Here, since whoever only exports a model needs no SciPy.
    from scipy import stats

    half = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / sqrt(n))
    return mean, mean - half, mean + half
