"""A bound on the packets of every legal mapping of a program.

Let a neuron s send m messages, and let T be the neurons that it has synapses onto, and itself. A
mapping puts T on some k cores. One of them is s's own, so that s sends to the k − 1 others; an
input is on the host, not in its T, and sends to all k:

    packets = Σ over neurons m·(k − 1)  +  Σ over inputs m·k

Now take one resource, of which a core has c, and of which every neuron i takes at least u(i) of its
core, whatever else is there. The k cores of T have k·c of it, and T takes at least Σ u(i), hence

    k ≥ ⌈Σ over i in T of u(i) / c⌉

for every resource, and so for the largest of these. Shares of different resources are never added:
two layers can fill one core, each with a resource of its own. What a neuron takes at least:

    neurons         1
    synapse words   ρ for each of its synapses, where ρ is the fewest words a synapse that a list of
                    any length n takes, min words(n) / n; nothing where kernels are stored once

Of T the bound knows only how many neurons of each layer are in it, so it takes as many of the layer
as need least. It is far from what can be reached where fan-outs are smaller than cores.
"""

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.connections import Connection
from deploy.hardware.chip import Chip, amount
from deploy.map.core.costs import axon_words
from deploy.map.core.hypergraph import Messages
from deploy.neurons import Neurons
from deploy.program.program import Input, Program

# Parts of a word in which words a synapse are counted, rounded down, so that sums are of integers.
_WORD = 1 << 20


def fewest_packets(program: Program, chip: Chip, messages: Messages | None = None) -> int:
    """The bound, for messages {node: integers [*shape]} that were sent, or one from each."""
    needs = {p.name: _needs(program, chip, p) for p in program.populations}
    capacity = np.array([amount(chip.neurons), amount(chip.synapse_words) * _WORD])
    total = 0
    for node in program.sources:
        targets: dict[str, Ints] = {}
        for c in program.out_of(node.name):
            fan_out = c.fan_out()
            # Connections may share targets: no more of a layer are certain than one of them has.
            targets[c.target] = np.maximum(targets.get(c.target, fan_out), fan_out)
        taken = np.zeros((2, node.size), np.int64)
        at_home = 0 if isinstance(node, Input) else 1
        if at_home and node.name not in targets:
            taken += needs[node.name]
        for name, number in targets.items():
            least = np.cumsum(np.sort(needs[name], axis=1), axis=1)
            taken += np.concatenate([np.zeros((2, 1), np.int64), least], axis=1)[:, number]
        cores = (-(-taken // capacity[:, None])).max(axis=0)
        sent = np.ones(node.size, np.int64) if messages is None else messages[node.name]
        total += int(np.dot(np.asarray(sent).reshape(-1), np.maximum(cores - at_home, 0)))
    return total


def _needs(program: Program, chip: Chip, population: Neurons) -> Ints:
    """Neurons and parts of a word that each neuron takes at least: int64 [2, size]."""
    words = np.zeros(population.size, np.int64)
    for c in program.into(population.name):
        words += c.target_fans() * _parts_of_a_word(chip, c)
    return np.stack([np.ones(population.size, np.int64), words])


def _parts_of_a_word(chip: Chip, c: Connection) -> int:
    """The fewest that a synapse of a connection takes, 0 where targets share what is stored."""
    targets = np.arange(c.target_size)
    shared = bool(amount(chip.shared_kernels))
    whole = c.stored(targets, np.zeros_like(targets), 1, shared)
    if whole.times * int(whole.size.sum()) < c.synapse_count():
        return 0
    lengths = np.arange(1, min(c.target_size, amount(chip.neurons)) + 1)
    words = axon_words(chip, lengths, c.synaptic_delay > 0, whole.indexed)
    return int((words * _WORD // lengths).min())
