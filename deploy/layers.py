"""Layer by layer: contiguous slices of every population, the fewest cores under all limits.

A core holds one slice of one population, in an order of its neurons: their own, or one that keeps
together what receives the same messages (`deploy.orders`). Each population is cut into the fewest
slices that respect every limit of the chip, of equal size where that fits, else greedily from the
first neuron. What does not fit is refused here, by layer and resource, before anything else runs.
What a core costs is in `deploy.costs`.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from deploy.chip import Chip, amount
from deploy.costs import connection_axons, connection_words, neuron_groups, synapse_formats
from deploy.errors import CheckFailed
from deploy.mapping import Core, Mapping, Slice
from deploy.populations import AnyPopulation
from deploy.program import Input, Program, sent_range
from deploy.spread import Ints
from deploy.traffic import Parts, destinations

Cut = list[tuple[int, int]]
# The order of every population's neurons: {population: int64 [size], a permutation}.
Orders = dict[str, Ints]

# The resources in the order in which they are checked, the cheapest to count first, and what helps.
_HELP = {
    "neurons": "use fewer neurons",
    "output_axons": "give its target layers fewer neurons or fewer inputs, so that they need fewer cores",
    "neuron_groups": "let its neurons share du, dv and vth",
    "input_axons": "give the layer fewer inputs (channels, a smaller frame) or split its input over "
    "two layers",
    "synapse_words": "prune its inputs, give it fewer channels, or split its input over two layers",
}


def by_layer(program: Program, chip: Chip, orders: Orders | None = None) -> Mapping:
    """Every population on the fewest cores that the rule above allows, cores in the program's order.

    Raises CheckFailed naming the layer, the resource, by how much it is exceeded and what helps.
    """
    return to_mapping(chip, layer_parts(program, chip, orders))


def layer_parts(
    program: Program,
    chip: Chip,
    orders: Orders | None = None,
    *,
    even: bool = True,
    most: dict[str, int] | None = None,
) -> Parts:
    """As `by_layer`: the core of every neuron, numbered from 0. Raises CheckFailed as it does.

    even: slices of equal size where that fits; else every core is filled before the next. most:
    cores of each population above which this is refused as well, rather than searched further.
    """
    for node in program.sources:
        _check_message_bits(chip, node)
    for population in program.populations:
        _check_delays(program, chip, population)
        _check_synapse_formats(program, chip, population)
    _check_cores(chip, {p.name: -(-p.size // amount(chip.neurons)) for p in program.populations})
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
        before = cuts
        cuts = {
            p.name: _cut(
                _Limits(program, chip, p, orders[p.name], reaches[p.name], groups[p.name]),
                even,
                None if most is None else most[p.name],
            )
            for p in program.populations
        }
        _check_cores(chip, {name: len(cut) for name, cut in cuts.items()})
        if cuts == before:
            return parts


def to_mapping(chip: Chip, part_of: Parts) -> Mapping:
    """The mapping of the core of every neuron, cores numbered from 0."""
    slices: dict[int, list[Slice]] = {}
    for name, part in part_of.items():
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for (start, stop), core in zip(pairwise(edges), part[edges[:-1]].tolist(), strict=True):
            slices.setdefault(core, []).append(Slice(name, start, stop))
    return Mapping(chip.name, tuple(Core(i, tuple(slices[i])) for i in sorted(slices)))


def _parts(cuts: dict[str, Cut], orders: Orders) -> dict[str, Ints]:
    found, first = {}, 0
    for name, cut in cuts.items():
        part = np.empty(len(orders[name]), np.int64)
        sizes = [stop - start for start, stop in cut]
        part[orders[name]] = np.repeat(np.arange(first, first + len(cut)), sizes)
        found[name], first = part, first + len(cut)
    return found


def _cut(limits: "_Limits", even: bool, enough: int | None) -> Cut:
    """(start, stop) of the fewest slices, equal in size where that is asked for and fits.

    Refused above the system's cores; and where it looks as if twice as many as `enough` are needed.
    """
    size, most = len(limits.order), amount(limits.chip.neurons)
    fewest = _even(size, -(-size // most))
    if not even:
        fewest = list(pairwise([*range(0, size, most), size]))
    if limits.all_fit(fewest):
        return fewest
    cut: Cut = []
    start, stop = 0, most
    while start < size:
        stop = _furthest(start, min(start + most, size), limits.excess, stop - start)
        cut.append((start, stop))
        start, stop = stop, 2 * stop - start
        # As many cores again as so far, for what is left.
        needed = -(-size * len(cut) // start)
        hopeless = enough is not None and len(cut) >= 8 and needed > 2 * enough
        if start < size and (hopeless or len(cut) > limits.chip.cores):
            _too_many_cores(limits.chip, {limits.name: needed})
    equal = _even(size, len(cut))
    return equal if even and limits.all_fit(equal) else cut


def _even(size: int, number: int) -> Cut:
    return list(pairwise(size * i // number for i in range(number + 1)))


class _Limits:
    """Which slices of one population's order fit a core."""

    def __init__(
        self,
        program: Program,
        chip: Chip,
        population: AnyPopulation,
        order: Ints,
        reaches: Ints,
        groups: Ints,
    ) -> None:
        self.chip, self.name = chip, population.name
        self.order, self.reaches, self.groups = order, reaches, groups
        self.incoming = program.into(population.name)
        self.limits = {
            resource: limit
            for resource in _HELP
            if (limit := getattr(chip, resource).value) is not None
        }
        # A core of all sources has axons enough: nothing to count.
        if sum(c.source_size for c in self.incoming) <= self.limits["input_axons"]:
            del self.limits["input_axons"]

    def used(self, resource: str, targets: Ints, part: Ints, parts: int) -> Ints:
        if resource == "neurons":
            return np.bincount(part, minlength=parts)
        if resource == "output_axons":
            return np.bincount(part, self.reaches[targets], parts).astype(np.int64)
        if resource == "neuron_groups":
            number = int(self.groups.max(initial=0)) + 1
            return np.bincount(
                np.unique(part * number + self.groups[targets]) // number, minlength=parts
            )
        if resource == "input_axons":
            return sum(
                (connection_axons(c, targets, part, parts) for c in self.incoming),
                np.zeros(parts, np.int64),
            )
        return sum(
            (connection_words(self.chip, c, targets, part, parts) for c in self.incoming),
            np.zeros(parts, np.int64),
        )

    def all_fit(self, cut: Cut) -> bool:
        """Whether every slice of a whole cut fits."""
        part = np.repeat(np.arange(len(cut)), [stop - start for start, stop in cut])
        return all(
            int(self.used(resource, self.order, part, len(cut)).max()) <= limit
            for resource, limit in self.limits.items()
        )

    def excess(self, start: int, stop: int) -> str | None:
        """Which resource, if any, the slice has not enough of.

        Raises CheckFailed where a slice of one neuron has not.
        """
        targets = self.order[start:stop]
        part = np.zeros(len(targets), np.int64)
        for resource, limit in self.limits.items():
            number = int(self.used(resource, targets, part, 1)[0])
            if number > limit:
                if stop - start == 1:
                    what = f"{resource.replace('_', ' ')} of a single neuron"
                    _refuse(self.name, what, number, limit, _HELP[resource])
                return resource
        return None


