"""What cores use of a chip's resources. A core with n neurons of a population costs:

    neurons          n
    synapse words    Σ over incoming connections: source size · words of an axon (`axon_words`);
                     dense connections keep their zeros, as Intel's compiler does
    input axons      Σ over incoming connections: source size
    output axons     n · cores that hold a target population, the own one included
    neuron groups    distinct (du, dv, vth) in the slice, counted per population; the bias is per
                     neuron and does not count
    synapse formats  distinct (exponent, delayed or not) of the incoming connections

The validator counts the same costs with code of its own (`deploy.validate`).
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chip import Chip, amount
from deploy.mapping import Core, Mapping
from deploy.program import Dense, Population, Program

Groups = dict[str, NDArray[np.int64]]

RESOURCES = (
    "neurons",
    "synapse_words",
    "input_axons",
    "output_axons",
    "neuron_groups",
    "synapse_formats",
)


def axon_words(chip: Chip, targets: int, delayed: bool) -> int:
    """Words that one input axon's dense synapse list of `targets` synapses takes.

    Per block: ceil((n·(synapse_bits [+ delay_bits]) + axon_bits) / word_bits).
    Source: nengo-loihi block.py, SynapseConfig.bits_per_axon; for the bits see the chip's file.
    """
    bits = amount(chip.synapse_bits) + (amount(chip.delay_bits) if delayed else 0)

    def block(synapses: int) -> int:
        return -(-(synapses * bits + amount(chip.axon_bits)) // amount(chip.word_bits))

    largest = chip.synapses_per_block.value or max(targets, 1)
    full, rest = divmod(targets, largest)
    return full * block(largest) + (block(rest) if rest else 0)


def population_words(program: Program, chip: Chip, population: Population, n: int) -> int:
    """Synapse words of a core that holds n neurons of one population."""
    return sum(
        program.source(c.source).size * axon_words(chip, n, c.delay > 0)
        for c in program.into(population.name)
    )


def destination_cores(program: Program, count: dict[str, int], name: str) -> int:
    """Cores that a neuron of `name` sends to: every core of every population it reaches."""
    return sum(count[target] for target in {c.target for c in program.out_of(name)})


def neuron_groups(program: Program) -> Groups:
    """Number of the (du, dv, vth) group of each neuron, by population: int64 [size]."""

    def of(population: Population) -> NDArray[np.int64]:
        registers = [r.reshape(-1) for r in (population.du, population.dv, population.vth)]
        if all((r == r[0]).all() for r in registers):
            return np.zeros(population.size, np.int64)
        return np.unique(np.stack(registers), axis=1, return_inverse=True)[1].reshape(-1)

    return {p.name: of(p) for p in program.populations}


def synapse_formats(connections: list[Dense]) -> set[tuple[int, bool]]:
    """The distinct (exponent, delayed or not) of connections."""
    return {(c.exponent, c.delay > 0) for c in connections}


def core_load(program: Program, chip: Chip, mapping: Mapping, core: Core) -> dict[str, int]:
    """What one core of a mapping uses of each of RESOURCES."""
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    return _core_load(program, chip, count, neuron_groups(program), core)


def core_report(program: Program, chip: Chip, mapping: Mapping) -> dict[str, Any]:
    """The report's `cores`: cores and chips used, and use against limit, per resource and core.

    {"used", "available", "chips", "chips_available", "chip", "utilisation": {resource: {"limit",
    "assumption", "used_max", "used_mean", "max", "mean"}}, "list": [{"index", "chip", "slices":
    [{"population", "start", "stop"}], "used": {resource: number}, "load": {resource: share}}],
    "per_node": {population: cores}}; max, mean and load are shares of the limit, null or absent
    where the limit is not public.
    """
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    groups = neuron_groups(program)
    loads = [_core_load(program, chip, count, groups, core) for core in mapping.cores]
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
    program: Program, chip: Chip, count: dict[str, int], groups: Groups, core: Core
) -> dict[str, int]:
    neurons: dict[str, int] = {}
    held: set[tuple[str, int]] = set()
    output_axons = 0
    for part in core.slices:
        population = program.population(part.population)
        neurons[population.name] = neurons.get(population.name, 0) + part.size
        output_axons += part.size * destination_cores(program, count, population.name)
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
        "synapse_formats": len(synapse_formats(incoming)),
    }
