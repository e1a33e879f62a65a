"""What exchanging some layers of a program on a chip costs: the synapse words to load again."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Mapping
from deploy.map.core.costs import connection_words
from deploy.map.core.hypergraph import parts_of
from deploy.program.program import Program


def exchange_cost(
    program: Program, chip: Chip, mapping: Mapping, layers: Sequence[str]
) -> dict[str, Any]:
    """{"layers", "synapse_words", "of"}: words of these connections over all cores, and of all.

    layers: names of connections of the program. Words are counted as `deploy.map.core.costs` does.
    """
    part_of, parts = parts_of(program, mapping), len(mapping.cores)
    words = {}
    for p in program.populations:
        targets = np.arange(p.size)
        for c in program.into(p.name):
            held = connection_words(chip, c, targets, part_of[p.name], parts)
            words[c.name] = int(held.sum())
    exchanged = sum(words[name] for name in layers)
    return {"layers": list(layers), "synapse_words": exchanged, "of": sum(words.values())}
