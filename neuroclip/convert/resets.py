"""Resets that the chip and NIR do not have, turned into the one they have, and what that changes.

A chip's neuron, and a NIR one, is set to zero within the step in which it fires. snnTorch's default
subtracts the threshold, one step late: a network trained so fires otherwise on a chip. Leaky set to zero
one step late fires as the chip does: only the potential that it shows at a spike is another.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.convert.kinds import late_reset, neurons, resets_late

# The neurons that can reset within the step.
_NEURONS = (snn.Leaky, snn.Synaptic, snn.RLeaky)

Forward = Callable[[nn.Module, Tensor], Any]


@dataclass(frozen=True)
class ResetEffect:
    """What another reset changes in one neuron module over the given data.

    before, after: its spikes. mismatches: of the `values` spike values, how many differ.
    """

    name: str
    before: int
    after: int
    mismatches: int
    values: int

    def describe(self) -> str:
        """One line."""
        return (
            f"'{self.name}': {self.before} spikes before, {self.after} after; "
            f"{self.mismatches} of {self.values} values differ"
        )


def require_chip_resets(model: nn.Module) -> None:
    """Raise BadInput naming the first neuron whose reset neither NIR nor the chip can express."""
    for name, neuron in neurons(model):
        if isinstance(neuron, snn.RSynaptic) and neuron.reset_mechanism != "none":
            raise late_reset(name)
        if neuron.reset_mechanism == "subtract":
            raise BadInput(
                f"module '{name}': reset_mechanism 'subtract' cannot be expressed in NIR, nor does it "
                "exist on the chip; convert with neuroclip.convert.resets.with_chip_reset, whose effect "
                "reset_effect measures, or train with reset_mechanism='zero', reset_delay=False"
            )
        late = neuron.reset_mechanism == "zero" and getattr(neuron, "reset_delay", True)
        if late and not resets_late(neuron):
            raise BadInput(
                f"module '{name}': reset_delay=True resets one step late, and {type(neuron).__name__} "
                "takes that step's input with it; the chip and NIR reset at once; "
                "convert with neuroclip.convert.resets.with_chip_reset, whose effect reset_effect measures, "
                "or train with reset_delay=False"
            )


def with_chip_reset(model: nn.Module) -> nn.Module:
    """A copy whose spiking neurons are set to zero in the step in which they fire.

    Neurons that never reset (reset_mechanism "none") stay. Everything else is the model's.
    Raises BadInput naming a neuron that cannot reset so.
    """
    changed = copy.deepcopy(model)
    for name, neuron in neurons(changed):
        if neuron.reset_mechanism == "none":
            continue
        if isinstance(neuron, snn.RSynaptic):
            raise late_reset(name)
        if not isinstance(neuron, _NEURONS):
            raise BadInput(
                f"module '{name}': {type(neuron).__name__} cannot reset within the step; "
                "expected Leaky, Synaptic or RLeaky"
            )
        neuron.reset_mechanism = "zero"
        neuron.reset_delay = False
        # Which function makes the step is otherwise chosen once, when the neuron is made.
        neuron.state_function = neuron._base_zero
    return changed


def reset_effect(
    model: nn.Module, data: Tensor, forward: Forward | None = None
) -> tuple[ResetEffect, ...]:
    """Spikes of every neuron module under its own reset and under the chip's, on the same data.

    data: [samples, time, ...]. forward(model, data) runs all steps; without it `model` is called
    once a step on data[:, t]. State is cleared before and after. Raises BadInput as
    `with_chip_reset` does, and where no neuron is called.
    """
    before = _spikes(model, data, forward or _step_by_step)
    after = _spikes(with_chip_reset(model), data, forward or _step_by_step)
    if not before:
        raise BadInput("model: no snnTorch neuron is called on these data")
    return tuple(
        ResetEffect(
            name,
            int((before[name] != 0).sum()),
            int((after[name] != 0).sum()),
            int((before[name] != after[name]).sum()),
            before[name].numel(),
        )
        for name in before
    )


def _step_by_step(model: nn.Module, data: Tensor) -> None:
    for t in range(data.shape[1]):
        model(data[:, t])


@torch.no_grad()
def _spikes(model: nn.Module, data: Tensor, forward: Forward) -> dict[str, Tensor]:
    """{neuron module: what it sent, [calls, ...]} of one run from cleared state, in evaluation."""
    sent: dict[str, list[Tensor]] = {}

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            sent.setdefault(name, []).append(spikes.detach().clone())

        return note

    found = list(neurons(model))
    training = model.training
    hooks = [neuron.register_forward_hook(noting(name)) for name, neuron in found]
    try:
        _clear(found)
        model.eval()
        forward(model, data)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
        _clear(found)
    return {name: torch.stack(parts) for name, parts in sent.items()}


def _clear(found: list[tuple[str, Any]]) -> None:
    for _, neuron in found:
        if hasattr(neuron, "reset_mem"):
            neuron.reset_mem()
