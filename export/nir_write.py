"""Torch module → NIR, through nirtorch, with node values that are the chip's registers exactly.

Units in the file: weights are the integer weights, thresholds the register vth, biases the integer
bias / 64, and one unit of a node's v is 64 units of the chip's v. Time constants are those of
forward Euler with step dt: a decay register k is τ = 4096·dt/k, from which k is recovered.
"""

from collections.abc import Callable, Mapping
from typing import Any

import nir
import nirtorch
import numpy as np
from torch import nn

from deploy.errors import BadInput
from export.nir_file import DEFAULT_DT
from neuroclip.quantize import V_UNIT, ChipLinear, ChipNeuron
from neuroclip.resets import require_chip_resets


def to_nir(network: nn.Module, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph of a network of ChipLinear and ChipNeuron modules, named as the modules are.

    Raises BadInput naming the module that NIR cannot express.
    """
    require_chip_resets(network)
    names = {module: name for name, module in network.named_modules()}
    made: dict[int, str] = {}

    def noting(convert: Callable[[Any], nir.NIRNode]) -> Callable[[nn.Module], nir.NIRNode]:
        """`convert`, with a note of which module each node came from: fx makes up its own names."""

        def converted(module: nn.Module) -> nir.NIRNode:
            node = convert(module)
            made[id(node)] = names[module]
            return node

        return converted

    module_map = {type(m): noting(_linear) for m in names if isinstance(m, ChipLinear)}
    module_map[ChipNeuron] = noting(lambda module: _neuron(module, dt))
    # nirtorch's default map would override ours for plain Linear layers.
    traced = nirtorch.torch_to_nir(network, module_map, default_dict=None, type_check=False)
    nodes, edges = _renamed(traced, made)
    for name, module in network.named_modules():
        if isinstance(module, ChipNeuron) and module.du == 4095 and module.integer_bias().any():
            before = next(a for a, b in edges if b == name)
            nodes[before] = _with_bias(nodes[before], module)
    # Metadata is information only: no reader may rely on it, and ours does not.
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt})


def _linear(module: ChipLinear) -> nir.Linear:
    return nir.Linear(weight=module.integer_weight().detach().cpu().numpy().astype(np.float32))


def _neuron(module: ChipNeuron, dt: float) -> nir.NIRNode:
    size = module.bias.shape[0]

    def each(value: float) -> np.ndarray:
        return np.full(size, value, dtype=np.float64)

    tau_mem = 4096 * dt / module.dv if module.dv else None
    fires = {"v_threshold": each(module.vth), "v_reset": each(0)} if module.kind == "lif" else {}
    if module.du == 4095:
        if tau_mem is None:
            # v' = r·I under forward Euler adds dt·r·I a step.
            return (nir.IF if fires else nir.I)(r=each(1 / dt), **fires)
        leak = {"tau": each(tau_mem), "r": each(tau_mem / dt), "v_leak": each(0)}
        return (nir.LIF if fires else nir.LI)(**leak, **fires)
    if tau_mem is None or module.du < 0:
        raise BadInput(
            f"a neuron with du {module.du} and dv {module.dv} has an infinite time constant, "
            "which NIR's CubaLIF cannot hold"
        )
    tau_syn = 4096 * dt / (module.du + 1)
    bias = module.integer_bias().detach().cpu().numpy() / V_UNIT
    return (nir.CubaLIF if fires else nir.CubaLI)(
        tau_syn=each(tau_syn),
        tau_mem=each(tau_mem),
        r=each(tau_mem / dt),
        # An Affine bias would pass the synaptic filter; a constant drive of v is its resting value.
        v_leak=bias * (4096 / module.dv),
        w_in=each(tau_syn / dt),
        **fires,
    )


def _with_bias(linear: nir.Linear, neuron: ChipNeuron) -> nir.Affine:
    """Where the current clears each step, a neuron's bias is the bias of one layer before it."""
    bias = neuron.integer_bias().detach().cpu().numpy() / V_UNIT
    return nir.Affine(weight=linear.weight, bias=bias)


def _renamed(
    graph: nir.NIRGraph, made: Mapping[int, str]
) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    """Nodes and edges under the modules' own names, with `input` and `output` at the ends."""
    names: dict[str, str] = {}
    for traced, node in graph.nodes.items():
        ends = {nir.Input: "input", nir.Output: "output"}
        name = ends.get(type(node)) or made[id(node)]
        if name in names.values():
            raise BadInput(f"module '{name}': it is used twice; give each use a module of its own")
        names[traced] = name
    nodes = {names[traced]: node for traced, node in graph.nodes.items()}
    edges = [(names[a], names[b]) for a, b in graph.edges]
    last = next(a for a, b in edges if b == "output")
    nodes["output"] = nir.Output(output_type=nodes[last].output_type)
    return nodes, edges
