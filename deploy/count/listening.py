"""What one core hears: the synapses that its neurons have from every source, in numbers.

Only the sources around a core's neurons are looked at, so that many small cores cost no more than
a few large ones.
"""

from collections.abc import Mapping as Dict
from dataclasses import dataclass

import numpy as np

from deploy.connections.connection import Heard
from deploy.hardware.mapping import Core
from deploy.program.program import Program


@dataclass(frozen=True, eq=False)
class Listening:
    """Synapses on one core by source: {source: (neurons, effective, dense)}, int64 [neurons] each.

    neurons: those of the source with a synapse here, ascending. effective: how many of non-zero
    weight each has here; dense: how many of any weight.
    """

    operations: Dict[str, Heard]


def listening(program: Program, core: Core) -> Listening:
    """The synapses of a core."""
    tables: dict[str, list[Heard]] = {}
    for name in dict.fromkeys(part.population for part in core.slices):
        parts = [np.arange(s.start, s.stop) for s in core.slices if s.population == name]
        for c in program.into(name):
            tables.setdefault(c.source, []).append(c.heard(np.concatenate(parts)))
    return Listening({source: _joined(found) for source, found in tables.items()})


def _joined(found: list[Heard]) -> Heard:
    """The same with every neuron once."""
    if len(found) == 1:
        return found[0]
    neurons, effective, dense = (np.concatenate(column) for column in zip(*found, strict=True))
    neurons, of = np.unique(neurons, return_inverse=True)
    both = [np.bincount(of, n, len(neurons)).astype(np.int64) for n in (effective, dense)]
    return neurons, both[0], both[1]
