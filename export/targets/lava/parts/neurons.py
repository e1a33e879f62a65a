"""How Lava computes each kind of neurons: a table, and `register_lava` for kinds of one's own.

Lava itself is imported where a process is made and nowhere here: processes are named as text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.arithmetic.registers import DECAY_MAX, IntArray, Shape
from deploy.errors import BadInput
from deploy.neurons import (
    Delta,
    Graded,
    Integrator,
    Neurons,
    Population,
    Sigma,
    SigmaDelta,
    Ternary,
    Threshold,
    is_lif,
)

# When a population clears its state within a sample: before every step t % interval == offset.
Rule = tuple[int, int]
Arguments = dict[str, Any]

_OURS = "export.targets.lava.processes"


@dataclass(frozen=True)
class LavaNeurons:
    """How Lava computes a kind of neurons.

    arguments: (population, shape) → keyword arguments of its process; shape: [*shape] or flattened,
    [size]. recording: the process with recorders that `run_lava` runs, "module:Class" of a
    `export.targets.lava.processes.recording.Recording`, by population. stock: Lava's own process, for
    `build`; None where it is never reset, so that a sample would start with the state of the last.
    stateless: whether it has nothing to reset. rule: when state is cleared within a sample.
    """

    arguments: Callable[[Any, Shape], Arguments]
    recording: Callable[[Any], str]
    stock: Callable[[Any], str] | None = None
    stateless: bool = False
    rule: Callable[[Any], Rule] = lambda p: (0, 0)


def register_lava(kind: str, how: LavaNeurons) -> None:
    """Let the Lava target run populations of a kind of one's own.

    The worker, a process of its own, first imports the modules of the kind and of `how.arguments`,
    so one of these is to make this call.
    """
    _TABLE[kind] = how


def lava_neurons(p: Neurons) -> LavaNeurons:
    """How Lava computes a population. Raises BadInput, naming it, where it does not."""
    if p.kind not in _TABLE:
        raise BadInput(
            f"node '{p.name}': no Lava process is registered for neurons of kind '{p.kind}' "
            "(export.targets.lava.parts.neurons.register_lava); the emulator runs them"
        )
    return _TABLE[p.kind]


def check_neurons(p: Neurons) -> None:
    """Refuse, by name, a population that no fixed-point model of Lava computes (BadInput)."""
    lava_neurons(p)
    if is_lif(p) and p.refractory:
        raise BadInput(
            f"node '{p.name}': a refractory period of {p.refractory} steps has no fixed-point model in "
            "Lava (its LIFRefractory is in floating point only); the emulator runs it"
        )


def neuron_arguments(p: Neurons, shape: Shape) -> Arguments:
    """Keyword arguments of the process that computes a population, in this shape."""
    return lava_neurons(p).arguments(p, shape)


def rule(p: Neurons) -> Rule:
    """When a population clears its state within a sample; an interval of 0 for never."""
    return lava_neurons(p).rule(p)


def stock_interval(p: Neurons, timesteps: int) -> int:
    """The interval at which Lava's LIFReset clears a population as its rule and its samples ask.

    It starts with the sample. Raises BadInput, naming the node, where no interval does both, and
    for neurons that Lava cannot reset.
    """
    check_neurons(p)
    how = lava_neurons(p)
    if how.stateless:
        return timesteps
    if how.stock is None:
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


def _biased(p: Population | Ternary | Threshold, shape: Shape) -> Arguments:
    return {
        "shape": shape,
        "bias_mant": p.bias_mant.reshape(shape),
        "bias_exp": p.bias_exp.reshape(shape),
        "name": p.name,
    }


def _lif(p: Population, shape: Shape) -> Arguments:
    """Of LIF; an integrator is one whose threshold register is at its maximum."""
    held = {r: _register(x, shape) for r, x in (("du", p.du), ("dv", p.dv), ("vth", p.vth))}
    return _biased(p, shape) | held


def _ternary(p: Ternary, shape: Shape) -> Arguments:
    held = {"du": p.du, "dv": p.dv, "vth_hi": p.vth, "vth_lo": p.vth_lo}
    return _biased(p, shape) | {r: _register(x, shape) for r, x in held.items()}


def _threshold(p: Threshold, shape: Shape) -> Arguments:
    """Of LIF: a threshold without memory is one that is reset before every step (`rule`)."""
    held = {"du": DECAY_MAX, "dv": DECAY_MAX, "vth": _register(p.vth, shape)}
    return _biased(p, shape) | held


def _encoding(p: Delta | SigmaDelta, shape: Shape) -> Arguments:
    held = {r: getattr(p, r) for r in ("vth", "spike_exp", "state_exp", "cum_error")}
    return held | {"shape": shape}


def _sigma_delta(p: SigmaDelta, shape: Shape) -> Arguments:
    from lava.proc.sdn.process import ActivationMode

    mode = ActivationMode.RELU if p.rectified else ActivationMode.UNIT
    return _encoding(p, shape) | {"bias": p.bias.reshape(shape), "act_mode": mode}


def _register(values: IntArray, shape: Shape) -> int | IntArray:
    """One number where a register is uniform, as people write it in Lava, else an array."""
    if (values == values.flat[0]).all():
        return int(values.flat[0])
    return np.ascontiguousarray(values).reshape(shape)


_LIF = LavaNeurons(
    _lif,
    lambda p: f"{_OURS}.neurons:RecordingLIF",
    lambda p: "lava.proc.lif.process:LIFReset",
    rule=lambda p: (p.reset_interval, p.reset_offset),
)
_TABLE: dict[str, LavaNeurons] = {
    Population.kind: _LIF,
    Integrator.kind: _LIF,
    Ternary.kind: LavaNeurons(_ternary, lambda p: f"{_OURS}.neurons:RecordingTernary"),
    Threshold.kind: LavaNeurons(_threshold, _LIF.recording, _LIF.stock, rule=lambda p: (1, 0)),
    Graded.kind: LavaNeurons(
        lambda p, shape: {"shape": shape, "vth": p.vth},
        lambda p: f"{_OURS}.neurons:Recording{'Relu' if p.rectified else 'Graded'}",
        lambda p: f"lava.proc.graded.process:Graded{'Relu' if p.rectified else ''}Vec",
        stateless=True,
    ),
    Delta.kind: LavaNeurons(_encoding, lambda p: f"{_OURS}.sigma_delta:RecordingDelta"),
    Sigma.kind: LavaNeurons(
        lambda p, shape: {"shape": shape}, lambda p: f"{_OURS}.sigma_delta:RecordingSigma"
    ),
    SigmaDelta.kind: LavaNeurons(
        _sigma_delta, lambda p: f"{_OURS}.sigma_delta:RecordingSigmaDelta"
    ),
}
