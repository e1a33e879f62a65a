"""The normalised graph → NIR: nodes whose values give the graph again, under forward Euler."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.graph.graph import Graph, Neuron, Path
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.write.nodes import delay_node, flatten_node, integrates, neuron_node
from neuroclip.linear.maps import MAX_WEIGHTS, Convolution, Dense, is_diagonal

Float = NDArray[np.float64]


def graph_to_nir(graph: Graph, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """A NIR graph that `export.nir_format.normal.normalise` reads as `graph` at a step of dt seconds.

    A list of synapses becomes a dense layer. Raises BadInput naming the node that NIR cannot hold:
    weights too many for a dense layer, a filtered current or a mixed population without a leak, and
    a bias that differs within a channel of the only layer that could carry it.
    """
    nodes: dict[str, nir.NIRNode] = {
        source.name: nir.Input(np.array(source.shape)) for source in graph.inputs
    }
    shapes = {source.name: source.shape for source in graph.inputs}
    shapes |= {n.name: n.shape for n in graph.neurons}
    edges: list[tuple[str, str]] = []
    for n in graph.neurons:
        nodes[n.name], constants = _neuron(n, graph.into(n.name), dt)
        paths = [path for path in graph.into(n.name) if path.source is not None]
        for path in paths:
            assert path.source is not None
            carried = _taken(path, constants, n.shape)
            before = path.delay - (carried.delay if carried else 0)
            chain = [
                *_delay(path.name, "before", before, shapes[path.source], dt),
                *_layer(path, carried.values if carried else None, shapes[path.source], n.shape),
                *_delay(path.name, "after", carried.delay if carried else 0, n.shape, dt),
            ]
            nodes |= dict(chain)
            names = [path.source, *(name for name, _ in chain), n.name]
            edges += pairwise(names)
        if constants:
            raise BadInput(
                f"node '{n.name}': no layer before it can carry its bias in NIR, where that of a "
                "convolution is one a channel"
            )
    for readout in graph.readouts:
        nodes[readout.name] = nir.Output(np.array(shapes[readout.source]))
        edges.append((readout.source, readout.name))
    # Metadata is information only: no reader may rely on it, and ours does not.
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt}, type_check=False)


@dataclass(frozen=True, eq=False)
class _Constant:
    """What is added to a population's current at every step from `delay` on: [size]."""

    values: Float
    delay: int


def _neuron(n: Neuron, paths: tuple[Path, ...], dt: float) -> tuple[nir.NIRNode, list[_Constant]]:
    """The node of a population, and the constants that its layers must carry."""
    constants = [
        _Constant(path.operator.weight.reshape(-1), path.delay)
        for path in paths
        if path.source is None
    ]
    if n.bias.any() and integrates(n.du, n.dv):
        constants.append(_Constant(n.bias.reshape(-1), 0))
    threshold = n.threshold if n.kind == "lif" else None
    return neuron_node(f"node '{n.name}'", threshold, n.du, n.dv, n.bias, dt), constants


def _taken(path: Path, constants: list[_Constant], shape: Shape) -> _Constant | None:
    """The first constant that a path's layer can carry, taken off the list."""
    for i, constant in enumerate(constants):
        each = constant.values.reshape(shape[0], -1)
        per_channel = isinstance(path.operator, Convolution) and (each == each[:, :1]).all()
        dense = not isinstance(path.operator, Convolution) and not is_diagonal(path.operator)
        if constant.delay <= path.delay and (dense or per_channel):
            return constants.pop(i)
    return None


def _layer(
    path: Path, bias: Float | None, source: Shape, target: Shape
) -> list[tuple[str, nir.NIRNode]]:
    op = path.operator
    if isinstance(op, Convolution):
        channels = op.weight.shape[0]
        one = np.zeros(channels) if bias is None else bias.reshape(channels, -1)[:, 0]
        options = {name: getattr(op, name) for name in ("stride", "padding", "dilation", "groups")}
        return [(path.name, nir.Conv2d(input_shape=op.size, weight=op.weight, bias=one, **options))]
    if is_diagonal(op):
        return [(path.name, nir.Scale(op.weight.reshape(target)))]
    if isinstance(op, Dense):
        weight = op.weight
    else:
        if op.source_size * op.target_size > MAX_WEIGHTS:
            raise BadInput(
                f"node '{path.name}': {op.source_size * op.target_size} weights of its synapses as a "
                f"dense layer exceed the {MAX_WEIGHTS} that one holds; NIR has no sparse layer"
            )
        weight = np.zeros((op.target_size, op.source_size))
        weight[np.repeat(np.arange(op.target_size), np.diff(op.indptr)), op.indices] = op.weight
    made: list[tuple[str, Any]] = []
    if len(source) > 1:
        made.append((f"{path.name}.flat", flatten_node(source)))
    node = nir.Linear(weight) if bias is None else nir.Affine(weight=weight, bias=bias)
    return [*made, (path.name, node)]


def _delay(
    name: str, where: str, steps: int, shape: Shape, dt: float
) -> list[tuple[str, nir.NIRNode]]:
    return [(f"{name}.{where}", delay_node(shape, steps, dt))] if steps else []
