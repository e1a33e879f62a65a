"""What exchanging some layers of a program on a chip costs: the synapse words to load again."""

from collections.abc import Sequence
from typing import Any

from deploy.chip import Chip
from deploy.costs import connection_words, held_by
from deploy.mapping import Mapping
from deploy.program import Program


def exchange_cost(
    program: Program, chip: Chip, mapping: Mapping, layers: Sequence[str]
) -> dict[str, Any]:
    """{"layers", "synapse_words", "of"}: words of these connections over all cores, and of all.

    layers: names of connections of the program. Words are counted as `deploy.costs` does.
    """
    words = {c.name: 0 for c in program.connections}
    for core in mapping.cores:
        held = held_by(core)
        for c in program.connections:
            if c.target in held:
                words[c.name] += connection_words(chip, c, held[c.target])
    exchanged = sum(words[name] for name in layers)
    return {"layers": list(layers), "synapse_words": exchanged, "of": sum(words.values())}
