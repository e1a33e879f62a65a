"""What a program costs on a chip in the figures by which two lowerings of the same are compared."""

from typing import Any

from deploy.count.operations import count
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Mapping
from deploy.map.core.costs import loads
from deploy.map.core.hypergraph import Messages, parts_of
from deploy.program.program import Program

# Figures of a mapping: null where a program does not fit the chip.
MAPPED = ("cores", "chips", "synapse_words", "messages")


def lowering_cost(
    program: Program,
    chip: Chip,
    mapping: Mapping | None,
    sent: Messages,
    samples: int,
    timesteps: int,
) -> dict[str, int | float | None]:
    """The cost of a program per inference; without a mapping, its figures (MAPPED) are null.

    sent: {node: integers [*shape]}, the messages of all samples, as `Trace.messages`. populations,
    neurons, synapses, synapse_words (of all cores), cores and chips are of the network;
    synaptic_ops, macs (those of graded messages), neuron_updates and messages (packets between
    cores) as `deploy.count.operations` defines them, per inference.
    """
    counts = count(program, sent, samples, timesteps, mapping)
    found: dict[str, Any] = {
        "populations": len(program.populations),
        "neurons": sum(p.size for p in program.populations),
        "synapses": sum(counts.synapses.values()),
        "synaptic_ops": sum(counts.synaptic_ops.values()) / samples,
        "macs": sum(counts.macs.values()) / samples,
        "neuron_updates": sum(counts.neuron_updates.values()) / samples,
    } | dict.fromkeys(MAPPED)
    if mapping is not None:
        assert counts.messages is not None
        cores = len(mapping.cores)
        used = loads(program, chip, parts_of(program, mapping), cores)
        found |= {
            "cores": cores,
            "chips": len({core.index // amount(chip.cores_per_chip) for core in mapping.cores}),
            "synapse_words": int(used["synapse_words"].sum()),
            "messages": sum(counts.messages.values()) / samples,
        }
    return found
