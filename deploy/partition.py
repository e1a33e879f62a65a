"""Neurons onto neurocores: layer by layer, contiguous slices, the fewest cores under all limits.

The rule: a core holds one slice of one population. Each population is cut into the fewest
contiguous slices that respect every limit of the chip (a greedy cut, from the first neuron), then
evened out where slices of equal size respect them too. Cores are numbered in the order of the
program's populations, one chip after another.

What a core with n neurons of a population costs:

    neurons          n
    synapse words    Σ over incoming connections: source size · words of an axon (`axon_words`);
                     dense connections keep their zeros, as Intel's compiler does
    input axons      Σ over incoming connections: source size
    output axons     n · cores that hold a target population, the own one included
    neuron groups    distinct (du, dv, vth) in the slice, counted per population; the bias is per
                     neuron and does not count
    synapse formats  distinct (exponent, delayed or not) of the incoming connections
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chip import Chip, amount
from deploy.errors import CheckFailed
from deploy.mapping import Core, Mapping, Slice
from deploy.program import Dense, Input, Population, Program

Groups = dict[str, NDArray[np.int64]]

RESOURCES = (
    "neurons",
    "synapse_words",
    "input_axons",
    "output_axons",
    "neuron_groups",
    "synapse_formats",
)


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
    groups = _groups(program)
    count = {p.name: 1 for p in program.populations}
    while True:
        cuts = {
            p.name: _cut(program, chip, p, _destinations(program, count, p.name), groups[p.name])
            for p in program.populations
        }
        grown = {name: len(cut) for name, cut in cuts.items()}
        _check_cores(chip, grown)
        if grown == count:
            break
        count = grown
    slices = [Slice(name, *bounds) for name, cut in cuts.items() for bounds in cut]
    return Mapping(chip.name, tuple(Core(i, (part,)) for i, part in enumerate(slices)))


def axon_words(chip: Chip, targets: int, delayed: bool) -> int:
    """Words that one input axon's dense synapse list of `targets` synapses takes.

    Per block: ceil((n·(synapse_bits [+ delay_bits]) + axon_bits) / word_bits).
    Source: nengo-loihi block.py, SynapseConfig.bits_per_axon; for the bits see the chip's file.
    """
    bits = amount(chip.synapse_bits) + (amount(chip.delay_bits) if delayed else 0)
    header, word = amount(chip.axon_bits), amount(chip.word_bits)
    blocks, rest = divmod(targets, chip.synapses_per_block.value or targets or 1)
    block = (targets - rest) // blocks if blocks else 0
    return blocks * -(-(block * bits + header) // word) + (
        -(-(rest * bits + header) // word) if rest else 0
    )


def core_load(program: Program, chip: Chip, mapping: Mapping, core: Core) -> dict[str, int]:
    """What one core of a mapping uses of each of RESOURCES."""
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    return _core_load(program, chip, count, _groups(program), core)


def core_report(program: Program, chip: Chip, mapping: Mapping) -> dict[str, Any]:
    """The report's `cores`: cores and chips used, and use against limit, per resource and core.

    {"used", "available", "chips", "chips_available", "chip", "utilisation": {resource: {"limit",
    "assumption", "max", "mean", "max_share", "mean_share"}}, "per_core": [{"core", "chip",
    "slices": [[population, start, stop]], resource: used, ...}], "per_node": {population: cores}};
    limit and shares are null where the limit is not public.
    """
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    groups = _groups(program)
    loads = [_core_load(program, chip, count, groups, core) for core in mapping.cores]
    utilisation: dict[str, dict[str, Any]] = {}
    for resource in RESOURCES:
        limit = getattr(chip, resource)
        used = [load[resource] for load in loads]
        most, mean = max(used, default=0), sum(used) / max(len(used), 1)
        utilisation[resource] = {
            "limit": limit.value,
            "assumption": limit.assumption,
            "max": most,
            "mean": mean,
            "max_share": None if limit.value is None else most / limit.value,
            "mean_share": None if limit.value is None else mean / limit.value,
        }
    per_chip = amount(chip.cores_per_chip)
    return {
        "used": len(mapping.cores),
        "available": chip.cores,
        "chips": len({core.index // per_chip for core in mapping.cores}),
        "chips_available": chip.chips,
        "chip": chip.name,
        "utilisation": utilisation,
        "per_core": [
            {
                "core": core.index,
                "chip": core.index // per_chip,
                "slices": [[s.population, s.start, s.stop] for s in core.slices],
                **load,
            }
            for core, load in zip(mapping.cores, loads, strict=True)
        ],
        "per_node": count,
    }


def _core_load(
    program: Program, chip: Chip, count: dict[str, int], groups: Groups, core: Core
) -> dict[str, int]:
    neurons: dict[str, int] = {}
    held: set[tuple[str, int]] = set()
    output_axons = 0
    for part in core.slices:
        population = program.population(part.population)
        neurons[population.name] = neurons.get(population.name, 0) + part.size
        output_axons += part.size * _destinations(program, count, population.name)
        held |= {
            (population.name, int(g))
            for g in np.unique(groups[population.name][part.start : part.stop])
        }
    incoming = [c for name in neurons for c in program.into(name)]
    return {
        "neurons": sum(neurons.values()),
        "synapse_words": sum(
            program.source(c.source).size * axon_words(chip, neurons[c.target], c.delay > 0)
            for c in incoming
        ),
        "input_axons": sum(program.source(c.source).size for c in incoming),
        "output_axons": output_axons,
        "neuron_groups": len(held),
        "synapse_formats": len(_formats(incoming)),
    }


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
    return _largest(most, lambda n: _population_words(program, chip, population, n) <= words)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n in 1..most that fits, where 1 fits and fitting ends once."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _population_words(program: Program, chip: Chip, population: Population, n: int) -> int:
    return sum(
        program.source(c.source).size * axon_words(chip, n, c.delay > 0)
        for c in program.into(population.name)
    )


def _destinations(program: Program, count: dict[str, int], name: str) -> int:
    """Cores that a neuron of `name` sends to: every core of every population it reaches."""
    return sum(count[target] for target in {c.target for c in program.out_of(name)})


def _groups(program: Program) -> Groups:
    """Number of the (du, dv, vth) group of each neuron, by population: int64 [size]."""

    def of(population: Population) -> NDArray[np.int64]:
        registers = [r.reshape(-1) for r in (population.du, population.dv, population.vth)]
        if all((r == r[0]).all() for r in registers):
            return np.zeros(population.size, np.int64)
        return np.unique(np.stack(registers), axis=1, return_inverse=True)[1].reshape(-1)

    return {p.name: of(p) for p in program.populations}


def _formats(connections: list[Dense]) -> set[tuple[int, bool]]:
    return {(c.exponent, c.delay > 0) for c in connections}


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
    used = len(_formats(list(program.into(population.name))))
    _refuse(
        population.name, "synapse formats of every core", used, chip.synapse_formats.value,
        "let its connections share weight exponents",
    )  # fmt: skip


def _check_one_neuron(program: Program, chip: Chip, population: Population) -> None:
    """One neuron with its whole fan-in must fit one core."""
    used = _population_words(program, chip, population, 1)
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
