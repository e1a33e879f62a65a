"""Interval arithmetic on the chip's integers: what an operation can make of values between two ends.

T, shifts and clips are monotone, so the image of an interval is the interval of the images; a wrap
is not, and its image here is the smallest interval around the pieces.

Ends from ±2^60 on stand for everything that 64 bits hold: the emulator's own integers can wrap
beyond. They are kept at ±2^61, so that nothing here leaves 64 bits.
"""

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import UV_LIMIT, Int64, clipped, decayed

Range = tuple[int, int]
Interval = tuple[Int64, Int64]

_KNOWN = 2**60
_EVERYTHING = 2**61
# A product with 4096 leaves 64 bits from here on; T of whatever 64 bits hold is not beyond.
_DECAYS = 2**51


def point(values: NDArray[np.int32] | Int64) -> Interval:
    """Known values as an interval."""
    return values.astype(np.int64), values.astype(np.int64)


def hull(of: Interval, other: Range = (0, 0)) -> Range:
    """The smallest and largest value of all neurons, and of another range; silence (0) is in it."""
    low, high = min(other[0], int(of[0].min())), max(other[1], int(of[1].max()))
    return (-(2**63), 2**63 - 1) if low <= -_KNOWN or high >= _KNOWN else (low, high)


def added(x: Interval, y: Interval) -> Interval:
    """Sums."""
    return _known(x[0] + y[0], x[1] + y[1])


def shifted(x: Interval, bits: int) -> Interval:
    """x << bits; negative bits shift right (floor)."""
    if bits < 0:
        wild = _wild(*x)
        return _spread(x[0] >> -bits, x[1] >> -bits, wild)
    most = _KNOWN >> bits
    return _known(*(np.clip(end, -most, most) << bits for end in x))


def decayed_interval(x: Interval, decay: NDArray[np.int32] | int) -> Interval:
    """T(x·(4096 − decay))."""
    wild = (x[0] <= -_DECAYS) | (x[1] >= _DECAYS)
    low, high = (decayed(np.clip(end, -_DECAYS + 1, _DECAYS - 1), decay) for end in x)
    return np.where(wild, -_DECAYS, low), np.where(wild, _DECAYS, high)


def wrapped_interval(x: Interval) -> Interval:
    """A current wrapped once into 24 bits: whatever both sides of a reachable wrap make of it."""
    low, high = x
    above, below = high > UV_LIMIT, low <= -UV_LIMIT
    if not (above | below).any():
        return x
    inside = (low <= UV_LIMIT) & (high > -UV_LIMIT)
    pieces = (
        (inside, np.maximum(low, -UV_LIMIT + 1), np.minimum(high, UV_LIMIT)),
        (above, np.maximum(low, UV_LIMIT + 1) - 2 * UV_LIMIT, high - 2 * UV_LIMIT),
        (below, low + 2 * UV_LIMIT, np.minimum(high, -UV_LIMIT) + 2 * UV_LIMIT),
    )
    return _spread(
        np.min([np.where(there, first, _KNOWN) for there, first, _ in pieces], axis=0),
        np.max([np.where(there, last, -_KNOWN) for there, _, last in pieces], axis=0),
        _wild(low, high),
    )


def clipped_interval(x: Interval) -> Interval:
    """A membrane potential clipped to 24 bits."""
    return clipped(x[0]), clipped(x[1])


def joined(x: Interval, value: int, where: NDArray[np.bool_] | bool = True) -> Interval:
    """The smallest intervals with one value more, where it can be taken."""
    return (
        np.where(where, np.minimum(x[0], value), x[0]),
        np.where(where, np.maximum(x[1], value), x[1]),
    )


def repeated(x: Interval, times: int) -> Interval:
    """Sums of up to so many values of an interval that has 0 in it."""
    most = _KNOWN // max(times, 1) + 1
    return _known(*(np.clip(end, -most, most) * times for end in x))


def _wild(low: Int64, high: Int64) -> NDArray[np.bool_]:
    wild: NDArray[np.bool_] = (low <= -_KNOWN) | (high >= _KNOWN)
    return wild


def _known(low: Int64, high: Int64) -> Interval:
    return _spread(low, high, _wild(low, high))


def _spread(low: Int64, high: Int64, wild: NDArray[np.bool_]) -> Interval:
    if not wild.any():
        return low, high
    return np.where(wild, -_EVERYTHING, low), np.where(wild, _EVERYTHING, high)
