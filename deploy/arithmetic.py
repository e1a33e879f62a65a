"""The chip's integer arithmetic: one step of current-based leaky integrate-and-fire neurons.

This is the reference to read beside the semantics it implements: lava-nc 0.10.0's fixed-point
models (tag `bit_accurate_loihi`), checked against them and against recorded Loihi hardware.
"""

import numpy as np
from numpy.typing import NDArray

from deploy.program import Population

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


def step(
    population: Population, u: Int64, v: Int64, a: Int64
) -> tuple[Int64, Int64, NDArray[np.bool_]]:
    """One step of a population: (u, v, synaptic sum a) → (u, v, s), all [samples, *shape].

        u ← wrap(T(u·(4096 − (du + 1))) + (a << 6))
        v ← clip(T(v·(4096 − dv)) + u + bias)
        s = v > (vth << 6);  v ← 0 where s

    The `+ 1` is Loihi's ds_offset: the register du holds the decay minus one. An integrator is a
    neuron of threshold 131071, which fires in the last 64 values below the clip: `deploy.proof` says
    whether it can.
    """
    u = wrapped(decayed(u, population.du + 1) + (a << STATE_SHIFT))
    v = clipped(decayed(v, population.dv) + u + population.bias)
    s = v > (population.vth.astype(np.int64) << STATE_SHIFT)
    return u, np.where(s, 0, v), s
