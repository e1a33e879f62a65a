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
from neuroclip.neurons import ChipNeuron
from neuroclip.quantize import V_UNIT, ChipLinear


def to_nir(network: nn.Module, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph of a network of ChipLinear and ChipNeuron modules, named as the modules are.

    Raises BadInput naming the module that NIR cannot express.
    """
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
        clears = isinstance(module, ChipNeuron) and bool((module.register(module.du) == 4095).all())
        if clears and module.integer_bias().any():
            before = next(a for a, b in edges if b == name)
            nodes[before] = _with_bias(nodes[before], module)
    # Metadata is information only: no reader may rely on it, and ours does not.
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt})


def _linear(module: ChipLinear) -> nir.Linear:
    return nir.Linear(weight=module.integer_weight().detach().cpu().numpy().astype(np.float32))


def _neuron(module: ChipNeuron, dt: float) -> nir.NIRNode:
    du, dv, vth = (
        module.register(x).cpu().numpy().astype(np.float64)
        for x in (module.du, module.dv, module.vth)
    )
    each = np.ones(module.shape)
    fires = {"v_threshold": vth, "v_reset": 0 * each} if module.kind == "lif" else {}
    clears = _all_or_none("du", du == 4095)
    integrates = _all_or_none("dv", dv == 0)
    if clears:
        if integrates:
            # v' = r·I under forward Euler adds dt·r·I a step.
            return (nir.IF if fires else nir.I)(r=each / dt, **fires)
        tau_mem = 4096 * dt / dv
        leak = {"tau": tau_mem, "r": tau_mem / dt, "v_leak": 0 * each}
        return (nir.LIF if fires else nir.LI)(**leak, **fires)
    if integrates or (du < 0).any():
        raise BadInput(
            f"a neuron with du {du.min():g} and dv {dv.min():g} has an infinite time constant, "
            "which NIR's CubaLIF cannot hold"
        )
    tau_mem, tau_syn = 4096 * dt / dv, 4096 * dt / (du + 1)
    return (nir.CubaLIF if fires else nir.CubaLI)(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=tau_mem / dt,
        # An Affine bias would pass the synaptic filter; a constant drive of v is its resting value.
        v_leak=_bias(module) * (4096 / dv),
        w_in=tau_syn / dt,
        **fires,
    )


def _all_or_none(register: str, holds: np.ndarray) -> bool:
    """Whether a register has its special value in all neurons; one NIR node cannot hold both."""
    if holds.any() and not holds.all():
        raise BadInput(
            f"a neuron's {register} has its special value in some neurons of a layer only"
        )
    return bool(holds.all())


def _bias(neuron: ChipNeuron) -> np.ndarray:
    """The integer bias in NIR's unit of v, float64 [*shape]."""
    return neuron.register(neuron.integer_bias()).cpu().numpy() / V_UNIT


def _with_bias(linear: nir.Linear, neuron: ChipNeuron) -> nir.Affine:
    """Where the current clears each step, a neuron's bias is the bias of one layer before it."""
    return nir.Affine(weight=linear.weight, bias=_bias(neuron))


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
