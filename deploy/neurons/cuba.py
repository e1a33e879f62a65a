"""Current-based leaky integrate-and-fire neurons: one and two thresholds, and without memory."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT, clipped, decayed, wrapped
from deploy.neurons.populations import Population, Ternary, Threshold

Int64 = NDArray[np.int64]
State = Mapping[str, Int64]


def step_population(p: Population, state: State, a: Int64, t: int) -> tuple[State, Int64]:
    """One step of a Population: reset, dynamics, refractory steps, spike.

    held: the steps for which v is still held at 0. nengo-loihi's emulator counts one more and takes
    one off in the step of the spike, which is the same.
    """
    u, v, held = state["u"], state["v"], state["held"]
    if resets(p, t):
        u, v = np.zeros_like(u), np.zeros_like(v)
    u, v = integrated(p, u, v, a)
    v = np.where(held > 0, 0, v)
    s = v > threshold(p.vth)
    held = np.where(s, p.refractory, np.maximum(held - 1, 0))
    return {"u": u, "v": np.where(s, 0, v), "held": held}, s.astype(np.int64)


def resets(p: Population, t: int) -> bool:
    """Whether the rule of a population clears its state before step t."""
    return p.reset_interval > 0 and t % p.reset_interval == p.reset_offset


def step_ternary(p: Ternary, state: State, a: Int64) -> tuple[State, Int64]:
    """One step of a Ternary population."""
    u, v = integrated(p, state["u"], state["v"], a)
    s = (v > threshold(p.vth)).astype(np.int64) - (v < threshold(p.vth_lo))
    return {"u": u, "v": np.where(s != 0, 0, v)}, s


def step_threshold(p: Threshold, state: State, a: Int64) -> tuple[State, Int64]:
    """One step of a Threshold population, whatever the state."""
    u = wrapped(a << STATE_SHIFT)
    v = clipped(u + p.bias)
    s = v > threshold(p.vth)
    return {"u": u, "v": np.where(s, 0, v)}, s.astype(np.int64)


def integrated(p: Population | Ternary, u: Int64, v: Int64, a: Int64) -> tuple[Int64, Int64]:
    """The current and the membrane potential before a spike.

    The `+ 1` is Loihi's ds_offset: the register du holds the decay minus one.
    """
    u = wrapped(decayed(u, p.du + 1) + (a << STATE_SHIFT))
    return u, clipped(decayed(v, p.dv) + u + p.bias)


def threshold(register: NDArray[np.int32]) -> Int64:
    """A threshold register in units of v."""
    return register.astype(np.int64) << STATE_SHIFT
