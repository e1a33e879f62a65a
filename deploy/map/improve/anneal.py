"""Fewer packets by simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983) of neurons that hear the same.

Moving one of many neurons that hear the same saves nothing until the last has moved: greedy search
stays where it starts. So neurons that the same sources reach go together, in clusters of at most a
fourth of a core, then of an eighth and of a sixteenth. A proposal takes a vertex to the core of another
pin of one of its hyperedges, in exchange with a vertex there where that core is full; it is taken
where the packets that it adds are at most −T·ln(r), r evenly in 0..1, with T falling step by step.
T is in units of the messages that an average pin stands for.

For example at T = 4 units a proposal that adds four units of packets is taken with probability 1/e, one
that adds none always; at T = 0 only what saves packets would be, as `local_search` does.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np

from deploy.arithmetic.index_sets import Ints, fingerprints
from deploy.map.core.hypergraph import Hypergraph, Messages, Parts, hypergraph
from deploy.map.improve.local_search import Problem, problem
from deploy.program.program import Program

# Of each level: clusters a core at least, the first and the last T, and proposals a vertex.
_LEVELS = ((4, 4.0, 0.5, 13_000), (8, 1.3, 0.33, 26_000), (16, 0.67, 0.2, 26_000))
_STEPS = 100
# Proposals, and hyperedges that they look at, in all of a level at most: a second or so.
_PROPOSALS, _WORK = 20_000_000, 500_000_000
# Entries of the tables (hyperedges × cores, vertices × cores) that are kept; above, nothing is annealed.
_TABLE = 1 << 24


@cache
def available() -> bool:
    """Whether numba, which compiles the loop, is installed."""
    return find_spec("numba") is not None


def anneal(
    program: Program,
    fine: Hypergraph,
    vertex_of: Parts,
    messages: Messages | None,
    start: Parts,
    size: Ints,
    capacity: int,
    seed: int,
) -> Parts | None:
    """The core of each neuron with few packets; cores may hold neurons of several populations.

    fine, vertex_of: of single neurons, size: what each takes of a core's `capacity`. start: a cut
    within it. None where a quarter of the neurons or fewer could go with others on their core that hear
    the same, or where the table would be too large. The same seed gives the same cores.
    """
    heard = fingerprints(fine.edge_of, fine.pins, len(size), len(fine.own))
    parts = start
    cores = max(int(part.max()) for part in start.values()) + 1
    rng = np.random.default_rng(seed)
    for share, hot, cold, each in _LEVELS:
        clusters = _clusters(vertex_of, heard, parts, size, max(1, capacity // share))
        number = max(int(of.max()) for of in clusters.values()) + 1
        if share == _LEVELS[0][0] and 4 * number > 3 * len(size):
            return None
        sizes, core = np.zeros(number, np.int64), np.empty(number, np.int64)
        for name, of in clusters.items():
            np.add.at(sizes, of, size[vertex_of[name]])
            core[of] = parts[name]
        made = problem(hypergraph(program, clusters, number, messages), sizes)
        if not len(made.weight) or max(len(made.weight), number) * cores > _TABLE:
            return None if parts is start else parts
        best = _annealed(made, core, cores, capacity, hot, cold, each, rng)
        parts = {name: best[of] for name, of in clusters.items()}
    return parts


def _clusters(vertex_of: Parts, heard: Ints, parts: Parts, size: Ints, most: int) -> Parts:
    """Clusters of neurons of a population that hear the same on one core, of size `most` or a bit more."""
    found, number = {}, 0
    for name, vertex in vertex_of.items():
        keys = np.stack([parts[name], *heard[:, vertex]])
        order = np.lexsort(keys)
        new = np.append(True, (np.diff(keys[:, order]) != 0).any(axis=0))
        along = np.cumsum(size[vertex[order]]) - size[vertex[order]]
        within = along - np.repeat(along[new], np.diff(np.append(np.flatnonzero(new), len(order))))
        piece = np.stack([np.cumsum(new), within // most])
        first = np.append(True, (np.diff(piece) != 0).any(axis=0))
        found[name] = np.empty(len(vertex), np.int64)
        found[name][order] = number + np.cumsum(first) - 1
        number += int(first.sum())
    return found


def _annealed(
    of: Problem,
    start: Ints,
    cores: int,
    capacity: int,
    hot: float,
    cold: float,
    each: int,
    rng: np.random.Generator,
) -> Ints:
    from deploy.map.improve.anneal_kernel import anneal as kernel

    edges, degree = len(of.weight), np.diff(of.indptr)
    edge = np.repeat(np.arange(edges), degree)
    first = np.concatenate([[0], np.cumsum(np.bincount(of.pins, minlength=of.vertices))])
    incident = edge[np.argsort(of.pins, kind="stable")]
    held = np.bincount(edge * cores + start[of.pins], minlength=edges * cores)
    room = capacity - np.bincount(start, of.size, cores).astype(np.int64)
    unit = float(np.dot(of.weight, degree)) / len(of.pins)
    most = min(_PROPOSALS, _WORK * of.vertices // len(of.pins))
    proposals = min(each * of.vertices, most) // _STEPS
    best = start.copy()
    kernel(
        first, incident.astype(np.int32), of.weight, of.indptr, of.pins.astype(np.int32), of.size,
        start.copy(), held.reshape(edges, cores).astype(np.int32), room,
        unit * np.geomspace(hot, cold, _STEPS), -np.log((np.arange(4096) + 0.5) / 4096),
        proposals, int(rng.integers(1 << 31)), best,
    )  # fmt: skip
    return best
