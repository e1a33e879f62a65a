"""What a population can do with sums in an interval: bounds of its states and of its messages.

The bounds iterate the recurrence itself on intervals: T and the shifts are monotone, so the image of
an interval is the interval of the images.
"""

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT, UV_LIMIT, decayed
from deploy.neurons.cuba import threshold
from deploy.neurons.edges import (
    ACTIVATION,
    CURRENT,
    DRIVE,
    FIRES,
    MESSAGE,
    POTENTIAL,
    RUNNING_SUM,
    SYNAPTIC_SUM,
)
from deploy.neurons.populations import (
    AnyPopulation,
    Delta,
    Graded,
    Population,
    Range,
    Sigma,
    SigmaDelta,
    Ternary,
    Threshold,
    message_range,
)

Int64 = NDArray[np.int64]
Interval = tuple[Int64, Int64]
Bounds = dict[str, Range]

# The emulator stops at a larger message.
LARGEST_MESSAGE = 2**31 - 1


def bounds(p: AnyPopulation, a: Interval, timesteps: int) -> tuple[Bounds, Interval]:
    """The range of what is held against each edge, and each neuron's smallest and largest message.

    a: the smallest and largest sum of each neuron, int64 [*shape], silence (0) included. timesteps:
    of a sample.
    """
    if isinstance(p, Population | Ternary | Threshold):
        low, high = message_range(p)
        return _spiking(p, a, timesteps), (np.full(p.shape, low), np.full(p.shape, high))
    found, s = _graded(p, a, timesteps)
    sent = np.clip(s[0], -LARGEST_MESSAGE, 0), np.clip(s[1], 0, LARGEST_MESSAGE)
    return found | {MESSAGE: _hull(*s)}, sent


def _spiking(p: Population | Ternary | Threshold, a: Interval, timesteps: int) -> Bounds:
    """The recurrence on intervals, each step's values taken into the bounds.

    A reset starts again from 0, so the longest stretch without one has all bounds.
    """
    zeros = np.zeros(p.shape, np.int64)
    u_low, u_high, v_low, v_high = zeros, zeros, zeros, zeros
    found = {SYNAPTIC_SUM: _hull(*a), CURRENT: (0, 0), DRIVE: (0, 0), POTENTIAL: (0, 0)}
    for _ in range(_stretch(p, timesteps)):
        before = (u_low, u_high, v_low, v_high)
        u_low = _decayed_u(p, u_low) + (a[0] << STATE_SHIFT)
        u_high = _decayed_u(p, u_high) + (a[1] << STATE_SHIFT)
        v_low = _decayed_v(p, v_low) + u_low + p.bias
        v_high = _decayed_v(p, v_high) + u_high + p.bias
        found[CURRENT] = _hull(u_low, u_high, found[CURRENT])
        found[DRIVE] = _hull(u_low + p.bias, u_high + p.bias, found[DRIVE])
        found[POTENTIAL] = _hull(v_low, v_high, found[POTENTIAL])
        # Beyond the register the edge is reached already; holding the bound there keeps it finite.
        u_low, u_high = np.maximum(u_low, -UV_LIMIT), np.minimum(u_high, UV_LIMIT)
        v_low, v_high = np.maximum(v_low, -UV_LIMIT), np.minimum(v_high, UV_LIMIT)
        v_low, v_high = _after_spike(p, v_low, v_high)
        after = (u_low, u_high, v_low, v_high)
        if all(np.array_equal(x, y) for x, y in zip(before, after, strict=True)):
            break
    if p.kind == "integrator":
        found[FIRES] = found[POTENTIAL]
    return found


def _stretch(p: Population | Ternary | Threshold, timesteps: int) -> int:
    if isinstance(p, Threshold):
        return min(timesteps, 1)
    if isinstance(p, Population) and p.reset_interval:
        return min(timesteps, max(p.reset_interval, p.reset_offset))
    return timesteps


def _decayed_u(p: Population | Ternary | Threshold, u: Int64) -> Int64:
    return u if isinstance(p, Threshold) else decayed(u, p.du + 1)


def _decayed_v(p: Population | Ternary | Threshold, v: Int64) -> Int64:
    return v if isinstance(p, Threshold) else decayed(v, p.dv)


def _after_spike(p: Population | Ternary | Threshold, low: Int64, high: Int64) -> Interval:
    """What does not fire stays between the thresholds; what can fire can return to zero."""
    fires = high > threshold(p.vth)
    high = np.where(fires, threshold(p.vth), high)
    low = np.where(fires, np.minimum(low, 0), low)
    if isinstance(p, Ternary):
        falls = low < threshold(p.vth_lo)
        low = np.where(falls, threshold(p.vth_lo), low)
        high = np.where(falls, np.maximum(high, 0), high)
    if isinstance(p, Population) and p.refractory:
        # Held at 0 for some steps, whatever the others do.
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    return low, high


def _graded(
    p: Graded | Delta | Sigma | SigmaDelta, a: Interval, timesteps: int
) -> tuple[Bounds, Interval]:
    """The bounds of states, and of messages."""
    low, high = a
    if isinstance(p, Graded):
        lowest = -np.inf if p.rectified else -p.vth
        return {}, (np.where(low < lowest, low, 0), np.where(high > p.vth, high, 0))
    found: Bounds = {}
    if isinstance(p, Sigma | SigmaDelta):
        low, high = low * timesteps, high * timesteps
        found[RUNNING_SUM] = _hull(low, high)
    if isinstance(p, Sigma):
        return found, (low, high)
    shift = p.spike_exp + p.state_exp
    if isinstance(p, SigmaDelta):
        bias = p.bias.astype(np.int64) << shift
        low, high = low + bias, high + bias
    else:
        low, high = low << shift, high << shift
    found[ACTIVATION] = _hull(low, high)
    if isinstance(p, SigmaDelta) and p.rectified:
        low, high = np.maximum(low, 0), np.maximum(high, 0)
    # δ is x less what it was when it was last sent, 0 at first.
    largest = np.maximum(high, 0) - np.minimum(low, 0)
    return found, (-largest >> p.state_exp, largest >> p.state_exp)


def _hull(low: Int64, high: Int64, other: Range = (0, 0)) -> Range:
    return min(other[0], int(low.min())), max(other[1], int(high.max()))
