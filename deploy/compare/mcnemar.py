"""Whether two classifiers that saw the same samples differ: McNemar's exact test."""

from math import exp, lgamma, log


def discordant(a: str, b: str) -> tuple[int, int]:
    """How many samples a alone has right, and b alone; "1" is right, one character a sample."""
    return (
        sum(x == "1" != y for x, y in zip(a, b, strict=True)),
        sum(y == "1" != x for x, y in zip(a, b, strict=True)),
    )


def mcnemar(b: int, c: int) -> float:
    """The two-sided p of b samples that one alone has right against c that the other alone has.

    p = min(1, 2 P(X ≤ min(b, c))), X ~ Bin(b + c, ½): were both equally good, each such sample would
    fall on either side as a coin does (McNemar 1947, Psychometrika 12:153, with the exact binomial
    in place of χ²). Samples that both have right, or both wrong, say nothing.
    """
    n, k = b + c, min(b, c)
    term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2))
    total = 0.0
    # From the largest term down: P(X = k − 1) = P(X = k) k / (n − k + 1), until nothing is added.
    while term > total * 1e-17:
        total += term
        term *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * total)
