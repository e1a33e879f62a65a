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
from deploy.costs import destination_cores, neuron_groups, population_words, synapse_formats
from deploy.errors import CheckFailed
from deploy.mapping import Core, Mapping, Slice
from deploy.program import Input, Population, Program


def partition(program: Program, chip: Chip) -> Mapping:
    """Map every population onto the fewest cores that the rule above allows.

    Raises CheckFailed naming the layer, the resource, by how much it is exceeded and what helps.
    """
    for node in program.inputs:
        _check_message_bits(chip, node)
    for population in program.populations:
        _check_input_axons(program, chip, population)
        _check_synapse_formats(program, chip, population)
        _check_one_neuron(program, chip, population)
    # More cores of a target cost its senders output axons, which can only make their slices
    # smaller: the core counts grow until they no longer change.
    groups = neuron_groups(program)
    count = {p.name: 1 for p in program.populations}
    while True:
        cuts = {
            p.name: _cut(
                program, chip, p, destination_cores(program, count, p.name), groups[p.name]
            )
            for p in program.populations
        }
        grown = {name: len(cut) for name, cut in cuts.items()}
        _check_cores(chip, grown)
        if grown == count:
            break
        count = grown
    slices = [Slice(name, *bounds) for name, cut in cuts.items() for bounds in cut]
    return Mapping(chip.name, tuple(Core(i, (part,)) for i, part in enumerate(slices)))


def _cut(
    program: Program,
    chip: Chip,
    population: Population,
    destinations: int,
    groups: NDArray[np.int64],
) -> list[tuple[int, int]]:
    """(start, stop) of the fewest slices, equal in size where that fits."""
    capacity = _capacity(program, chip, population, destinations)
    most = amount(chip.neuron_groups)
    if -(-population.size // capacity) > chip.cores:
        _too_many_cores(chip, {population.name: -(-population.size // capacity)})
    cut: list[tuple[int, int]] = []
    start = 0
    while start < population.size:
        stop = min(start + capacity, population.size)
        first = np.sort(np.unique(groups[start:stop], return_index=True)[1])
        if len(first) > most:
            stop = start + int(first[most])
        cut.append((start, stop))
        start = stop
    edges = [population.size * i // len(cut) for i in range(len(cut) + 1)]
    even = list(pairwise(edges))
    fits = all(
        stop - start <= capacity and len(np.unique(groups[start:stop])) <= most
        for start, stop in even
    )
    return even if fits else cut


def _capacity(program: Program, chip: Chip, population: Population, destinations: int) -> int:
    """Most neurons of a population, all of one group, that one core can hold; at least 1."""
    most = min(amount(chip.neurons), population.size)
    if destinations and chip.output_axons.value is not None:
        _check_output_axons(chip, population, destinations)
        most = min(most, chip.output_axons.value // destinations)
    words = amount(chip.synapse_words)
    return _largest(most, lambda n: population_words(program, chip, population, n) <= words)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n in 1..most that fits, where 1 fits and fitting ends once."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _check_message_bits(chip: Chip, node: Input) -> None:
    """Graded messages must fit the payload of the chip's messages."""
    low, high = int(node.low.min()), int(node.high.max())
    used = 0 if node.binary else max(high.bit_length(), (-low - 1).bit_length()) + (low < 0)
    limit = amount(chip.message_bits)
    if used > limit:
        raise CheckFailed(
            f"layer '{node.name}': graded messages of {used} bits exceed the {limit} of '{chip.name}' "
            f"by {used - limit}; encode the input in fewer bits, or as binary spikes"
        )


def _check_input_axons(program: Program, chip: Chip, population: Population) -> None:
    """Dense synapses need every source on every core of the target: cutting does not help."""
    used = sum(program.source(c.source).size for c in program.into(population.name))
    _refuse(
        population.name, "input axons of every core", used, chip.input_axons.value,
        "give the layer fewer inputs (channels, a smaller frame) or split its input over two layers",
    )  # fmt: skip


def _check_synapse_formats(program: Program, chip: Chip, population: Population) -> None:
    """Every core of a population holds the formats of all its incoming connections."""
    used = len(synapse_formats(list(program.into(population.name))))
    _refuse(
        population.name, "synapse formats of every core", used, chip.synapse_formats.value,
        "let its connections share weight exponents",
    )  # fmt: skip


def _check_one_neuron(program: Program, chip: Chip, population: Population) -> None:
    """One neuron with its whole fan-in must fit one core."""
    used = population_words(program, chip, population, 1)
    _refuse(
        population.name, "synapse words of a single neuron", used, chip.synapse_words.value,
        "prune its inputs, give it fewer channels, or split its input over two layers",
    )  # fmt: skip


def _check_output_axons(chip: Chip, population: Population, destinations: int) -> None:
    """One neuron's destination cores must fit one core's output axons."""
    _refuse(
        population.name, "output axons of a single neuron", destinations, chip.output_axons.value,
        "give its target layers fewer neurons or fewer inputs, so that they need fewer cores",
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
