"""The checks by which a population that no chip holds is refused."""

import numpy as np

from deploy.arithmetic.registers import (
    BIAS_EXP_MAX,
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    DECAY_MAX,
    EXPONENT_MAX,
    GRADED_BITS_MAX,
    GRADED_BITS_MIN,
    MESSAGE_MAX,
    REFRACTORY_MAX,
    SDN_BIAS_MAX,
    VTH_MAX,
    check_number,
    check_range,
)
from deploy.errors import BadInput
from deploy.neurons.populations import (
    AnyPopulation,
    Delta,
    Graded,
    Population,
    Sigma,
    SigmaDelta,
    Spiking,
    Ternary,
    register_arrays,
)

_STEPS_MAX = 2**31 - 1


def check_population(p: AnyPopulation) -> None:
    """Refuse a population that no chip holds (BadInput)."""
    for name, array in register_arrays(p).items():
        if array.shape != p.shape or array.dtype != np.int32:
            raise BadInput(
                f"node '{p.name}': {name} is {array.dtype} {array.shape}, expected int32 {p.shape}"
            )
    if isinstance(p, Spiking):
        _check_spiking(p)
        return
    if isinstance(p, Graded):
        check_number(p.name, "vth", p.vth, 0, MESSAGE_MAX)
    elif not isinstance(p, Sigma):
        _check_delta(p)
    check_number(p.name, "message_bits", p.message_bits, GRADED_BITS_MIN, GRADED_BITS_MAX)


def _check_spiking(p: Spiking) -> None:
    fires = True
    if isinstance(p, Population):
        if p.kind not in ("lif", "integrator"):
            raise BadInput(f"node '{p.name}': unknown kind of population {p.kind!r}")
        fires = p.kind == "lif"
        check_number(p.name, "refractory", p.refractory, 0, REFRACTORY_MAX)
        check_number(p.name, "reset_interval", p.reset_interval, 0, _STEPS_MAX)
        check_number(p.name, "reset_offset", p.reset_offset, 0, max(p.reset_interval - 1, 0))
    if isinstance(p, Population | Ternary):
        check_range(p.name, "du", p.du, -1, DECAY_MAX)
        check_range(p.name, "dv", p.dv, 0, DECAY_MAX)
    check_range(p.name, "vth", p.vth, 0 if fires else VTH_MAX, VTH_MAX)
    if isinstance(p, Ternary):
        check_range(p.name, "vth_lo", p.vth_lo, -VTH_MAX - 1, VTH_MAX)
        crossed = np.argwhere(p.vth_lo > p.vth)
        if crossed.size:
            i = tuple(int(n) for n in crossed[0])
            raise BadInput(
                f"node '{p.name}': vth_lo {p.vth_lo[i]} at index {list(i)} is above vth {p.vth[i]}"
            )
    check_range(p.name, "bias_mant", p.bias_mant, BIAS_MANT_MIN, BIAS_MANT_MAX)
    check_range(p.name, "bias_exp", p.bias_exp, 0, BIAS_EXP_MAX)


def _check_delta(p: Delta | SigmaDelta) -> None:
    check_number(p.name, "spike_exp", p.spike_exp, 0, EXPONENT_MAX)
    check_number(p.name, "state_exp", p.state_exp, 0, EXPONENT_MAX)
    shift = p.spike_exp + p.state_exp
    check_number(p.name, "vth", p.vth, 0, MESSAGE_MAX >> shift)
    if isinstance(p, SigmaDelta):
        largest = min(SDN_BIAS_MAX, MESSAGE_MAX >> shift)
        check_range(p.name, "bias", p.bias, -largest - 1, largest)
