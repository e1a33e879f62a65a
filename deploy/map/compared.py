"""How a mapping does beside others of the same program: random, layer order, and a lower bound.

    packets         Σ messages · distinct remote cores with a target; from the host, all are remote
    hops            hops of the mesh that the packets between cores take, chips counted as joined
    chip_crossings  steps from chip to chip that they take

`random` deals the neurons over as many cores at the same places, whatever else they need, so it
is no legal mapping. `layer_order` is `deploy.map.cut.slices.by_layer`, cores in that order. The lower bound
holds for every legal mapping: a neuron whose targets need n cores sends to n − 1 others at least;
it is far from what can be reached where fan-outs are smaller than cores.
"""

from typing import Any

import numpy as np

from deploy.connections.connections import Dense
from deploy.connections.reach import Ints
from deploy.connections.synapses import fan_out
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Mapping
from deploy.hardware.mesh import coordinates
from deploy.map.core.hypergraph import Messages, Parts, between, hypergraph, packets, parts_of
from deploy.map.cut.slices import layer_parts
from deploy.program.program import Program

Cost = dict[str, float]


def comparison(
    program: Program,
    chip: Chip,
    mapping: Mapping,
    messages: Messages | None = None,
    samples: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """{"random", "layer_order", "ours", "lower_bound": {"packets", "hops", "chip_crossings"}}.

    Per inference, from the messages of so many samples; without messages, one a neuron. Layer order
    is None where it does not fit.
    """
    used = np.array([core.index for core in mapping.cores])
    ours = parts_of(program, mapping)
    rng = np.random.default_rng(seed)
    total = sum(p.size for p in program.populations)
    dealt = rng.permutation(np.arange(total) % len(used))
    first = np.cumsum([0, *(p.size for p in program.populations)])
    at_random = {p.name: dealt[first[i] : first[i + 1]] for i, p in enumerate(program.populations)}
    try:
        layers = layer_parts(program, chip)
        number = max(int(part.max()) for part in layers.values()) + 1
        layer_order = cost(program, chip, layers, np.arange(number), messages)
    except CheckFailed:
        layer_order = None
    found = {
        "random": cost(program, chip, at_random, used, messages),
        "layer_order": layer_order,
        "ours": cost(program, chip, ours, used, messages),
        "lower_bound": _lower_bound(program, chip, messages),
    }
    return {
        name: None if of is None else {key: value / samples for key, value in of.items()}
        for name, of in found.items()
    }


def cost(
    program: Program, chip: Chip, part_of: Parts, indices: Ints, messages: Messages | None = None
) -> Cost:
    """Packets, hops and chip crossings over all samples. indices: of each core that part_of numbers."""
    graph = hypergraph(program, part_of, len(indices), messages)
    a, b, sent = between(graph)
    x, y, chip_x, chip_y = (
        np.abs(i - j)
        for i, j in zip(coordinates(chip, indices[a]), coordinates(chip, indices[b]), strict=True)
    )
    return {
        "packets": packets(graph),
        "hops": int(np.dot(sent, x + y)),
        "chip_crossings": int(np.dot(sent, chip_x + chip_y)),
    }


def _lower_bound(program: Program, chip: Chip, messages: Messages | None) -> Cost:
    """Every neuron's targets over as few cores as neurons and dense synapse words allow."""
    neurons, words = amount(chip.neurons), amount(chip.synapse_words)
    share = {p.name: 1 / neurons for p in program.populations}
    for p in program.populations:
        bits = sum(
            c.source_size
            * (amount(chip.synapse_bits) + (amount(chip.delay_bits) if c.delay else 0))
            for c in program.into(p.name)
            if isinstance(c, Dense)
        )
        share[p.name] = max(share[p.name], bits / amount(chip.word_bits) / words)
    total = 0
    for node in program.sources:
        targets: dict[str, Ints] = {}
        for c in program.out_of(node.name):
            onto = fan_out(c)
            targets[c.target] = np.maximum(targets.get(c.target, onto), onto)
        if not targets:
            continue
        filled = sum(n * share[name] for name, n in targets.items())
        cores = np.ceil(filled - 1e-9).astype(np.int64)
        at_home = 0 if node.name not in share else 1
        sent = np.ones(node.size, np.int64) if messages is None else messages[node.name]
        total += int(np.dot(np.asarray(sent).reshape(-1), np.maximum(cores - at_home, 0)))
    return {"packets": total, "hops": 0, "chip_crossings": 0}
