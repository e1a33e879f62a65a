"""Which populations Lava's fixed-point neurons compute, and the keyword arguments of their processes."""

from typing import Any

import numpy as np

from deploy.arithmetic.registers import DECAY_MAX, IntArray, Shape
from deploy.errors import BadInput
from deploy.neurons.populations import (
    AnyPopulation,
    Delta,
    Graded,
    Population,
    SigmaDelta,
    Ternary,
    Threshold,
)

# When a population clears its state within a sample: before every step t % interval == offset.
Rule = tuple[int, int]


def check_neurons(p: AnyPopulation) -> None:
    """Refuse, by name, a population that no fixed-point model of Lava computes (BadInput)."""
    if isinstance(p, Population) and p.refractory:
        raise BadInput(
            f"node '{p.name}': a refractory period of {p.refractory} steps has no fixed-point model in "
            "Lava (its LIFRefractory is in floating point only); the emulator runs it"
        )


def neuron_arguments(p: AnyPopulation, shape: Shape) -> dict[str, Any]:
    """Arguments of Lava's LIF, TernaryLIF, GradedVec or GradedReluVec, Delta, Sigma or SigmaDelta.

    shape: [*shape] or flattened, [size]. An integrator is a LIF whose threshold register is at its
    maximum, a threshold without memory one that is reset before every step (`rule`).
    """
    if isinstance(p, Population | Ternary | Threshold):
        found: dict[str, Any] = {
            "shape": shape,
            "bias_mant": p.bias_mant.reshape(shape),
            "bias_exp": p.bias_exp.reshape(shape),
            "name": p.name,
        }
        if isinstance(p, Threshold):
            return found | {"du": DECAY_MAX, "dv": DECAY_MAX, "vth": _register(p.vth, shape)}
        found |= {"du": _register(p.du, shape), "dv": _register(p.dv, shape)}
        if isinstance(p, Ternary):
            vth_lo = _register(p.vth_lo, shape)
            return found | {"vth_hi": _register(p.vth, shape), "vth_lo": vth_lo}
        return found | {"vth": _register(p.vth, shape)}
    if isinstance(p, Graded):
        return {"shape": shape, "vth": p.vth}
    if isinstance(p, Delta | SigmaDelta):
        found = {r: getattr(p, r) for r in ("vth", "spike_exp", "state_exp", "cum_error")}
        found["shape"] = shape
        if isinstance(p, Delta):
            return found
        from lava.proc.sdn.process import ActivationMode

        mode = ActivationMode.RELU if p.rectified else ActivationMode.UNIT
        return found | {"bias": p.bias.reshape(shape), "act_mode": mode}
    return {"shape": shape}


def rule(p: AnyPopulation) -> Rule:
    """When a population clears its state within a sample; an interval of 0 for never."""
    if isinstance(p, Threshold):
        return 1, 0
    return (p.reset_interval, p.reset_offset) if isinstance(p, Population) else (0, 0)


def stock_interval(p: AnyPopulation, timesteps: int) -> int:
    """The interval at which Lava's LIFReset clears a population as its rule and its samples ask.

    It starts with the sample. Raises BadInput, naming the node, where no interval does both, and
    for neurons that Lava cannot reset.
    """
    check_neurons(p)
    if isinstance(p, Graded):
        return timesteps  # without a state
    if not isinstance(p, Population | Threshold):
        raise BadInput(
            f"node '{p.name}': Lava's stock {p.kind} neurons are never reset, so that a sample would "
            "start with the state of the last; `run_lava` and the emulator clear it"
        )
    interval, offset = rule(p)
    if interval == 0 or offset >= timesteps or (offset == 0 and interval >= timesteps):
        return timesteps
    if offset or timesteps % interval:
        raise BadInput(
            f"node '{p.name}': Lava's LIFReset has one interval, and cannot clear both every "
            f"{timesteps} steps and every {interval} from {offset} on; `run_lava` and the emulator do"
        )
    return interval


def _register(values: IntArray, shape: Shape) -> int | IntArray:
    """One number where a register is uniform, as people write it in Lava, else an array."""
    if (values == values.flat[0]).all():
        return int(values.flat[0])
    return np.ascontiguousarray(values).reshape(shape)
