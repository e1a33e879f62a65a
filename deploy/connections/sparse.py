"""Listed synapses: those that are there, one by one.

A core stores what is listed, each synapse with its target's number. What is not listed is neither
stored nor performed; **a zero that is listed is both.**
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from deploy.arithmetic.registers import IntArray, Shape
from deploy.connections.connection import Connection
from deploy.connections.synapse_list import SynapseList, check_list


@dataclass(frozen=True, eq=False)
class Sparse(Connection):
    """Listed synapses, in compressed rows: those of target i are indptr[i] ≤ k < indptr[i + 1].

    weight: int32 [synapses]. indices: int32 [synapses], the source of each, ascending in a row.
    indptr: int32 [target size + 1].
    """

    kind = "sparse"
    name: str
    source: str
    target: str
    weight: IntArray
    indices: IntArray
    indptr: IntArray
    source_size: int
    exponent: int = 0
    delay: int = 0

    @property
    def target_size(self) -> int:
        """Number of target neurons."""
        return len(self.indptr) - 1

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse (BadInput) rows that are none, or that do not fit the two populations."""
        sizes = (prod(source), prod(target))
        check_list(self.listed(), self.name, (self.source, self.target), sizes)

    def listed(self) -> SynapseList:
        """The list that it is."""
        return SynapseList(self.weight, self.indices, self.indptr, self.source_size)


def expand(c: Connection) -> Sparse:
    """The same connection as a list of its synapses, zero weights included.

    Raises BadInput, before memory is taken, for more than MAX_EXPANDED of them.
    """
    of = c.listed()
    return Sparse(
        c.name, c.source, c.target, of.weight, of.indices, of.indptr, of.source_size,
        c.exponent, c.delay,
    )  # fmt: skip


def one_to_one(
    name: str, source: str, target: str, size: int, weight: int = 2, **more: int
) -> Sparse:
    """Neuron i to neuron i with one weight. more: exponent, delay."""
    rows = np.arange(size + 1, dtype=np.int32)
    weights = np.full(size, weight, np.int32)
    return Sparse(name, source, target, weights, rows[:-1], rows, size, **more)