def _furthest(start: int, last: int, excess: Callable[[int, int], str | None], guess: int) -> int:
    """The largest stop up to `last` of a slice that fits; one neuron fits, and fitting ends once.

    guess: a size near which it is looked for first.
    """
    excess(start, start + 1)
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


def _check_message_bits(chip: Chip, node: Input | AnyPopulation) -> None:
    """Graded and ternary messages must fit the payload of the chip's messages."""
    low, high = sent_range(node)
    used = (
        0 if low >= 0 and high <= 1 else max(high.bit_length(), (-low - 1).bit_length()) + (low < 0)
    )
    limit = amount(chip.message_bits)
    if used > limit:
        raise CheckFailed(
            f"layer '{node.name}': graded messages of {used} bits exceed the {limit} of '{chip.name}' "
            f"by {used - limit}; use fewer bits, or binary spikes"
        )


def _check_delays(program: Program, chip: Chip, population: AnyPopulation) -> None:
    """Delays of a population's inputs that the chip has."""
    for c in program.into(population.name):
        limit = amount(chip.max_delay)
        if c.delay > limit:
            raise CheckFailed(
                f"layer '{population.name}': the delay of {c.delay} steps of '{c.name}' exceeds the "
                f"{limit} of '{chip.name}' by {c.delay - limit}; shorten it, or add a relay layer"
            )


def _check_synapse_formats(program: Program, chip: Chip, population: AnyPopulation) -> None:
    """Every core of a population holds the formats of all its incoming connections."""
    used = len(synapse_formats(program.into(population.name)))
    _refuse(
        population.name, "synapse formats of every core", used, chip.synapse_formats.value,
        "let its connections share weight exponents",
    )  # fmt: skip


def _check_cores(chip: Chip, count: dict[str, int]) -> None:
    """All slices together must fit the cores of the system."""
    if sum(count.values()) > chip.cores:
        _too_many_cores(chip, count)


def _too_many_cores(chip: Chip, count: dict[str, int]) -> None:
    used = sum(count.values())
    largest = max(count, key=lambda name: count[name])
    chips = -(-used // amount(chip.cores_per_chip))
    raise CheckFailed(
        f"layer '{largest}': {count[largest]} of at least {used} cores that the network needs; cores "
        f"exceed the {chip.cores} of '{chip.name}' by {used - chip.cores}; use a system of {chips} "
        f"chips or more, prune, or use fewer channels"
    )


def _refuse(layer: str, resource: str, used: int, limit: int | None, what_helps: str) -> None:
    if limit is not None and used > limit:
        raise CheckFailed(
            f"layer '{layer}': {used} {resource} exceed the {limit} of one core by {used - limit}; "
            f"{what_helps}"
        )
