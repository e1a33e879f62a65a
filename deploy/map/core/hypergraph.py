"""Messages between parts of a program, as a hypergraph: a source's message goes once to every part.

A part is a core, or a cluster of neurons. The hyperedges are neurons and inputs that send to the
same parts from the same part, merged. With w the messages of a hyperedge, λ the parts that hold
one of its targets and `own` the part of its neurons:

    packets = Σ w · (λ − [own is one of them])

An input is on the host, so that every part is remote to it.

For example a0 and a1 on core 0, b0 and b1 on core 1, b2 on core 2; a0 has synapses onto b0 and b1, a1
onto b1 and b2, and each sends one message:

    a0: own 0, pins {1}       λ = 1, 1 packet: b0 and b1 share it
    a1: own 0, pins {1, 2}    λ = 2, 2 packets
    with b2 on core 1 too, both are one hyperedge of w = 2 with pins {1}, and 2 packets are left
"""

from collections.abc import Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.index_sets import Ints, distinct, ragged
from deploy.connections import Connection
from deploy.hardware.mapping import Mapping
from deploy.neurons import Neurons
from deploy.program.program import Program

# The part of every neuron: {population: int64 [size]}.
Parts = Dict[str, Ints]
# Messages that every neuron and input channel sent: {node: integers [*shape]}.
Messages = Dict[str, NDArray[Any]]
# (class, part) of a connection, as `Connection.spread` gives them.
Pairs = tuple[Ints, Ints]


# Hyperedges whose packets are counted at once.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Hypergraph:
    """Hyperedge e: `count[e]` neurons of part `own[e]` (−1: the host) that send `weight[e]` messages
    in all, each to the parts pins[indptr[e] : indptr[e + 1]], ascending. All int64."""

    parts: int
    own: Ints
    count: Ints
    weight: Ints
    indptr: Ints
    pins: Ints

    @property
    def edge_of(self) -> Ints:
        """The hyperedge of each pin."""
        return np.repeat(np.arange(len(self.own)), np.diff(self.indptr))

    @property
    def remote(self) -> NDArray[np.bool_]:
        """Whether each pin is another part than the senders'."""
        return self.pins != np.repeat(self.own, np.diff(self.indptr))


@dataclass(frozen=True)
class _Senders:
    """The hyperedges of one node's neurons without their pins.

    own, count, weight: as in `Hypergraph`. classes: of each hyperedge, for each connection of the node.
    edge: the hyperedge of each neuron.
    """

    own: Ints
    count: Ints
    weight: Ints
    classes: list[Ints]
    edge: Ints


def spreads(program: Program, part_of: Parts, parts: int) -> dict[str, Pairs]:
    """The parts that each connection reaches: {connection: (class, part)}."""
    return {c.name: _spread(c, part_of, parts) for c in program.connections}


def hypergraph(
    program: Program,
    part_of: Parts,
    parts: int,
    messages: Messages | None = None,
    pairs: Dict[str, Pairs] | None = None,
) -> Hypergraph:
    """The messages of a program between the parts of its neurons, one per sender without `messages`.

    pairs: `spreads` of these parts, where they are known.
    """
    pieces = []
    for sends, of in _nodes(program, part_of, messages):
        reach = [_spread(c, part_of, parts) if pairs is None else pairs[c.name] for c in sends]
        pieces.append((of.own, of.count, of.weight, *_pins(sends, reach, of.classes, parts)))
    own, count, weight, degree, pins = (
        np.concatenate([piece[i] for piece in pieces] or [np.zeros(0, np.int64)]) for i in range(5)
    )
    return Hypergraph(parts, own, count, weight, np.concatenate([[0], np.cumsum(degree)]), pins)


def destinations(program: Program, part_of: Parts, parts: int) -> dict[str, Ints]:
    """{population: parts on which each neuron has a synapse, its own included, int64 [size]}."""
    return {p.name: reached(program, p, part_of, parts) for p in program.populations}


def reached(program: Program, p: Neurons, part_of: Parts, parts: int) -> Ints:
    """Parts on which each neuron of a population has a synapse, its own included: int64 [size].

    part_of: at least of the population's targets.
    """
    sends, nothing = program.out_of(p.name), np.zeros(p.size, np.int64)
    if not sends:
        return nothing
    pairs = [_spread(c, part_of, parts) for c in sends]
    of = _senders(sends, nothing, nothing)
    return _pins(sends, pairs, of.classes, parts)[0][of.edge]


