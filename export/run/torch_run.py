"""The torch executor: a quantized module run step by step, its states and registers as it holds them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.emulate.trace import Record, Trace
from deploy.program.program import bias_registers
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.neurons import ChipNeuron, recorded
from neuroclip.chip.relays import ChipIdentity, ChipRelay, relayed
from neuroclip.chip.synapses import V_UNIT, ChipLinear, ChipSumPool2d


@torch.no_grad()
def run_torch(
    network: nn.Module, inputs: Mapping[str, NDArray[Any]], record: Record = "all"
) -> Trace:
    """Run a chip network on its inputs {name: integers [samples, time, *shape]}.

    Spikes and states are what the modules hold after each step.
    """
    device = next(network.parameters()).device
    sent = {
        name: torch.from_numpy(np.ascontiguousarray(messages)).to(device, torch.float32)
        for name, messages in inputs.items()
    }
    first = next(iter(sent.values()))
    with relayed(network) as relays:
        found = recorded(network, sent if len(sent) > 1 else first)
        graded = {n: _integers(_sent(relay, first.shape)) for n, relay in relays.items()}
    states = {name: tuple(_integers(x) for x in held) for name, held in found.items()}
    neurons = _neurons(network)
    messages_sent = {
        name: np.count_nonzero(messages, axis=0).sum(axis=0, dtype=np.int64)
        for name, messages in inputs.items()
    }
    return Trace(
        first.shape[0],
        first.shape[1],
        s={n: s.astype(np.uint8) for n, (_, _, s) in states.items() if record != "none"}
        | {n: s for n, s in graded.items() if record != "none"},
        u={n: u for n, (u, _, _) in states.items() if record == "all"},
        v={n: v for n, (_, v, _) in states.items() if record == "all"},
        messages=messages_sent
        | {n: s.sum(axis=(0, 1), dtype=np.int64) for n, (_, _, s) in states.items()}
        | {n: np.count_nonzero(s, axis=(0, 1)) for n, s in graded.items()},
        readout={n: states[n][1][:, -1] for n, m in neurons.items() if m.kind == "integrator"},
    )


def torch_registers(network: nn.Module) -> dict[str, NDArray[np.int32]]:
    """The registers that the modules really hold, named as `deploy.program.program.registers` names them."""
    found: dict[str, NDArray[np.int32]] = {}
    for name, neuron in _neurons(network).items():
        bias = neuron.register(neuron.integer_bias()).cpu().numpy()
        mantissa, exponent = bias_registers(name, bias)
        values = {
            "du": neuron.register(neuron.du),
            "dv": neuron.register(neuron.dv),
            "vth": neuron.register(neuron.threshold / V_UNIT),
            "bias_mant": mantissa,
            "bias_exp": exponent,
        }
        found |= {
            f"{name}/{r}": np.broadcast_to(np.asarray(value, np.int32), neuron.shape)
            for r, value in values.items()
        }
    wires = network.wires if isinstance(network, ChipNetwork) else ()
    delays = {wire.name: wire.delay for wire in wires}
    for name, module in network.named_modules():
        if isinstance(module, ChipLinear | ChipSumPool2d | ChipIdentity):
            found[f"{name}/weight"] = _integers(module.integer_weight())
            exponent = module.chip_exponent if isinstance(module, ChipIdentity) else 0
            found |= {
                f"{name}/exponent": np.array(exponent, np.int32),
                f"{name}/delay": np.array(delays.get(name, 0), np.int32),
            }
    return found


def _neurons(network: nn.Module) -> dict[str, ChipNeuron]:
    return {n: m for n, m in network.named_modules() if isinstance(m, ChipNeuron)}


def _sent(relay: ChipRelay, sizes: tuple[int, ...]) -> Tensor:
    """What a relay sent, in whole samples or one step after another: [samples, time, *shape]."""
    parts = relay.sent
    held = torch.stack(parts, dim=1) if len(parts) == sizes[1] != 1 else parts[0]
    return held.reshape(*sizes[:2], *relay.shape)


def _integers(values: Tensor) -> NDArray[np.int32]:
    """A float64 tensor of integers as int32; anything else in it is a bug of ours."""
    array = values.detach().cpu().numpy()
    assert (array == np.rint(array)).all(), "a chip state is not an integer"
    return array.astype(np.int32)
