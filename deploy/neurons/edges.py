"""The edges of the chip's registers: what is held against which limit, and counts of what went beyond.

Public bit-accurate simulators and the chip agree except beyond these; `deploy.prove.proof` says which of
them a program can reach, and `count_edges` how often a run did.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT, UV_LIMIT, clipped, decayed
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

SYNAPTIC_SUM = "synaptic sum beyond 21 bits"
CURRENT = "current u wraps"
DRIVE = "u + bias beyond 24 bits"
POTENTIAL = "membrane potential v clips"
FIRES = "integrator fires"
RUNNING_SUM = "running sum beyond 24 bits"
ACTIVATION = "activation beyond 24 bits"
MESSAGE = "message beyond its bits"

# nengo-loihi's emulator and Brian2Loihi hold a synaptic sum in 21 bits after the shift by 6.
SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX = -(2**15), 2**15 - 1
_STATE_LIMIT = (-UV_LIMIT + 1, UV_LIMIT - 1)


def limits(p: AnyPopulation) -> dict[str, Range]:
    """The edges of a population and the smallest and largest value inside each."""
    if isinstance(p, Population | Ternary | Threshold):
        found = dict.fromkeys((CURRENT, DRIVE, POTENTIAL), _STATE_LIMIT)
        found = {SYNAPTIC_SUM: (SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX)} | found
        if p.kind == "integrator":
            found[FIRES] = (_STATE_LIMIT[0], int(p.vth.max()) << STATE_SHIFT)
        return found
    found = {} if isinstance(p, Graded | Delta) else {RUNNING_SUM: _STATE_LIMIT}
    if isinstance(p, Delta | SigmaDelta):
        found[ACTIVATION] = _STATE_LIMIT
    return found | {MESSAGE: message_range(p)}


def count_edges(
    p: AnyPopulation,
    a: Int64,
    before: Mapping[str, Int64],
    after: Mapping[str, Int64],
    s: Int64,
) -> dict[str, int]:
    """How many values of each edge of a population are beyond its limit.

    a, s: synaptic sums and messages, int64 of any shape that ends with the population's. before,
    after: the states that a trace records ("u", "v"), of the same shape, before the dynamics of these
    steps (a reset is before them) and after.
    """
    values = _values(p, a, before, after, s)
    return {
        name: int(np.count_nonzero((values[name] < low) | (values[name] > high)))
        for name, (low, high) in limits(p).items()
    }


def _values(
    p: AnyPopulation,
    a: Int64,
    before: Mapping[str, Int64],
    after: Mapping[str, Int64],
    s: Int64,
) -> dict[str, Int64]:
    """What is held against the limits: values before they wrap or clip."""
    if isinstance(p, Graded):
        return {MESSAGE: s}
    if isinstance(p, Delta):
        return {MESSAGE: s, ACTIVATION: after["u"]}
    if isinstance(p, Sigma):
        return {MESSAGE: s, RUNNING_SUM: after["u"]}
    if isinstance(p, SigmaDelta):
        shift = p.spike_exp + p.state_exp
        return {
            MESSAGE: s,
            RUNNING_SUM: after["u"],
            ACTIVATION: after["u"] + (p.bias.astype(np.int64) << shift),
        }
    arriving = a << STATE_SHIFT
    drive = after["u"] + p.bias
    if isinstance(p, Threshold):
        current, potential = arriving, drive
    else:
        current = decayed(before["u"], p.du + 1) + arriving
        potential = decayed(before["v"], p.dv) + drive
    return {
        SYNAPTIC_SUM: a,
        CURRENT: current,
        DRIVE: drive,
        POTENTIAL: potential,
        FIRES: clipped(potential),
    }
