"""What cores use of a chip's resources. A core with n neurons of a population costs:

    neurons          n
    synapse words    Σ over incoming connections of the words of their lists (`axon_words`)
                     dense:        a list of n synapses per source neuron; zeros are kept, as
                                   Intel's compiler does
                     sparse:       a list per source neuron with synapses here, an index in each
                     convolution:  the kernels of the output channels here once, a list per input
                                   channel; without `shared_kernels`, as sparse
    input axons      Σ over incoming connections: source neurons with synapses on the core
    output axons     Σ over the neurons: cores on which they have a synapse, the own one included
    neuron groups    distinct registers (du, dv, vth) in the slice, those that its kind has, counted
                     per population; the bias is per neuron and does not count
    synapse formats  distinct (kind, exponent, delayed or not) of the incoming connections

The validator counts the same costs with code of its own (`deploy.validate`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chip import Chip, amount
from deploy.connections import Connection, Conv2d, Dense, kind
from deploy.mapping import Core
from deploy.mapping import Mapping as CoreMapping
from deploy.populations import AnyPopulation, group_registers
from deploy.program import Program
from deploy.synapses import fan_out, reach, reach_size

# Neurons start ≤ i < stop of a population that are on one core, each range (start, stop).
Ranges = Sequence[tuple[int, int]]
Groups = dict[str, NDArray[np.int64]]

RESOURCES = (
    "neurons",
    "synapse_words",
    "input_axons",
    "output_axons",
    "neuron_groups",
    "synapse_formats",
)


def axon_words(chip: Chip, targets: int, delayed: bool, indexed: bool = False) -> int:
    """Words that one input axon's list of `targets` synapses takes.

    Per block: ceil((n·(synapse_bits [+ delay_bits] [+ index_bits]) + axon_bits) / word_bits).
    Source: nengo-loihi block.py, SynapseConfig.bits_per_axon; for the bits see the chip's file.
    """
    bits = amount(chip.synapse_bits) + (amount(chip.delay_bits) if delayed else 0)
    bits += amount(chip.index_bits) if indexed else 0

    def block(synapses: int) -> int:
        return -(-(synapses * bits + amount(chip.axon_bits)) // amount(chip.word_bits))

    largest = chip.synapses_per_block.value or max(targets, 1)
    full, rest = divmod(targets, largest)
    return full * block(largest) + (block(rest) if rest else 0)


def connection_words(chip: Chip, c: Connection, ranges: Ranges) -> int:
    """Synapse words of a core that holds the targets start ≤ i < stop of every range."""
    delayed = c.delay > 0
    if isinstance(c, Dense):
        held = sum(stop - start for start, stop in ranges)
        return c.source_size * axon_words(chip, held, delayed)
    if isinstance(c, Conv2d) and amount(chip.shared_kernels):
        outputs, inputs, *kernel = c.weight.shape
        area = c.target_size // outputs
        channels = {i for start, stop in ranges for i in range(start // area, -(-stop // area))}
        per_group = np.bincount([i // (outputs // c.groups) for i in channels])
        return inputs * sum(
            axon_words(chip, int(n) * prod(kernel), delayed) for n in per_group if n
        )
    lists = sum((fan_out(c, *bounds) for bounds in ranges), np.zeros(c.source_size, np.int64))
    sizes, times = np.unique(lists[lists > 0], return_counts=True)
    return sum(
        int(k) * axon_words(chip, int(n), delayed, indexed=True)
        for n, k in zip(sizes, times, strict=True)
    )


def connection_axons(c: Connection, ranges: Ranges) -> int:
    """Input axons of a core that holds the targets start ≤ i < stop of every range."""
    if len(ranges) == 1:
        return reach_size(c, *ranges[0])
    return int(np.count_nonzero(reached(c, ranges)))


def reached(c: Connection, ranges: Ranges) -> NDArray[np.bool_]:
    """The sources with a synapse onto the targets of any range: [source size]."""
    masks = [reach(c, *bounds) for bounds in ranges]
    return masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)


def destinations(
    program: Program, cores: Iterable[Mapping[str, Ranges]]
) -> dict[str, NDArray[np.int64]]:
    """{population: cores on which each neuron has a synapse, int64 [size]}.

    cores: what each holds, as {population: ranges of neurons}.
    """
    found = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    for held in cores:
        on_core: dict[str, NDArray[np.bool_]] = {}
        for name, ranges in held.items():
            for c in program.into(name):
                if c.source in found:
                    mask = reached(c, ranges)
                    on_core[c.source] = on_core[c.source] | mask if c.source in on_core else mask
        for name, mask in on_core.items():
            found[name] += mask
    return found


def neuron_groups(program: Program) -> Groups:
    """Number of the group of equal registers of each neuron, by population: int64 [size]."""

    def of(population: AnyPopulation) -> NDArray[np.int64]:
        registers = [r.reshape(-1) for r in group_registers(population).values()]
        if all((r == r[0]).all() for r in registers):
            return np.zeros(population.size, np.int64)
        return np.unique(np.stack(registers), axis=1, return_inverse=True)[1].reshape(-1)

    return {p.name: of(p) for p in program.populations}


def synapse_formats(connections: Iterable[Connection]) -> set[tuple[str, int, bool]]:
    """The distinct (kind, exponent, delayed or not) of connections."""
    return {(kind(c), c.exponent, c.delay > 0) for c in connections}


def held_by(core: Core) -> Mapping[str, Ranges]:
    """What a core holds, as {population: ranges of neurons}."""
    held: dict[str, list[tuple[int, int]]] = {}
    for part in core.slices:
        held.setdefault(part.population, []).append((part.start, part.stop))
    return held


def core_load(program: Program, chip: Chip, mapping: CoreMapping, core: Core) -> dict[str, int]:
    """What one core of a mapping uses of each of RESOURCES."""
    reaches = destinations(program, map(held_by, mapping.cores))
    return _core_load(program, chip, reaches, neuron_groups(program), core)


def core_report(program: Program, chip: Chip, mapping: CoreMapping) -> dict[str, Any]:
    """The report's `cores`: cores and chips used, and use against limit, per resource and core.

    {"used", "available", "chips", "chips_available", "chip", "utilisation": {resource: {"limit",
    "assumption", "used_max", "used_mean", "max", "mean"}}, "list": [{"index", "chip", "slices":
    [{"population", "start", "stop"}], "used": {resource: number}, "load": {resource: share}}],
    "per_node": {population: cores}}; max, mean and load are shares of the limit, null or absent
    where the limit is not public.
    """
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    groups, reaches = neuron_groups(program), destinations(program, map(held_by, mapping.cores))
    loads = [_core_load(program, chip, reaches, groups, core) for core in mapping.cores]
    utilisation: dict[str, dict[str, Any]] = {}
    for resource in RESOURCES:
        limit = getattr(chip, resource)
        used = [load[resource] for load in loads]
        most, mean = max(used, default=0), sum(used) / max(len(used), 1)
        utilisation[resource] = {
            "limit": limit.value,
            "assumption": limit.assumption,
            "used_max": most,
            "used_mean": mean,
            "max": None if limit.value is None else most / limit.value,
            "mean": None if limit.value is None else mean / limit.value,
        }
    per_chip = amount(chip.cores_per_chip)
    return {
        "used": len(mapping.cores),
        "available": chip.cores,
        "chips": len({core.index // per_chip for core in mapping.cores}),
        "chips_available": chip.chips,
        "chip": chip.name,
        "utilisation": utilisation,
        "list": [
            {
                "index": core.index,
                "chip": core.index // per_chip,
                "slices": [asdict(part) for part in core.slices],
                "used": load,
                "load": _shares(chip, load),
            }
            for core, load in zip(mapping.cores, loads, strict=True)
        ],
        "per_node": count,
    }


def _shares(chip: Chip, load: dict[str, int]) -> dict[str, float]:
    """Use as shares of those limits that are known."""
    limits = {resource: getattr(chip, resource).value for resource in RESOURCES}
    return {r: used / limits[r] for r, used in load.items() if limits[r] is not None}


def _core_load(
    program: Program,
    chip: Chip,
    reaches: dict[str, NDArray[np.int64]],
    groups: Groups,
    core: Core,
) -> dict[str, int]:
    held = held_by(core)
    incoming = [(c, ranges) for name, ranges in held.items() for c in program.into(name)]
    parts = [(name, slice(*bounds)) for name, ranges in held.items() for bounds in ranges]
    return {
        "neurons": sum(part.size for part in core.slices),
        "synapse_words": sum(connection_words(chip, c, ranges) for c, ranges in incoming),
        "input_axons": sum(connection_axons(c, ranges) for c, ranges in incoming),
        "output_axons": sum(int(reaches[name][part].sum()) for name, part in parts),
        "neuron_groups": len({(name, int(g)) for name, part in parts for g in groups[name][part]}),
        "synapse_formats": len(synapse_formats(c for c, _ in incoming)),
    }
