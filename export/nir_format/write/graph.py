"""The normalised graph → NIR: nodes whose values give the graph again, under forward Euler.

The one writer: torch modules and programs become graphs first (`module`, `program`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.graph.graph import Graph, Neuron, Path
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.upstream_bugs import untyped_graph
from export.nir_format.write.nodes import (
    carries,
    delay_node,
    dense,
    layer_nodes,
    neuron_node,
    reshaping_nodes,
    written,
)

Float = NDArray[np.float64]


def graph_to_nir(graph: Graph, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph that `export.nir_format.normal.normalise` reads as `graph` at a step of dt seconds.

    Lists of synapses become dense layers, as in `as_written`. A bias goes into a layer where the
    current clears each step, since other readers know it there, and into v_leak elsewhere. Raises
    BadInput naming the node that NIR cannot hold: weights too many for a dense layer, a constant that
    no layer can carry, a name that is used twice.
    """
    nodes: dict[str, Any] = {s.name: nir.Input(np.array(s.shape)) for s in graph.inputs}
    shapes = graph.shapes
    edges: list[tuple[str, str]] = []

    def add(name: str, node: Any) -> None:
        if name in nodes:
            raise BadInput(f"node '{name}': NIR needs another name, this one is used twice")
        nodes[name] = node

    for n in graph.neurons:
        layers, n = _carried(n, graph.into(n.name), shapes)
        threshold = n.threshold if n.kind == "lif" else None
        add(n.name, neuron_node(threshold, n.du, n.dv, n.bias, dt))
        for layer in layers:
            chain = layer.nodes(shapes[layer.source], n.shape, dt)
            for name, node in chain:
                add(name, node)
            edges += pairwise([layer.source, *(name for name, _ in chain), n.name])
    for readout in graph.readouts:
        add(readout.name, nir.Output(np.array(shapes[readout.source])))
        edges.append((readout.source, readout.name))
    # Metadata is information only: no reader may rely on it, and ours does not. nir's own types are
    # wrong for kernels that are not square.
    return untyped_graph(nodes, edges, {"dt": dt})


@dataclass(frozen=True, eq=False)
class _Constant:
    """What is added to a population's current at every step from `delay` on: [size]."""

    name: str
    values: Float
    delay: int


@dataclass(frozen=True, eq=False)
class _Layer:
    """A path from a source, and the constant that its layer carries."""

    path: Path
    source: str
    constant: _Constant | None = None

    def nodes(self, source: Shape, target: Shape, dt: float) -> list[tuple[str, nir.NIRNode]]:
        """The chain of nodes from a source of a shape to neurons of a shape."""
        path, held = self.path, self.constant
        after = held.delay if held else 0
        before = path.delay - after
        if path.source == path.target and before == 1:
            before = 0  # in NIR a loop without a Delay takes one step
        chain = [(f"{path.name}.before", delay_node(source, before, dt))] if before else []
        bias = held.values if held else None
        layer, shape = layer_nodes(path.name, path.operator, bias, source)
        chain += layer
        if after:
            chain.append((f"{path.name}.after", delay_node(shape, after, dt)))
        return chain + reshaping_nodes(path.name, shape, target)


def as_written(graph: Graph) -> Graph:
    """The graph with the operators that NIR has, in place of lists of synapses and the like."""
    shapes = graph.shapes
    layers = [_carried(n, graph.into(n.name), shapes)[0] for n in graph.neurons]
    changed = {layer.path.name: layer.path for into in layers for layer in into}
    return replace(graph, paths=tuple(changed.get(path.name, path) for path in graph.paths))


def _carried(
    n: Neuron, paths: tuple[Path, ...], shapes: Mapping[str, Shape]
) -> tuple[list[_Layer], Neuron]:
    """The layers into a population with the constants that each carries, and the population with the
    bias that is left to its own node."""
    layers = []
    for path in paths:
        if path.source is not None:
            op = written(path.name, path.operator, shapes[path.source])
            layers.append(_Layer(replace(path, operator=op), path.source))
    for path in paths:
        if path.source is None:
            constant = _Constant(path.name, path.operator.weight.reshape(-1), path.delay)
            if not (_give(constant, layers) or _give(constant, layers, as_dense=True)):
                raise BadInput(
                    f"node '{n.name}': no layer before it can carry the constant '{path.name}' in NIR"
                )
    # Behind a synaptic filter a layer's bias would be filtered too.
    bias = _Constant("", n.bias.reshape(-1), 0)
    if n.bias.any() and (n.du == 1).all() and _give(bias, layers):
        n = replace(n, bias=np.zeros(n.shape))
    return layers, n


def _give(constant: _Constant, layers: list[_Layer], as_dense: bool = False) -> bool:
    """Give a constant to a layer that can carry it, to the one it is named after, if possible. Returns
    whether there is one.

    as_dense: any layer can, as a dense one.
    """
    found = [
        i
        for i, layer in enumerate(layers)
        if layer.constant is None
        and constant.delay <= layer.path.delay
        and (as_dense or carries(layer.path.operator, constant.values))
    ]
    if not found:
        return False
    i = min(found, key=lambda i: constant.name != f"{layers[i].path.name}.bias")
    path = layers[i].path
    if as_dense:
        path = replace(path, operator=dense(path.name, path.operator))
    layers[i] = replace(layers[i], path=path, constant=constant)
    return True
