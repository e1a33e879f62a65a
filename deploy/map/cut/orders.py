"""Orders of neurons in which neighbours receive the same messages, so that slices of them are cheap.

A population with positions (C, H, W) on one side of a convolution goes position by position along
a Hilbert curve, all channels of a position together: a slice is a compact patch of the frame.
Populations of listed synapses go cluster by cluster, found by label propagation (Raghavan et al.
2007). All others keep their order. Where a core holds fewer groups of equal registers than a
population has, the neurons of a group go together: cores and messages are few only then.

For example four positions a b / c d of two channels; the curve goes a, c, d, b:

    neurons   a0 b0 c0 d0 a1 b1 c1 d1
    order     a0 a1 c0 c1 d0 d1 b0 b1: a slice of half of them holds two neighbours, whole

And neurons p, q with synapses onto r, and s onto t, each its own label at first: r takes the smaller
of p's and q's, they take r's, and {p, q, r} and {s, t} are left.
"""

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.hardware.chip import Chip
from deploy.neurons import Neurons
from deploy.program.program import Program

# Rounds of label propagation; labels settle in a few.
_ROUNDS = 24


def orders(program: Program, seed: int = 0) -> dict[str, Ints]:
    """{population: int64 [size], a permutation of its neurons}."""
    found = {p.name: np.arange(p.size) for p in program.populations}
    labels = clusters(program, seed)
    for p in program.populations:
        around = (*program.into(p.name), *program.out_of(p.name))
        if len(p.shape) == 3 and any(c.pattern == "image" for c in around):
            found[p.name] = by_position(p)
        elif p.name in labels:
            found[p.name] = np.argsort(labels[p.name], kind="stable")
    return found


def by_registers(chip: Chip, order: Ints, groups: Ints) -> Ints | None:
    """The same order, neurons of equal registers together; None where a core holds them all.

    groups: of each neuron, as in `deploy.map.core.costs.neuron_groups`.
    """
    limit = chip.neuron_groups.value
    if limit is None or groups.max(initial=0) < limit:
        return None
    return order[np.argsort(groups[order], kind="stable")]


def by_position(population: Neurons) -> Ints:
    """Neurons of (C, H, W), positions along a Hilbert curve, channels within: int64 [size]."""
    channels, height, width = population.shape
    y, x = np.divmod(np.arange(height * width), width)
    positions = np.argsort(hilbert(y, x), kind="stable")
    neurons = np.arange(population.size).reshape(channels, height * width)
    return neurons[:, positions].T.reshape(-1)


def hilbert(y: Ints, x: Ints) -> Ints:
    """How far along the Hilbert curve of the smallest enclosing square each position is."""
    side = 1 << int(max(y.max(initial=0), x.max(initial=0))).bit_length()
    y, x, along = y.copy(), x.copy(), np.zeros(len(y), np.int64)
    half = side // 2
    while half:
        right, down = (x & half) > 0, (y & half) > 0
        along += half * half * ((3 * right) ^ down)
        flip = ~down & right
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        x, y = np.where(down, x, y), np.where(down, y, x)
        half //= 2
    return along


def clusters(program: Program, seed: int = 0) -> dict[str, Ints]:
    """Cluster labels of the neurons on either side of listed synapses: {population: int64 [size]}.

    Every neuron takes the label that most of its neighbours have, half of the neurons a round,
    until none changes; a cluster is then called by its first neuron.
    """
    first = np.cumsum([0, *(p.size for p in program.populations)])
    start = {p.name: int(first[i]) for i, p in enumerate(program.populations)}
    lists = [
        (c.listed(), c) for c in program.connections if c.pattern == "listed" and c.source in start
    ]
    ends = [
        (
            of.indices.astype(np.int64) + start[c.source],
            np.repeat(np.arange(c.target_size), np.diff(of.indptr)) + start[c.target],
        )
        for of, c in lists
    ]
    if not ends:
        return {}
    a, b = (np.concatenate([e[i] for e in ends]) for i in (0, 1))
    a, b = np.concatenate([a, b]), np.concatenate([b, a])
    labels = _propagate(a, b, int(first[-1]), np.random.default_rng(seed))
    known = np.zeros(len(labels), np.bool_)
    known[a] = True
    _, example, inverse = np.unique(labels, return_index=True, return_inverse=True)
    labels = example[inverse]
    found = {p.name: slice(start[p.name], start[p.name] + p.size) for p in program.populations}
    return {name: labels[part] for name, part in found.items() if known[part].any()}


def _propagate(a: Ints, b: Ints, size: int, rng: np.random.Generator) -> Ints:
    labels = np.arange(size)
    if not len(a):  # nobody sends to anybody
        return labels
    for _ in range(_ROUNDS):
        keys, times = np.unique(a * size + labels[b], return_counts=True)
        node = keys // size
        # The most frequent label of each node, the smallest of equals: the last of its keys.
        last = np.lexsort((-keys, times, node))
        last = last[np.append(np.diff(node[last]) > 0, True)]
        best = labels.copy()
        best[node[last]] = keys[last] % size
        if np.array_equal(best, labels):
            break
        labels = np.where(rng.random(size) < 0.5, best, labels)
    return labels
