"""All-to-all synapses: every source has one onto every target.

A core stores a row of weights for every source, without the targets' numbers, so that zeros are
stored as all others are, as Intel's compiler keeps them: **every zero is performed.**
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.arithmetic.registers import IntArray, Shape
from deploy.connections.connection import Connection, Heard, Stored
from deploy.connections.exact_sums import Sums, in_exact_type
from deploy.connections.synapse_list import SynapseList, require_listable
from deploy.errors import BadInput


@dataclass(frozen=True, eq=False)
class Dense(Connection):
    """All-to-all synapses. weight: int32 [target size, source size]; zeros are synapses too."""

    kind = "dense"
    pattern = "all"
    name: str
    source: str
    target: str
    weight: IntArray
    exponent: int = 0
    delay: int = 0

    @property
    def source_size(self) -> int:
        """Number of source neurons."""
        return self.weight.shape[1]

    @property
    def target_size(self) -> int:
        """Number of target neurons."""
        return self.weight.shape[0]

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse (BadInput) a matrix of another shape."""
        needed = (prod(target), prod(source))
        if self.weight.shape != needed:
            raise BadInput(
                f"node '{self.name}': weight of shape {self.weight.shape}, "
                f"'{self.source}' → '{self.target}' needs {needed}"
            )

    def listed(self) -> SynapseList:
        """Row after row of the matrix."""
        require_listable(self.name, self.weight.size)
        columns = np.tile(np.arange(self.source_size, dtype=np.int32), self.target_size)
        rows = np.arange(self.target_size + 1, dtype=np.int64) * self.source_size
        return SynapseList(
            self.weight.reshape(-1), columns, rows.astype(np.int32), self.source_size
        )

    def sums(self, of: Callable[[IntArray], IntArray] | None = None) -> Sums:
        """A matrix product."""
        weight = self.weight if of is None else of(self.weight)
        return in_exact_type(weight.T, self.source_size, np.matmul)

    def synapse_count(self) -> int:
        """Elements of the matrix."""
        return self.weight.size

    def target_fans(self) -> Ints:
        """All sources, for every target."""
        return np.full(self.target_size, self.source_size, np.int64)

    def heard(self, targets: Ints) -> Heard:
        """All sources, each with a synapse onto every target."""
        rows = self.weight if len(targets) == self.target_size else self.weight[targets]
        effective = np.count_nonzero(rows, axis=0).astype(np.int64)
        every = np.full(self.source_size, len(targets), np.int64)
        return np.arange(self.source_size), effective, every

    @property
    def members(self) -> int:
        """All sources are one class."""
        return self.source_size

    def classes(self) -> Ints:
        """One class."""
        return np.zeros(self.source_size, np.int64)

    def spread(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints]:
        """Every part that holds a target."""
        held, _ = self.lists(targets, part, parts)[1:]
        return np.zeros(len(held), np.int64), held

    def lists(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints, Ints]:
        """Every part that holds a target, with how many it holds."""
        sizes = np.bincount(part, minlength=parts)
        held = np.flatnonzero(sizes)
        return np.zeros(len(held), np.int64), held, sizes[held]

    def stored(self, targets: Ints, part: Ints, parts: int, shared_kernels: bool) -> Stored:
        """A row of weights for every source, as long as the part has targets."""
        _, held, sizes = self.lists(targets, part, parts)
        return Stored(held, sizes, self.source_size, indexed=False)
