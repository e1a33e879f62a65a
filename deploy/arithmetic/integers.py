"""The chip's integer arithmetic: what the neuron models of `deploy.neurons` are made of.

These are the operations of lava-nc 0.10.0's fixed-point models (tag `bit_accurate_loihi`), checked
against them and against recorded Loihi hardware.
"""

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

UV_LIMIT = 2**23  # u and v are registers of 24 bits, sign included
DECAY_SHIFT = 12  # decays are fractions of 4096
STATE_SHIFT = 6  # synaptic sums and thresholds are aligned with v by 6 bits


def decayed(state: Int64, decay: NDArray[np.int32] | int) -> Int64:
    """T(state·(4096 − decay)), T(x) = sign(x)·(|x| >> 12): truncation toward zero."""
    product = state * (4096 - np.asarray(decay, dtype=np.int64))
    return np.sign(product) * (np.abs(product) >> DECAY_SHIFT)


def wrapped(u: Int64) -> Int64:
    """Wrap a current once into (−2^23, 2^23], as Lava does; both ends are those of Lava."""
    u = np.where(u > UV_LIMIT, u - 2 * UV_LIMIT, u)
    return np.where(u <= -UV_LIMIT, u + 2 * UV_LIMIT, u)


def clipped(v: Int64) -> Int64:
    """Clip a membrane potential to ±(2^23 − 1)."""
    return np.clip(v, -UV_LIMIT + 1, UV_LIMIT - 1)


def shifted_sum(total: Int64, exponent: int) -> Int64:
    """A synaptic sum under its weight exponent; a negative one shifts the sum right (floor)."""
    return total << exponent if exponent >= 0 else total >> -exponent
