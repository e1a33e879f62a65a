"""Fewer packets by moving neurons between cores: the problem, our own local search, exact repair.

The problem is the hypergraph of `deploy.map.core.hypergraph` with vertices for parts: single neurons, or
clusters of them in a large network. A hyperedge's pins are its targets and its sender; with λ the
cores that hold a pin and w its messages, Σ w·(λ − 1) is the packets up to a constant.

For example s and x on core 0, y and z on core 1, room for three neurons each, and two hyperedges,
e {s, x, y} of 5 messages and f {x, z} of 1: the sum is 5·(2 − 1) + 1·(2 − 1) = 6.

    y to core 0    e is on core 0 anyway (saves 5) and on core 1 for y alone (5): it pays, 1 is left
    z to core 0    f is on core 0 anyway, and would leave core 1, but core 0 is full
    x to core 1    f would leave core 0, but e would come to core 1: it does not pay
"""

from dataclasses import dataclass

import numpy as np

from deploy.arithmetic.index_sets import Ints, distinct, fingerprints, ragged
from deploy.hardware.chip import Chip, amount
from deploy.map.core.costs import RESOURCES, loads
from deploy.map.core.hypergraph import Hypergraph, Parts
from deploy.program.program import Program

# Entries of the table (hyperedges × cores) that the local search keeps; above, it does nothing.
_TABLE = 1 << 26
_PASSES = 12


@dataclass(frozen=True)
class Problem:
    """Vertices onto cores. indptr, pins: of each hyperedge with at least two; weight: its messages.

    No two hyperedges have the same pins. size: of each vertex, in neurons. All int64.
    """

    weight: Ints
    indptr: Ints
    pins: Ints
    size: Ints

    @property
    def vertices(self) -> int:
        """Number of vertices."""
        return len(self.size)


def problem(graph: Hypergraph, size: Ints) -> Problem:
    """The problem of a hypergraph between vertices of these sizes."""
    number = len(graph.own)
    senders = np.flatnonzero(graph.own >= 0)
    keys = np.concatenate(
        [graph.edge_of * graph.parts + graph.pins, senders * graph.parts + graph.own[senders]]
    )
    edge, pins = np.divmod(distinct(keys, number * graph.parts), graph.parts)
    return _problem(edge, pins, graph.weight, size)


def part_problem(whole: Problem, start: int, stop: int) -> Problem:
    """The problem of the vertices start ≤ v < stop alone: what others hold does not change it."""
    edge = np.repeat(np.arange(len(whole.weight)), np.diff(whole.indptr))
    kept = (whole.pins >= start) & (whole.pins < stop)
    return _problem(edge[kept], whole.pins[kept] - start, whole.weight, whole.size[start:stop])


def _problem(edge: Ints, pins: Ints, weight: Ints, size: Ints) -> Problem:
    number = len(weight)
    degree = np.bincount(edge, minlength=number)
    # Messages of other senders to the same pins are as good as more of the first one's; in a large
    # network that is most of them.
    alike = fingerprints(pins, edge, number, len(size))
    _, index, inverse = np.unique(alike, axis=1, return_index=True, return_inverse=True)
    first = index[inverse.reshape(-1)]
    weight = np.bincount(first, weight, number).astype(np.int64)
    useful = (degree > 1) & (weight > 0)
    indptr = np.concatenate([[0], np.cumsum(degree[useful])])
    return Problem(weight[useful], indptr, pins[useful[edge]], size)


def local_search(
    of: Problem, start: Ints, cores: int, capacity: Ints, group: Ints | None, seed: int
) -> Ints:
    """Move single vertices to where they save most packets, until no move saves any.

    start: the core of each vertex. capacity: neurons of each core. group: of each vertex and, by
    the start, of its core; a vertex stays on cores of its group. Returns the core of each vertex.
    """
    edges = len(of.weight)
    if edges * cores > _TABLE:
        return start
    edge = np.repeat(np.arange(edges), np.diff(of.indptr))
    by_vertex = np.argsort(of.pins, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(of.pins, minlength=of.vertices))])
    incident = edge[by_vertex]
    core = start.copy()
    held = np.bincount(edge * cores + core[of.pins], minlength=edges * cores)
    held = held.reshape(edges, cores).astype(np.int32)
    room = capacity - np.bincount(core, of.size, cores).astype(np.int64)
    allowed = np.ones((1, cores), np.bool_) if group is None else _allowed(group, start, cores)
    rng = np.random.default_rng(seed)
    active = np.ones(of.vertices, np.bool_)
    for _ in range(_PASSES):
        waiting = rng.permutation(np.flatnonzero(active))
        active[:] = False
        for v in waiting.tolist():
            mine = incident[first[v] : first[v + 1]]
            if not len(mine):
                continue
            here, counts, w = core[v], held[mine], of.weight[mine]
            # Messages that reach each core anyway; those that this vertex alone brings here.
            saved = w @ (counts > 0)
            alone = w @ (counts[:, here] == 1)
            may = allowed[0 if group is None else group[v]] & (room >= of.size[v])
            may[here] = False
            best = int(np.argmax(np.where(may, saved, -1)))
            if not may[best] or saved[best] + alone <= w.sum():
                continue
            held[mine, here] -= 1
            held[mine, best] += 1
            room[here] += of.size[v]
            room[best] -= of.size[v]
            core[v] = best
            around = ragged(of.indptr[mine], of.indptr[mine + 1] - of.indptr[mine])
            active[of.pins[around]] = True
        if not active.any():
            break
    return core


def _allowed(group: Ints, core: Ints, cores: int) -> np.ndarray:
    found = np.zeros((int(group.max(initial=0)) + 1, cores), np.bool_)
    found[group, core] = True
    return found


def repair(program: Program, chip: Chip, part_of: Parts, cores: int) -> Parts | None:
    """The same mapping within every limit, or None where a few rounds of moves do not get there.

    A core over a limit gives the neurons of its rarest population to cores that hold that
    population and have room.
    """
    part_of = {name: part.copy() for name, part in part_of.items()}
    limits = {r: limit for r in RESOURCES if (limit := getattr(chip, r).value) is not None}
    for _ in range(_PASSES):
        used = loads(program, chip, part_of, cores)
        over = np.zeros(cores, np.bool_)
        for resource, limit in limits.items():
            over |= used[resource] > limit
        if not over.any():
            return part_of
        held = {name: np.bincount(part, minlength=cores) for name, part in part_of.items()}
        room = amount(chip.neurons) - used["neurons"]
        for core in np.flatnonzero(over).tolist():
            here = sorted(
                (int(number[core]), name) for name, number in held.items() if number[core]
            )
            if len(here) == 1:
                return None
            number, name = here[0]
            moved = np.flatnonzero(part_of[name] == core)
            for other in np.argsort(-held[name], kind="stable").tolist():
                if other == core or over[other] or not held[name][other] or room[other] <= 0:
                    continue
                taken, moved = np.split(moved, [min(len(moved), int(room[other]))])
                part_of[name][taken] = other
                room[other] -= len(taken)
            if len(moved) == number:
                return None
    return None
