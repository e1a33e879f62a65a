"""Torch module → NIR, with node values that are the chip's registers exactly.

Units in the file: weights are the integer weights, thresholds the register vth, biases the integer
bias / 64, and one unit of a node's v is 64 units of the chip's v. Time constants are those of
forward Euler with step dt: a decay register k is τ = 4096·dt/k, from which k is recovered.
"""

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
from torch import nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.graph.graph import Graph, Neuron, Path, Readout, Source
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.upstream_bugs import trace
from export.nir_format.write.graph import graph_to_nir
from neuroclip.chip.network import INPUT, ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipRelay
from neuroclip.chip.synapses import V_UNIT, ChipConv2d, ChipLinear, ChipSumPool2d
from neuroclip.convert.resets import require_chip_resets
from neuroclip.linear.maps import Convolution, Dense, Operator


def to_nir(network: nn.Module, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph of chip synapses and ChipNeurons, named as the modules are.

    network: a ChipNetwork, or modules that nirtorch can trace, each layer with neurons after it.
    Raises BadInput naming the module that NIR cannot express.
    """
    return graph_to_nir(module_graph(network), dt)


def module_graph(network: nn.Module) -> Graph:
    """The normalised graph of a network; otherwise as `to_nir`."""
    require_chip_resets(network)
    for name, module in network.named_modules():
        if isinstance(module, ChipRelay):
            raise BadInput(
                f"module '{name}': NIR has no neurons that relay graded sums; lower skips by fan-in"
            )
    if isinstance(network, ChipNetwork):
        sources, wires, ends = network.inputs, network.wires, network.outputs
    else:
        shape, wires, ends = _traced(network)
        sources = {INPUT: shape}
    neurons: dict[str, Neuron] = {}
    shapes = dict(sources)
    for name in dict.fromkeys(wire.target for wire in wires):
        module = network.get_submodule(name)
        assert isinstance(module, ChipNeuron)
        neurons[name], shapes[name] = _neuron(name, module), module.shape
    paths = tuple(
        Path(
            wire.name, wire.source, wire.target,
            _operator(network.get_submodule(wire.name), shapes[wire.source]), wire.delay,
        )
        for wire in wires
    )  # fmt: skip
    outputs = tuple(
        Readout("output" if len(ends) == 1 else f"output_{i}", name) for i, name in enumerate(ends)
    )
    return Graph(
        tuple(Source(*s) for s in sources.items()), tuple(neurons.values()), paths, outputs
    )


def _operator(module: nn.Module, source: Shape) -> Operator:
    assert isinstance(module, ChipLinear | ChipSumPool2d)
    weight = module.integer_weight().detach().cpu().numpy().astype(np.float64)
    if isinstance(module, ChipSumPool2d):
        window = (source[-2], source[-1]), module.stride, module.padding
        return Convolution(weight, *window, groups=module.channels)
    if isinstance(module, ChipConv2d):
        window = (source[-2], source[-1]), module.stride, module.padding
        return Convolution(weight, *window, module.dilation, module.groups)
    return Dense(weight)


def _neuron(name: str, module: ChipNeuron) -> Neuron:
    du, dv, vth, bias = (
        module.register(x).cpu().numpy().astype(np.float64)
        for x in (module.du, module.dv, module.vth, module.integer_bias())
    )
    fires = module.kind == "lif"
    threshold = vth if fires else np.full(module.shape, np.inf)
    ones, zeros = np.ones(module.shape), np.zeros(module.shape)
    decays = (du + 1) / 4096, dv / 4096
    return Neuron(
        name,
        module.shape,
        "lif" if fires else "integrator",
        *decays,
        threshold,
        bias / V_UNIT,
        ones,
        zeros,
    )


def _traced(network: nn.Module) -> tuple[Shape, tuple[Wire, ...], tuple[str, ...]]:
    """(shape of the input, wires, output) of modules that nirtorch can trace."""
    names = {module: name for name, module in network.named_modules()}
    made: dict[int, str] = {}

    def noting(convert: Callable[[Any], nir.NIRNode]) -> Callable[[nn.Module], nir.NIRNode]:
        """`convert`, with a note of which module each node came from: fx makes up its own names."""

        def converted(module: nn.Module) -> nir.NIRNode:
            node = convert(module)
            made[id(node)] = names[module]
            return node

        return converted

    # Only the edges of what is traced are read.
    layers: dict[Any, Any] = {}
    for module, name in names.items():
        if isinstance(module, ChipConv2d):
            raise BadInput(
                f"module '{name}': a convolution has its image's size in a ChipNetwork only"
            )
        if isinstance(module, ChipLinear):
            layers[type(module)] = noting(lambda m: nir.Linear(np.zeros(m.integer_weight().shape)))
    layers[ChipNeuron] = noting(lambda m: nir.I(np.ones(m.shape)))
    edges = _renamed(trace(network, layers), made)
    before: dict[str, list[str]] = {}
    for a, b in edges:
        before.setdefault(b, []).append(a)
    wires = []
    for name, module in network.named_modules():
        if isinstance(module, ChipNeuron):
            for layer in before[name]:
                if not isinstance(network.get_submodule(layer), ChipLinear):
                    raise BadInput(f"module '{name}': '{layer}' before it is no chip synapses")
                wires += [Wire(layer, source, name) for source in before[layer]]
    first = network.get_submodule(next(b for a, b in edges if a == INPUT))
    assert isinstance(first, ChipLinear)
    return (first.weight.shape[1],), tuple(wires), tuple(before["output"])


def _renamed(graph: nir.NIRGraph, made: Mapping[int, str]) -> list[tuple[str, str]]:
    """Edges under the modules' own names, with `input` and `output` at the ends."""
    names: dict[str, str] = {}
    for traced, node in graph.nodes.items():
        ends = {nir.Input: INPUT, nir.Output: "output"}
        name = ends.get(type(node)) or made[id(node)]
        if name in names.values():
            raise BadInput(f"module '{name}': it is used twice; give each use a module of its own")
        names[traced] = name
    return [(names[a], names[b]) for a, b in graph.edges]
