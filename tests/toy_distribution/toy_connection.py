"""A kind of connection in one file: every neuron hears its neighbour before it, the first the last."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deploy.arithmetic.registers import IntArray
from deploy.connections import Connection
from deploy.connections.synapse_list import SynapseList


@dataclass(frozen=True, eq=False)
class Shift(Connection):
    """Target i hears source (i − 1) mod n with weight[i]. weight: int32 [n]."""

    kind: ClassVar[str] = "toy-shift"
    name: str
    source: str
    target: str
    weight: IntArray
    exponent: int = 0
    delay: int = 0

    @property
    def source_size(self) -> int:
        """A weight each."""
        return len(self.weight)

    @property
    def target_size(self) -> int:
        """As many targets as sources."""
        return len(self.weight)

    def listed(self) -> SynapseList:
        """One synapse a target."""
        n = len(self.weight)
        sources = (np.arange(n, dtype=np.int32) - 1) % n
        return SynapseList(self.weight, sources, np.arange(n + 1, dtype=np.int32), n)