def packets(graph: Hypergraph) -> int:
    """Messages to other parts."""
    return _remote(graph.own, graph.weight, np.diff(graph.indptr), graph.pins)


def count_packets(
    program: Program, part_of: Parts, parts: int, messages: Messages | None = None
) -> int:
    """`packets` of the `hypergraph`, a block of hyperedges at a time: all its pins may take gigabytes."""
    total = 0
    for sends, of in _nodes(program, part_of, messages):
        reach = [_spread(c, part_of, parts) for c in sends]
        for start in range(0, len(of.own), _BLOCK):
            block = slice(start, start + _BLOCK)
            pins = _pins(sends, reach, [which[block] for which in of.classes], parts)
            total += _remote(of.own[block], of.weight[block], *pins)
    return total


def between(graph: Hypergraph) -> tuple[Ints, Ints, Ints]:
    """(from, to, messages) of every pair of different parts with any: int64 [pairs] each."""
    edge = graph.edge_of
    kept = graph.remote & (graph.own[edge] >= 0) & (graph.weight[edge] > 0)
    keys = graph.own[edge[kept]] * graph.parts + graph.pins[kept]
    found, inverse = np.unique(keys, return_inverse=True)
    amounts = np.bincount(inverse, graph.weight[edge[kept]], len(found))
    return found // graph.parts, found % graph.parts, amounts.astype(np.int64)


def parts_of(program: Program, mapping: Mapping) -> Parts:
    """For every neuron, the position of its core in the mapping (−1: on none)."""
    found = {p.name: np.full(p.size, -1, np.int64) for p in program.populations}
    for position, core in enumerate(mapping.cores):
        for s in core.slices:
            found[s.population][s.start : s.stop] = position
    return found


def _nodes(
    program: Program, part_of: Parts, messages: Messages | None
) -> Iterator[tuple[tuple[Connection, ...], _Senders]]:
    """The connections of each node that has any, and its hyperedges."""
    for node in program.sources:
        sends = program.out_of(node.name)
        if sends:
            own = part_of.get(node.name, np.full(node.size, -1, np.int64))
            sent = np.ones(node.size, np.int64) if messages is None else messages[node.name]
            yield sends, _senders(sends, own, np.asarray(sent).reshape(-1))


def _remote(own: Ints, weight: Ints, degree: Ints, pins: Ints) -> int:
    """Messages of hyperedges to other parts than their own."""
    return int(np.repeat(weight, degree)[pins != np.repeat(own, degree)].sum())


def _spread(c: Connection, part_of: Parts, parts: int) -> Pairs:
    return c.spread(np.arange(c.target_size), part_of[c.target], parts)


def _senders(sends: tuple[Connection, ...], own: Ints, sent: Ints) -> _Senders:
    of = [c.classes() for c in sends]
    edge = own + 1
    for i, (c, which) in enumerate(zip(sends, of, strict=True)):
        if any(np.array_equal(which, before) for before in of[:i]):
            continue  # as most of a node's connections: nothing is told apart by these that was not
        key = edge * c.class_count + which
        _, example, edge = np.unique(key, return_index=True, return_inverse=True)
    number = len(example)
    count = np.bincount(edge, minlength=number)
    weight = np.bincount(edge, sent, number).astype(np.int64)
    return _Senders(own[example], count, weight, [which[example] for which in of], edge)


def _pins(
    sends: tuple[Connection, ...], pairs: list[Pairs], classes: list[Ints], parts: int
) -> tuple[Ints, Ints]:
    """(degree, pins) of hyperedges of one node, of these classes for each of its connections."""
    keys, number = [], len(classes[0])
    for c, here, (from_class, part) in zip(sends, classes, pairs, strict=True):
        degree = np.bincount(from_class, minlength=c.class_count)
        start = np.concatenate([[0], np.cumsum(degree)])
        keys.append(
            np.repeat(np.arange(number), degree[here]) * parts
            + part[ragged(start[here], degree[here])]
        )
    joined = keys[0] if len(keys) == 1 else distinct(np.concatenate(keys), number * parts)
    edge, pins = np.divmod(joined, parts)
    return np.bincount(edge, minlength=number), pins
