"""The torch executor: a quantized module run step by step, its states and registers as it holds them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.program import bias_registers
from deploy.trace import Record, Trace
from neuroclip.quantize import V_UNIT, ChipLinear, ChipNeuron


@torch.no_grad()
def run_torch(
    network: nn.Module, inputs: Mapping[str, NDArray[Any]], record: Record = "all"
) -> Trace:
    """Run a chip network on one input {name: integers [samples, time, channels]}, step by step.

    Spikes and states are what the modules hold after each step; nothing is computed again.
    """
    neurons = _neurons(network)
    ((input_name, messages),) = inputs.items()
    device = next(network.parameters()).device
    steps: dict[str, list[NDArray[np.int32]]] = defaultdict(list)
    for module in neurons.values():
        module.reset_mem()
    for t in range(messages.shape[1]):
        network(torch.from_numpy(np.ascontiguousarray(messages[:, t])).to(device))
        for name, module in neurons.items():
            steps[f"{name}/s"].append(_integers(module.fired))
            steps[f"{name}/u"].append(_integers(module.syn))
            steps[f"{name}/v"].append(_integers(module.mem))
    held = {entry: np.stack(values, axis=1) for entry, values in steps.items()}
    messages_sent = {input_name: np.count_nonzero(messages, axis=0).sum(axis=0, dtype=np.int64)}
    return Trace(
        messages.shape[0],
        messages.shape[1],
        s={n: held[f"{n}/s"].astype(np.uint8) for n in neurons if record != "none"},
        u={n: held[f"{n}/u"] for n in neurons if record == "all"},
        v={n: held[f"{n}/v"] for n in neurons if record == "all"},
        messages=messages_sent
        | {n: held[f"{n}/s"].sum(axis=(0, 1), dtype=np.int64) for n in neurons},
        readout={n: held[f"{n}/v"][:, -1] for n, m in neurons.items() if m.kind == "integrator"},
    )


def torch_registers(network: nn.Module) -> dict[str, NDArray[np.int32]]:
    """The registers that the modules really hold, named as `deploy.program.registers` names them."""
    found: dict[str, NDArray[np.int32]] = {}
    for name, neuron in _neurons(network).items():
        size = neuron.bias.shape[0]
        mantissa, exponent = bias_registers(name, _integers(neuron.integer_bias()))
        values = {
            "du": neuron.du,
            "dv": neuron.dv,
            "vth": int(neuron.threshold) // V_UNIT,
            "bias_mant": mantissa,
            "bias_exp": exponent,
        }
        found |= {f"{name}/{r}": np.full(size, value, np.int32) for r, value in values.items()}
    for name, module in network.named_modules():
        if isinstance(module, ChipLinear):
            found[f"{name}/weight"] = _integers(module.integer_weight())
            found |= {
                f"{name}/exponent": np.array(0, np.int32),
                f"{name}/delay": np.array(0, np.int32),
            }
    return found


def _neurons(network: nn.Module) -> dict[str, ChipNeuron]:
    return {n: m for n, m in network.named_modules() if isinstance(m, ChipNeuron)}


def _integers(values: Tensor) -> NDArray[np.int32]:
    """A float64 tensor of integers as int32; anything else in it is a bug of ours."""
    array = values.detach().cpu().numpy()
    assert (array == np.rint(array)).all(), "a chip state is not an integer"
    return array.astype(np.int32)
