"""NIR → the normalised graph, in passes: inline, shape, compose, delay loops, fold biases."""

from collections.abc import Mapping
from dataclasses import replace

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.order import components
from export.graph.graph import Graph, Neuron, Path, Readout, Source
from export.nir_format.normal.inline import Flat, Wire, inlined
from export.nir_format.normal.layers import LAYERS
from export.nir_format.normal.neurons import DEFAULT_DT, NEURONS, Discretisation, neuron
from export.nir_format.normal.shapes import shapes_of
from export.nir_format.normal.topology import depths, linear_order
from export.nir_format.normal.ways import paths_of, ways_from, ways_of
from neuroclip.linear.compose import compose
from neuroclip.linear.maps import Dense, apply, diagonal, listed, scaled

Float = NDArray[np.float64]


# What overflows becomes infinite and is refused by name; numpy's warnings would only add lines.
@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def normalise(
    graph: nir.NIRGraph, *, dt: float = DEFAULT_DT, discretisation: Discretisation = "euler"
) -> Graph:
    """The normalised graph of a NIR graph at a step of dt seconds, which a NIR file does not carry.

    Several edges into a node are summed. What leads back from a neuron, in a cycle without a delay
    of its own, gets a delay of one step, as Norse, snnTorch and Lava run it: back is what does not
    lead farther from the inputs, counted in edges. Raises BadInput naming the node that is not supported
    or does not fit.
    """
    flat = inlined(graph)
    for name, node in flat.nodes.items():
        if not isinstance(node, (*LAYERS, *NEURONS, nir.Input, nir.Output)):
            raise BadInput(f"node '{name}': {type(node).__name__} is not supported")
    before = flat.before()
    depth = depths(flat)
    order = linear_order(flat, before)
    shapes = shapes_of(flat, before, depth)
    ways = ways_of(flat, before, order, shapes, dt)
    names = sorted(
        (n for n, node in flat.nodes.items() if isinstance(node, NEURONS)),
        key=lambda n: (depth[n], n),
    )
    neurons = {n: neuron(n, flat.nodes[n], shapes[n], dt, discretisation) for n in names}
    taken = set(names) | {n for n, node in flat.nodes.items() if isinstance(node, nir.Input)}
    paths: list[Path] = []
    for name in names:
        if not before[name]:
            raise BadInput(f"node '{name}': nothing ends in it")
        into = [w for a in before[name] for w in ways_from(flat, ways, a)]
        paths += paths_of(name, into, shapes[name], taken)
    paths = _looped(paths, depth)
    units = [_comparable(n, [p for p in paths if p.target == n.name]) for n in neurons.values()]
    by_name = {p.name: p for _, changed in units for p in changed}
    found = Graph(
        tuple(
            Source(n, shapes[n]) for n, node in flat.nodes.items() if isinstance(node, nir.Input)
        ),
        tuple(n for n, _ in units),
        tuple(by_name[p.name] for p in paths),
        _readouts(flat),
    )
    return fold_biases(found)


def fold_biases(graph: Graph) -> Graph:
    """Constant sources without delay go into the bias of a neuron whose current clears each step; of
    the others, those of the same delay into a neuron are one, and none where they cancel."""
    neurons = {n.name: n for n in graph.neurons}
    paths: dict[str, Path] = {}
    constants: dict[tuple[str, int], str] = {}
    for p in graph.paths:
        n = neurons[p.target]
        if p.source is not None:
            paths[p.name] = p
        elif p.delay == 0 and (n.du == 1).all():
            added = apply(p.operator, np.ones(1)).reshape(n.shape)
            neurons[p.target] = replace(n, bias=n.bias + added)
        elif (p.target, p.delay) in constants:
            first = paths[constants[p.target, p.delay]]
            summed = Dense(first.operator.weight + p.operator.weight)
            paths[first.name] = replace(first, operator=summed)
        else:
            constants[p.target, p.delay], paths[p.name] = p.name, p
    held = tuple(p for p in paths.values() if p.source is not None or p.operator.weight.any())
    return replace(graph, neurons=tuple(neurons.values()), paths=held)


def _looped(paths: list[Path], depth: Mapping[str, int]) -> list[Path]:
    """One step of delay for each path back within a cycle of paths without delay."""
    after: dict[str, set[str]] = {}
    for p in paths:
        if p.source is not None and p.delay == 0:
            after.setdefault(p.source, set()).add(p.target)
    cycle = components(after)

    def leads_back(p: Path) -> bool:
        if p.source is None or p.delay or p.source not in cycle:
            return False
        return cycle[p.source] == cycle[p.target] and depth[p.source] >= depth[p.target]

    return [replace(p, delay=1) if leads_back(p) else p for p in paths]


def _comparable(n: Neuron, paths: list[Path]) -> tuple[Neuron, list[Path]]:
    """An integrator whose neurons have different units, with these in its weights instead.

    Its potentials are read and compared with each other.
    """
    if n.kind != "integrator" or (n.unit == n.unit.flat[0]).all():
        return n, paths
    gain = n.unit.reshape(-1)
    changed = [
        replace(
            p,
            operator=scaled(p.operator, gain)
            or compose(p.name, diagonal(gain), listed(p.operator)),
        )
        for p in paths
    ]
    return replace(n, bias=n.bias * n.unit, unit=np.ones(n.shape)), changed


def _readouts(flat: Flat) -> tuple[Readout, ...]:
    """What each Output node reads, through nodes that change nothing: that called "output" first,
    since the first one predicts, the others by name."""
    before = flat.before()
    found = []
    for name, node in flat.nodes.items():
        if not isinstance(node, nir.Output):
            continue
        for a in before[name]:
            source = a
            while isinstance(flat.nodes[source], nir.Flatten | Wire) and len(before[source]) == 1:
                source = before[source][0]
            if not isinstance(flat.nodes[source], NEURONS):
                raise BadInput(f"node '{name}': '{source}' before it is no neuron")
            found.append(Readout(name, source))
    return tuple(sorted(found, key=lambda r: (r.name != "output", r.name)))
