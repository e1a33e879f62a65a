"""Relays that align branches of different length, for Lava's stock processes, of a step a layer each.

A message that would arrive early at a population is passed on, unchanged and a step later each time,
by populations without memory. They belong to this target and to no `Program` that anyone else sees.
"""

from dataclasses import replace

from deploy.arithmetic.registers import DECAY_MAX, GRADED_BITS_MIN
from deploy.connections import one_to_one
from deploy.neurons import Graded, Neurons
from deploy.program.pipeline_latency import extra_steps, latency_steps
from deploy.program.program import Connection, Input, Program, make_population, sent_range


def aligned(program: Program) -> tuple[Program, frozenset[str]]:
    """The same network in which all that drives a population has come equally far, and its relays.

    A chain of relays serves every connection of its source: the one held back k steps starts at the
    k-th relay. Of a program whose connections have no delays of their own, all `extra_steps` of the
    result are 0 and the latencies of its own populations are what they were.
    """
    held = extra_steps(program, latency_steps(program))
    taken = {node.name for node in program.sources} | {c.name for c in program.connections}
    chains: dict[str, list[Neurons]] = {}
    connections: list[Connection] = []
    for c in program.connections:
        chain = chains.setdefault(c.source, [])
        source = program.source(c.source)
        while len(chain) < held[c.name]:
            before = chain[-1] if chain else source
            name = _free(f"{source.name}.relay{len(chain) + 1}", taken)
            relay, exponent = _relay(source, name)
            synapses = _free(f"{relay.name}.synapses", taken)
            connections.append(
                one_to_one(synapses, before.name, relay.name, relay.size, exponent=exponent)
            )
            chain.append(relay)
        steps = held[c.name]
        connections.append(replace(c, source=chain[steps - 1].name) if steps else c)
    relays = tuple(relay for chain in chains.values() for relay in chain)
    made = Program(
        program.inputs, (*program.populations, *relays), tuple(connections), program.outputs
    )
    return made, frozenset(relay.name for relay in relays)


def _relay(source: Input | Neurons, name: str) -> tuple[Neurons, int]:
    """Neurons that send what they receive through weights of 2 of this exponent, and keep nothing."""
    low, high = sent_range(source)
    if (low, high) == (0, 1):
        # A synapse of 2 is 128 units of v, beyond the 64 of this threshold.
        return make_population(name, source.shape, du=DECAY_MAX, dv=DECAY_MAX, vth=1), 0
    bits = max(high, -low - 1).bit_length() + (low < 0)
    # (2·m) >> 1 is the message.
    return Graded(name, source.shape, 0, low >= 0, max(bits, GRADED_BITS_MIN)), -1


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name
