"""A trained snnTorch network as a chip network: what the chip does alike is kept, the rest refused."""

from collections import OrderedDict

import snntorch as snn
import torch
from torch import Tensor, nn

from deploy.edges import SYNAPTIC_SUM_MAX
from deploy.errors import BadInput
from deploy.program import VTH_MAX
from neuroclip.neurons import ChipNeuron
from neuroclip.quantize import V_UNIT, ChipLinear, bias_exponent, weight_exponent


@torch.no_grad()
def to_chip(model: nn.Sequential, message_max: int = 1) -> nn.Sequential:
    """The chip network of an `nn.Sequential` of Linear layers, each before a Leaky or Synaptic.

    Weights and biases become integers under a power-of-two scale per layer, decays registers of 12
    bits; the result can be trained on, exported and run like any chip network. A neuron without
    reset becomes an integrator, whose membrane potential is read. message_max: the largest |input|,
    integers; 1 for spikes. Dropout and Identity are left out, as in evaluation.

    Raises BadInput naming the module that the chip cannot do as it is: another module, a reset by
    subtraction or with delay, a learned or graded output, one decay or threshold per neuron.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    pending: tuple[str, nn.Linear] | None = None
    for name, module in model.named_children():
        if isinstance(module, nn.Dropout | nn.Identity):
            continue
        if isinstance(module, nn.Linear) and pending is None:
            pending = name, module
        elif isinstance(module, snn.Leaky | snn.Synaptic) and pending is not None:
            layer, linear = pending
            layers[layer], layers[name] = _pair(name, linear, module, message_max)
            pending, message_max = None, 1
        else:
            raise BadInput(
                f"module '{name}': {type(module).__name__} here is not supported; "
                "expected Linear, then Leaky or Synaptic, and so on"
            )
    if pending is not None or not layers:
        raise BadInput("model: its last layer is no neuron, so nothing of it can be read")
    return nn.Sequential(layers)


def _pair(
    name: str, linear: nn.Linear, neuron: snn.Leaky | snn.Synaptic, message_max: int
) -> tuple[ChipLinear, ChipNeuron]:
    _check(name, neuron)
    integrator = neuron.reset_mechanism == "none"
    alpha = _scalar(name, "alpha", neuron.alpha) if isinstance(neuron, snn.Synaptic) else 0.0
    beta = _scalar(name, "beta", neuron.beta)
    threshold = _scalar(name, "threshold", neuron.threshold)
    exponent = weight_exponent(linear.weight, message_max, SYNAPTIC_SUM_MAX)
    if not integrator and threshold > 0:
        # The threshold has 17 bits: a network whose weights are tiny beside it gets coarser ones.
        while threshold * 2.0**exponent > VTH_MAX:
            exponent -= 1
    unit = V_UNIT * 2.0**exponent
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
    if alpha > 0 and bool(bias.any()):
        raise BadInput(
            f"module '{name}': a bias before a Synaptic passes its synaptic filter, which no "
            "register does; train with Linear(..., bias=False)"
        )
    synapses = ChipLinear(linear.weight, exponent)
    synapses.constrain_(SYNAPTIC_SUM_MAX / message_max)
    return synapses, ChipNeuron(
        bias,
        unit=unit,
        bias_exponent=bias_exponent(bias, unit),
        du=4095 - round(4096 * alpha),
        dv=round(4096 * (1 - beta)),
        vth=VTH_MAX if integrator else round(threshold * 2.0**exponent),
        kind="integrator" if integrator else "lif",
    )


def _check(name: str, neuron: snn.Leaky | snn.Synaptic) -> None:
    """What changes the spikes of a neuron on the chip is named, never dropped."""
    if neuron.reset_mechanism == "subtract":
        raise BadInput(
            f"module '{name}': reset_mechanism 'subtract' does not exist on the chip; "
            "train with reset_mechanism='zero', reset_delay=False"
        )
    if neuron.reset_mechanism == "zero" and neuron.reset_delay:
        raise BadInput(
            f"module '{name}': reset_delay=True resets one step late, the chip at once; "
            "train with reset_delay=False"
        )
    if neuron.inhibition or neuron.state_quant:
        raise BadInput(f"module '{name}': inhibition and state_quant do not exist on the chip")
    if float(neuron.graded_spikes_factor) != 1:
        raise BadInput(
            f"module '{name}': graded_spikes_factor {float(neuron.graded_spikes_factor):g}; "
            "multiply the next layer's weights by it instead"
        )


def _scalar(name: str, parameter: str, value: Tensor) -> float:
    if value.numel() != 1:
        raise BadInput(f"module '{name}': one {parameter} per neuron is not supported yet")
    return float(value)
