"""Neurons onto neurocores: layer by layer, contiguous slices, the fewest cores under all limits.

The rule: a core holds one slice of one population. Each population is cut into the fewest
contiguous slices that respect every limit of the chip (a greedy cut, from the first neuron), then
evened out where slices of equal size respect them too. Cores are numbered in the order of the
program's populations, one chip after another. What a core costs is in `deploy.costs`.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deploy.chip import Chip, amount
from deploy.costs import connection_words, destinations, neuron_groups, synapse_formats
from deploy.errors import CheckFailed
from deploy.mapping import Core, Mapping, Slice
from deploy.populations import AnyPopulation
from deploy.program import Input, Program, sent_range
from deploy.synapses import reach_size

Cut = list[tuple[int, int]]

_HELP = {
    "output_axons": "give its target layers fewer neurons or fewer inputs, so that they need fewer cores",
    "synapse_words": "prune its inputs, give it fewer channels, or split its input over two layers",
    "input_axons": "give the layer fewer inputs (channels, a smaller frame) or split its input over "
    "two layers",
}


def partition(program: Program, chip: Chip) -> Mapping:
    """Map every population onto the fewest cores that the rule above allows.

    Raises CheckFailed naming the layer, the resource, by how much it is exceeded and what helps.
    """
    for node in program.sources:
        _check_message_bits(chip, node)
    for population in program.populations:
        _check_synapse_formats(program, chip, population)
    groups = neuron_groups(program)
    # Output axons depend on the cuts of the targets, and cuts on the output axons: from one core a
    # population on, the most cores that each neuron was ever seen to reach only grow, until the
    # cuts no longer change.
    cuts: dict[str, Cut] = {p.name: [(0, p.size)] for p in program.populations}
    reaches = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    while True:
        held = [{name: [bounds]} for name, cut in cuts.items() for bounds in cut]
        now = destinations(program, held)
        reaches = {name: np.maximum(seen, now[name]) for name, seen in reaches.items()}
        before = cuts
        cuts = {
            p.name: _cut(program, chip, p, reaches[p.name], groups[p.name])
            for p in program.populations
        }
        _check_cores(chip, {name: len(cut) for name, cut in cuts.items()})
        if cuts == before:
            break
    slices = [Slice(name, *bounds) for name, cut in cuts.items() for bounds in cut]
    return Mapping(chip.name, tuple(Core(i, (part,)) for i, part in enumerate(slices)))


def _cut(
    program: Program,
    chip: Chip,
    population: AnyPopulation,
    reaches: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> Cut:
    """(start, stop) of the fewest slices, equal in size where that fits."""
    excess = _limits(program, chip, population, reaches, groups)
    cut: Cut = []
    start = 0
    while start < population.size:
        stop = _furthest(start, min(start + amount(chip.neurons), population.size), excess)
        cut.append((start, stop))
        start = stop
        if len(cut) > chip.cores and start < population.size:
            _too_many_cores(chip, {population.name: -(-population.size * len(cut) // start)})
    edges = [population.size * i // len(cut) for i in range(len(cut) + 1)]
    even = list(pairwise(edges))
    return even if not any(excess(*bounds) for bounds in even) else cut


def _limits(
    program: Program,
    chip: Chip,
    population: AnyPopulation,
    reaches: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> Callable[[int, int], str | None]:
    """The function that says which resource, if any, the slice start ≤ i < stop has not enough of.

    It raises CheckFailed where a slice of one neuron has not.
    """
    incoming = program.into(population.name)
    sent = np.concatenate([[0], np.cumsum(reaches)])
    all_axons = sum(c.source_size for c in incoming)

    def used(resource: str, start: int, stop: int) -> int:
        if resource == "neurons":
            return stop - start
        if resource == "output_axons":
            return int(sent[stop] - sent[start])
        if resource == "neuron_groups":
            return len(np.unique(groups[start:stop]))
        if resource == "input_axons":
            return sum(reach_size(c, start, stop) for c in incoming)
        return sum(connection_words(chip, c, [(start, stop)]) for c in incoming)

    def excess(start: int, stop: int) -> str | None:
        for resource in (
            "neurons", "output_axons", "neuron_groups", "input_axons", "synapse_words",
        ):  # fmt: skip
            limit = getattr(chip, resource).value
            if limit is None or (resource == "input_axons" and all_axons <= limit):
                continue
            number = used(resource, start, stop)
            if number > limit:
                if stop - start == 1:
                    what = f"{resource.replace('_', ' ')} of a single neuron"
                    _refuse(population.name, what, number, limit, _HELP[resource])
                return resource
        return None

    return excess


def _furthest(start: int, last: int, excess: Callable[[int, int], str | None]) -> int:
    """The largest stop up to `last` of a slice that fits; one neuron fits, and fitting ends once."""
    excess(start, start + 1)
    low, high = start + 1, last
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if excess(start, middle) else (middle, high)
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
