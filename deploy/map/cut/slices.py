"""Layer by layer: contiguous slices of every population, the fewest cores under all limits.

A core holds one slice of one population, in an order of its neurons: their own, or one that keeps
together what receives the same messages (`deploy.map.cut.orders`). Each population is cut into the fewest
slices that respect every limit of the chip, of equal size where that fits, else greedily from the
first neuron. What does not fit is refused (`deploy.map.core.fits`) before anything else runs.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.map.core.costs import neuron_groups
from deploy.map.core.fits import Limits, Refusal, check_program, exceeds_system, too_many_cores
from deploy.map.core.hypergraph import Parts, destinations
from deploy.program.program import Program

Cut = list[tuple[int, int]]
# The order of every population's neurons: {population: int64 [size], a permutation}.
Orders = dict[str, Ints]


def by_layer(program: Program, chip: Chip, orders: Orders | None = None) -> Mapping:
    """Every population on the fewest cores that the rule above allows, cores in the program's order.

    Raises CheckFailed naming the layer, the resource, by how much it is exceeded and what helps.
    """
    parts = layer_parts(program, chip, orders)
    if isinstance(parts, Refusal):
        raise CheckFailed(parts.message)
    return to_mapping(chip, parts)


def layer_parts(
    program: Program,
    chip: Chip,
    orders: Orders | None = None,
    *,
    even: bool = True,
    most: dict[str, int] | None = None,
) -> Parts | Refusal:
    """As `by_layer`: the core of every neuron, numbered from 0, or why there is no such cut.

    even: slices of equal size where that fits; else every core is filled before the next. most:
    cores of each population above which this is refused as well, rather than searched further.
    Raises CheckFailed for what no cut can change.
    """
    check_program(program, chip)
    orders = orders or {p.name: np.arange(p.size) for p in program.populations}
    groups = neuron_groups(program)
    # Output axons depend on the cuts of the targets, and cuts on the output axons: from one core a
    # population on, the most cores that each neuron was ever seen to reach only grow, until the
    # cuts no longer change.
    cuts: dict[str, Cut] = {p.name: [(0, p.size)] for p in program.populations}
    reaches = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    while True:
        parts = _parts(cuts, orders)
        now = destinations(program, parts, sum(map(len, cuts.values())))
        reaches = {name: np.maximum(seen, now[name]) for name, seen in reaches.items()}
        before, cuts = cuts, {}
        for p in program.populations:
            limits = Limits(program, chip, p, reaches[p.name], groups[p.name])
            enough = None if most is None else most[p.name]
            cut = slices(limits, orders[p.name], even=even, enough=enough)
            if isinstance(cut, Refusal):
                return cut
            cuts[p.name] = cut
        refusal = too_many_cores(chip, {name: len(cut) for name, cut in cuts.items()})
        if refusal is not None:
            return refusal
        if cuts == before:
            return parts


def to_mapping(chip: Chip, part_of: Parts) -> Mapping:
    """The mapping of the core of every neuron, by its index."""
    held: dict[int, list[Slice]] = {}
    for name, part in part_of.items():
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for (start, stop), core in zip(pairwise(edges), part[edges[:-1]].tolist(), strict=True):
            held.setdefault(core, []).append(Slice(name, start, stop))
    return Mapping(chip.name, tuple(Core(i, tuple(held[i])) for i in sorted(held)))


def _parts(cuts: dict[str, Cut], orders: Orders) -> dict[str, Ints]:
    found, first = {}, 0
    for name, cut in cuts.items():
        part = np.empty(len(orders[name]), np.int64)
        sizes = [stop - start for start, stop in cut]
        part[orders[name]] = np.repeat(np.arange(first, first + len(cut)), sizes)
        found[name], first = part, first + len(cut)
    return found


def slices(limits: Limits, order: Ints, *, even: bool, enough: int | None = None) -> Cut | Refusal:
    """(start, stop) of the fewest slices of an order, equal in size where that is asked for and fits.

    Refused above the system's cores; and where it looks as if twice as many as `enough` are needed.
    """
    size, most = len(order), amount(limits.chip.neurons)

    def all_fit(cut: Cut) -> bool:
        part = np.repeat(np.arange(len(cut)), [stop - start for start, stop in cut])
        return limits.fit(order, part, len(cut))

    def excess(start: int, stop: int) -> str | None:
        return limits.excess(order[start:stop])

    fewest = _even(size, -(-size // most))
    if not even:
        fewest = list(pairwise([*range(0, size, most), size]))
    if all_fit(fewest):
        return fewest
    cut: Cut = []
    start, stop = 0, most
    while start < size:
        if (refusal := limits.alone(int(order[start]))) is not None:
            return refusal
        stop = _furthest(start, min(start + most, size), excess, stop - start)
        cut.append((start, stop))
        start, stop = stop, 2 * stop - start
        # As many cores again as so far, for what is left.
        needed = -(-size * len(cut) // start)
        if start < size and len(cut) > limits.chip.cores:
            told = f"some {needed} cores, its neurons taken in their order,"
            return exceeds_system(limits.chip, limits.name, told, needed)
        if start < size and enough is not None and len(cut) >= 8 and needed > 2 * enough:
            return Refusal(
                f"layer '{limits.name}': some {needed} cores in this order, another cut needs {enough}"
            )
    equal = _even(size, len(cut))
    return equal if even and all_fit(equal) else cut


def _even(size: int, number: int) -> Cut:
    return list(pairwise(size * i // number for i in range(number + 1)))


def _furthest(start: int, last: int, excess: Callable[[int, int], str | None], guess: int) -> int:
    """The largest stop up to `last` of a slice that fits; one neuron fits, and fitting ends once.

    guess: a size near which it is looked for first.
    """
    low, high, step = start + 1, last, max(1, guess // 16)
    probe = min(start + guess, last)
    while low < high:
        fits = excess(start, probe) is None
        low, high = (probe, high) if fits else (low, probe - 1)
        # Away from the guess in growing steps, then between what fits and what does not.
        probe, step = (low + step if fits else high + 1 - step), 2 * step
        if not low < probe <= high:
            probe = (low + high + 1) // 2
    return low
