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

A synapse is delayed where its connection takes more than one step (`deploy.program.timed`).

The validator counts the same costs with code of its own (`deploy.map.validate`).
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.index_sets import Ints, distinct
from deploy.connections import Connection
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Mapping
from deploy.map.core.hypergraph import (
    Hypergraph,
    Pairs,
    Parts,
    hypergraph,
    parts_of,
    spreads,
)
from deploy.neurons import Neurons
from deploy.program.program import Program

Groups = dict[str, NDArray[np.int64]]

RESOURCES = (
    "neurons",
    "synapse_words",
    "input_axons",
    "output_axons",
    "neuron_groups",
    "synapse_formats",
)


def axon_words(chip: Chip, targets: Ints, delayed: bool, indexed: bool = False) -> Ints:
    """Words that an input axon's list of `targets` synapses takes, for each of these numbers.

    Per block: ceil((n·(synapse_bits [+ delay_bits] [+ index_bits]) + axon_bits) / word_bits).
    Source: nengo-loihi block.py, SynapseConfig.bits_per_axon; for the bits see the chip's file.
    """
    bits = amount(chip.synapse_bits) + (amount(chip.delay_bits) if delayed else 0)
    bits += amount(chip.index_bits) if indexed else 0

    def block(synapses: Any) -> Any:
        words = -(-(synapses * bits + amount(chip.axon_bits)) // amount(chip.word_bits))
        return np.where(synapses > 0, words, 0)

    targets = np.asarray(targets, np.int64)
    if chip.synapses_per_block.value is None:
        return block(targets)
    full, rest = np.divmod(targets, chip.synapses_per_block.value)
    return full * block(np.int64(chip.synapses_per_block.value)) + block(rest)


def connection_words(chip: Chip, c: Connection, targets: Ints, part: Ints, parts: int) -> Ints:
    """Synapse words of each part that holds these targets (see `deploy.connections.connection`): int64."""
    held = c.stored(targets, part, parts, bool(amount(chip.shared_kernels)))
    words = axon_words(chip, held.size, c.synaptic_delay > 0, held.indexed)
    return held.times * np.bincount(held.part, words, parts).astype(np.int64)


def connection_axons(c: Connection, spread: Pairs, parts: int) -> Ints:
    """Input axons of each part, from what `Connection.spread` gives for it: int64 [parts]."""
    return c.members * np.bincount(spread[1], minlength=parts)


def output_axons(graph: Hypergraph) -> Ints:
    """(Neuron, part with a target of it) pairs of each part: int64 [parts]."""
    sent = graph.count * np.diff(graph.indptr)
    kept = graph.own >= 0
    return np.bincount(graph.own[kept], sent[kept], graph.parts).astype(np.int64)


def loads(program: Program, chip: Chip, part_of: Parts, parts: int) -> dict[str, Ints]:
    """What each part, as a core, uses of each of RESOURCES: {resource: int64 [parts]}."""
    used = {resource: np.zeros(parts, np.int64) for resource in RESOURCES}
    pairs = spreads(program, part_of, parts)
    used["output_axons"] = output_axons(hypergraph(program, part_of, parts, pairs=pairs))
    groups = neuron_groups(program)
    formats: dict[tuple[str, int, bool], NDArray[np.bool_]] = {}
    for p in program.populations:
        part, targets = part_of[p.name], np.arange(p.size)
        used["neurons"] += np.bincount(part, minlength=parts)
        number = int(groups[p.name].max(initial=0)) + 1
        held = distinct(part * number + groups[p.name], parts * number) // number
        used["neuron_groups"] += np.bincount(held, minlength=parts)
        for c in program.into(p.name):
            used["synapse_words"] += connection_words(chip, c, targets, part, parts)
            used["input_axons"] += connection_axons(c, pairs[c.name], parts)
            (form,) = synapse_formats([c])
            formats.setdefault(form, np.zeros(parts, np.bool_))[part] = True
    for held_format in formats.values():
        used["synapse_formats"] += held_format
    return used


def neuron_groups(program: Program) -> Groups:
    """Number of the group of equal registers of each neuron, by population: int64 [size]."""

    def of(population: Neurons) -> NDArray[np.int64]:
        registers = [r.reshape(-1) for r in population.group_registers.values()]
        if all((r == r[0]).all() for r in registers):
            return np.zeros(population.size, np.int64)
        return np.unique(np.stack(registers), axis=1, return_inverse=True)[1].reshape(-1)

    return {p.name: of(p) for p in program.populations}


def synapse_formats(connections: Iterable[Connection]) -> set[tuple[str, int, bool]]:
    """The distinct (kind, exponent, delayed or not) of connections."""
    return {(c.kind, c.exponent, c.synaptic_delay > 0) for c in connections}


def core_report(program: Program, chip: Chip, mapping: Mapping) -> dict[str, Any]:
    """The report's `cores`: cores and chips used, and use against limit, per resource and core.

    {"used", "available", "chips", "chips_available", "chip", "utilisation": {resource: {"limit",
    "assumption", "used_max", "used_mean", "max", "mean"}}, "list": [{"index", "chip", "slices":
    [{"population", "start", "stop"}], "used": {resource: number}, "load": {resource: share}}],
    "per_node": {population: cores}}; max, mean and load are shares of the limit, null or absent
    where the limit is not public.
    """
    count = {p.name: len(mapping.cores_of(p.name)) for p in program.populations}
    uses = loads(program, chip, parts_of(program, mapping), len(mapping.cores))
    per_core = [{r: int(uses[r][i]) for r in RESOURCES} for i in range(len(mapping.cores))]
    utilisation: dict[str, dict[str, Any]] = {}
    for resource in RESOURCES:
        limit = getattr(chip, resource)
        used = [load[resource] for load in per_core]
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
            for core, load in zip(mapping.cores, per_core, strict=True)
        ],
        "per_node": count,
    }


def _shares(chip: Chip, load: dict[str, int]) -> dict[str, float]:
    """Use as shares of those limits that are known."""
    limits = {resource: getattr(chip, resource).value for resource in RESOURCES}
    return {r: used / limits[r] for r, used in load.items() if limits[r] is not None}
