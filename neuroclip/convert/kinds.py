"""Which of snnTorch's neurons a chip has, and their constants; others are refused with the reason."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.errors import BadInput
from neuroclip.convert.watch.labels import plain

Values = NDArray[np.float64]

RECURRENT = (snn.RLeaky, snn.RSynaptic)
_KINDS = (snn.Leaky, snn.Synaptic, snn.RLeaky, snn.RSynaptic, snn.Lapicque)

# Why the others are not on the list.
_REASONS = {
    "Alpha": "its membrane potential is the difference of two filtered currents, a chip's neuron has one",
    "LeakyParallel": "its recurrence is that of nn.RNN over all steps at once, without a reset",
    "SLSTM": "it has gates, products of what it receives and holds, which no synapse makes",
    "SConv2dLSTM": "it has gates, products of what it receives and holds, which no synapse makes",
    "DeltaLeaky": "it sends differences of potentials",
}
_ADVICE = "expected Leaky, Synaptic, RLeaky or RSynaptic"


def neurons(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """(path, module) of every snnTorch neuron of a model."""
    for name, module in model.named_modules():
        if isinstance(module, snn.SpikingNeuron):
            yield plain(name), module


def require_kinds(model: nn.Module) -> None:
    """Raise BadInput naming the first neuron whose kind no chip has, before anything else is looked at."""
    for name, module in model.named_modules():
        kind = type(module).__name__
        foreign = (
            type(module).__module__.startswith("snntorch._neurons") and kind != "RecurrentOneToOne"
        )
        if not (foreign or isinstance(module, snn.SpikingNeuron)) or type(module) in _KINDS:
            continue
        reason = next((r for c in type(module).__mro__ if (r := _REASONS.get(c.__name__))), None)
        if reason is None:
            bases = [k.__name__ for k in _KINDS if isinstance(module, k)]
            reason = (
                f"what it changes in {bases[0]} is not known"
                if bases
                else "its equations are others"
            )
        raise BadInput(f"module '{name}': {kind} does not exist on the chip ({reason}); {_ADVICE}")
    for name, neuron in neurons(model):
        if isinstance(neuron, snn.Lapicque):
            _require_lapicque(name, neuron)


def _require_lapicque(name: str, neuron: Any) -> None:
    if not (hasattr(neuron, "R") and hasattr(neuron, "C")):
        raise BadInput(
            f"module '{name}': Lapicque does not exist on the chip as it is (snnTorch makes none of beta, R "
            "and C together); give two of them"
        )
    if neuron.reset_mechanism != "none":
        raise BadInput(
            f"module '{name}': Lapicque does not exist on the chip with a reset (it "
            "comes one step late and takes that step's input with it); a LIF of the same circuit is "
            "Leaky(beta=1 − time_step/(R·C), reset_mechanism='zero', reset_delay=False), its input times "
            "time_step/C"
        )


def require_plain(model: nn.Module) -> None:
    """Raise BadInput naming the first neuron that changes its spikes or states in a way no chip does."""
    for name, neuron in neurons(model):
        if neuron.inhibition:
            raise BadInput(f"module '{name}': inhibition does not exist on the chip")
        factor = float(neuron.graded_spikes_factor.reshape(-1)[0])
        if factor != 1 or bool((neuron.graded_spikes_factor != factor).any()):
            raise BadInput(
                f"module '{name}': graded_spikes_factor {factor:g}; "
                "multiply the next layer's weights by it instead"
            )
        if neuron.reset_mechanism != "none" and bool((neuron.threshold < 0).any()):
            raise BadInput(
                f"module '{name}': a threshold of {float(neuron.threshold.min()):g} is negative"
            )


def resets_late(neuron: Any) -> bool:
    """Whether neurons hold the potential they fired at and clear it as the next step begins.

    Leaky by default: its spikes are those of a reset at once. snnTorch's others clear the next step's
    input with it, and are refused.
    """
    return bool(
        type(neuron) is snn.Leaky and neuron.reset_mechanism == "zero" and neuron.reset_delay
    )


def late_reset(name: str) -> BadInput:
    """The refusal of an RSynaptic that resets."""
    return BadInput(
        f"module '{name}': RSynaptic of this snnTorch cannot reset within the step: whatever reset_delay "
        "says, it resets one step late and takes that step's input with it (with reset_delay=False and "
        "init_hidden it stops); use RLeaky, or Synaptic with a Linear from its spikes"
    )


def values(parameter: Any, shape: tuple[int, ...]) -> Values:
    """A parameter of a neuron, float64, one for each neuron of a population."""
    held = parameter.detach().cpu().double().numpy()
    return np.broadcast_to(held, shape).reshape(-1) if held.size > 1 else held.reshape(-1)


def decay(neuron: Any, name: str, shape: tuple[int, ...]) -> Values:
    """What a neuron keeps of its state each step."""
    if isinstance(neuron, snn.Lapicque):
        return 1 - values(neuron.time_step / (neuron.R * neuron.C), shape)
    return np.clip(values(getattr(neuron, name), shape), 0, 1)


def input_gain(neuron: Any, shape: tuple[int, ...]) -> Values | None:
    """What a current is multiplied by: Lapicque's time_step/C, None for all others."""
    if isinstance(neuron, snn.Lapicque):
        return values(neuron.time_step / neuron.C, shape)
    return None


def prepared(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A module that can be run and watched here, and what to say of it: (module, notes).

    What torch wrapped around it (DataParallel, torch.compile) is taken off; one on another device is
    copied to the CPU. Raises BadInput for a module whose operations cannot be seen.
    """
    while True:
        inside = getattr(model, "_orig_mod", None)
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inside = model.module
        if not isinstance(inside, nn.Module):
            break
        model = inside
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise BadInput(
                f"module '{name}': a torch.jit module does not show what it does; give the nn.Module that "
                "it was made of"
            )
    notes = []
    devices = {x.device.type for x in (*model.parameters(), *model.buffers())} - {"cpu"}
    if "meta" in devices:
        raise BadInput("model: it has no values (device 'meta'); load its weights first")
    if devices:
        for _, neuron in neurons(model):
            if hasattr(neuron, "reset_mem"):
                neuron.reset_mem()
        try:
            model = copy.deepcopy(model).cpu()
        except RuntimeError as error:
            raise BadInput(
                f"model: it is on {', '.join(sorted(devices))} and cannot be copied to the CPU, where it is "
                f"run ({error}); move it there (model.cpu())"
            ) from error
        notes.append(f"a copy of it was run on the CPU; it is on {', '.join(sorted(devices))}")
    changing = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    if any(m.training for m in model.modules() if isinstance(m, changing)):
        notes.append(
            "it was in training: it is run in evaluation, its dropout off and its norms by their running "
            "statistics"
        )
    return model, tuple(notes)
