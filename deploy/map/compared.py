"""How a mapping does beside others of the same program: random, layer order, and a lower bound.

    packets         Σ messages · distinct remote cores with a target; from the host, all are remote
    hops            hops of the mesh that the packets between cores take, chips counted as joined
    chip_crossings  steps from chip to chip that they take

`random` deals the neurons over as many cores at the same places, whatever else they need, so it
is no legal mapping. `layer_order` is `deploy.map.cut.slices.by_layer`, cores in that order. No legal mapping
has fewer packets than `lower_bound` (`deploy.map.lower_bound`).
"""

from typing import Any

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping
from deploy.hardware.mesh import apart, coordinates
from deploy.map.core.fits import Refusal
from deploy.map.core.hypergraph import Messages, Parts, between, hypergraph, packets, parts_of
from deploy.map.cut.slices import layer_parts
from deploy.map.lower_bound import fewest_packets
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
    layers, layer_order = layer_parts(program, chip), None
    if not isinstance(layers, Refusal):
        number = max(int(part.max()) for part in layers.values()) + 1
        layer_order = cost(program, chip, layers, np.arange(number), messages)
    found = {
        "random": cost(program, chip, at_random, used, messages),
        "layer_order": layer_order,
        "ours": cost(program, chip, ours, used, messages),
        "lower_bound": {
            "packets": fewest_packets(program, chip, messages),
            "hops": 0,
            "chip_crossings": 0,
        },
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
    way = apart(coordinates(chip, indices[a]), coordinates(chip, indices[b]))
    return {
        "packets": packets(graph),
        "hops": int(np.dot(sent, way.hops)),
        "chip_crossings": int(np.dot(sent, way.chips)),
    }
