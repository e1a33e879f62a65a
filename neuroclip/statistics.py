"""Intervals for measured proportions."""

from math import sqrt

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
