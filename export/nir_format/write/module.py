"""Torch module → NIR, through nirtorch, with node values that are the chip's registers exactly.

Units in the file: weights are the integer weights, thresholds the register vth, biases the integer
bias / 64, and one unit of a node's v is 64 units of the chip's v. Time constants are those of
forward Euler with step dt: a decay register k is τ = 4096·dt/k, from which k is recovered.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np
from torch import nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.upstream_bugs import trace, untyped_graph
from export.nir_format.write.nodes import delay_node, flatten_node, neuron_node
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipRelay
from neuroclip.chip.synapses import V_UNIT, ChipConv2d, ChipLinear, ChipSumPool2d
from neuroclip.convert.resets import require_chip_resets


def to_nir(network: nn.Module, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph of chip synapses and ChipNeurons, named as the modules are.

    network: a ChipNetwork, or modules that nirtorch can trace. Raises BadInput naming the module
    that NIR cannot express.
    """
    require_chip_resets(network)
    for name, module in network.named_modules():
        if isinstance(module, ChipRelay):
            raise BadInput(
                f"module '{name}': NIR has no neurons that relay graded sums; lower skips by fan-in"
            )
    if isinstance(network, ChipNetwork):
        return _wired(network, dt)
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
    module_map[ChipNeuron] = noting(lambda module: _neuron(names[module], module, dt))
    nodes, edges = _renamed(trace(network, module_map), made)
    for name, module in network.named_modules():
        if isinstance(module, ChipNeuron) and _is_affine_bias(module):
            before = next(a for a, b in edges if b == name)
            nodes[before] = _with_bias(nodes[before], module)
    # Metadata is information only: no reader may rely on it, and ours does not.
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt})


def _wired(network: ChipNetwork, dt: float) -> nir.NIRGraph:
    """The graph of a network that names its own wires; a loop's delay is the standard's own step."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(network.shape))}
    edges: list[tuple[str, str]] = []
    shapes = {"input": network.shape}
    for name in network.order:
        shapes[name] = network.neuron(name).shape
    for name in network.order:
        neuron = network.neuron(name)
        into = [wire for wire in network.wires if wire.target == name]
        pools = any(isinstance(getattr(network, w.name), ChipSumPool2d) for w in into)
        # NIR's pooling has weights of 1, the chip's are even: all of its target is halved.
        unit = 2 if pools else 1
        nodes[name] = _neuron(name, neuron, dt, unit)
        for wire in into:
            source = shapes[wire.source]
            node = _synapses(getattr(network, wire.name), source, unit)
            before = wire.source
            if wire.delay and wire.source != wire.target:
                # A step of its own; only a loop to itself is read as delayed without saying so.
                nodes[f"{wire.name}_delay"] = delay_node(source, wire.delay, dt)
                edges.append((before, f"{wire.name}_delay"))
                before = f"{wire.name}_delay"
            if isinstance(node, nir.Linear) and len(source) > 1:
                nodes[f"{wire.name}_flatten"] = flatten_node(source)
                edges.append((before, f"{wire.name}_flatten"))
                before = f"{wire.name}_flatten"
            nodes[wire.name] = node
            edges += [(before, wire.name), (wire.name, name)]
        if _is_affine_bias(neuron):
            bias = _bias(neuron)
            alike = bias.ndim == 3 and (bias == bias[:, :1, :1]).all()
            no = ChipSumPool2d if alike else ChipSumPool2d | ChipConv2d
            carrier = next(
                (w.name for w in into if not isinstance(getattr(network, w.name), no)), None
            )
            if carrier is None:
                raise BadInput(f"module '{name}': no layer before it can carry its bias in NIR")
            nodes[carrier] = _with_bias(nodes[carrier], neuron, unit)
    for i, name in enumerate(network.outputs):
        end = "output" if len(network.outputs) == 1 else f"output_{i}"
        nodes[end] = nir.Output(np.array(shapes[name]))
        edges.append((name, end))
    return untyped_graph(nodes, edges, {"dt": dt})


def _synapses(module: nn.Module, source: Shape, unit: int) -> nir.NIRNode:
    if isinstance(module, ChipSumPool2d):
        kernel, stride, padding = (
            np.array(x) for x in (module.kernel, module.stride, module.padding)
        )
        return nir.SumPool2d(kernel, stride, padding)
    assert isinstance(module, ChipLinear)
    if not isinstance(module, ChipConv2d):
        return _linear(module, unit)
    weight = module.integer_weight().detach().cpu().numpy().astype(np.float32) / unit
    return nir.Conv2d(
        (source[1], source[2]), weight, module.stride, module.padding, module.dilation, module.groups,
        np.zeros(len(weight), np.float32),
    )  # fmt: skip


def _linear(module: ChipLinear, unit: int = 1) -> nir.Linear:
    return nir.Linear(module.integer_weight().detach().cpu().numpy().astype(np.float32) / unit)


def _neuron(name: str, module: ChipNeuron, dt: float, unit: int = 1) -> nir.NIRNode:
    du, dv, vth = (
        module.register(x).cpu().numpy().astype(np.float64)
        for x in (module.du, module.dv, module.vth)
    )
    threshold = vth / unit if module.kind == "lif" else None
    # An Affine bias would pass a synaptic filter; a constant drive of v is its resting value.
    rest = np.zeros(module.shape) if (du == 4095).all() else _bias(module, unit)
    du, dv = (np.broadcast_to(x, module.shape) for x in ((du + 1) / 4096, dv / 4096))
    return neuron_node(f"module '{name}'", threshold, du, dv, rest, dt)


def _bias(neuron: ChipNeuron, unit: int = 1) -> np.ndarray:
    """The integer bias in NIR's unit of v, float64 [*shape]."""
    return neuron.register(neuron.integer_bias()).cpu().numpy() / V_UNIT / unit


def _is_affine_bias(neuron: ChipNeuron) -> bool:
    """Where the current clears each step, a neuron's bias is the bias of one layer before it."""
    clears = bool((neuron.register(neuron.du) == 4095).all())
    return clears and bool(neuron.integer_bias().any())


def _with_bias(node: nir.NIRNode, neuron: ChipNeuron, unit: int = 1) -> nir.NIRNode:
    """A layer with the bias of the neurons after it."""
    bias = _bias(neuron, unit)
    if isinstance(node, nir.Conv2d):
        channels = bias[:, 0, 0]
        assert (bias == channels[:, None, None]).all(), "one bias for each channel"
        return replace(node, bias=channels)
    return nir.Affine(weight=node.weight, bias=bias)


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
