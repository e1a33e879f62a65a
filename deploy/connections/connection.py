"""`Connection`: what every kind of synapses is asked, and the answers that follow from its list of them.

A kind of one's own is a frozen dataclass that derives from `Connection`, with the fields that it
names here and its own. It says how many neurons its ends have and lists its synapses; everything
else has an answer below, which a kind replaces where it knows a shorter way:

    @deploy.connections.register
    @dataclass(frozen=True, eq=False)
    class Ring(Connection): ...            # see examples/own_connection.py

Sources and targets are flat, in C order of their shapes. Every answer is exact.

A part is what holds targets together: a core, or a cluster of neurons. Sources that reach the same
targets form a class, so that nothing is counted synapse by synapse where many are alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import Field, dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.arithmetic.registers import WEIGHT_MAX, WEIGHT_MIN, IntArray, Shape, check_range
from deploy.connections.exact_sums import Sums
from deploy.connections.synapse_list import (
    SynapseList,
    check_list,
    list_heard,
    list_keys,
    list_spread,
    list_sums,
)
from deploy.errors import BadInput

# How the targets share their sources, and so how a chip stores the synapses: every target hears
# every source; windows of an image share a kernel; or each synapse is listed for itself.
Pattern = Literal["all", "image", "listed"]
# (sources with a synapse, ascending; their synapses of non-zero weight; all their synapses).
Heard = tuple[Ints, Ints, Ints]


@dataclass(frozen=True, eq=False)
class Stored:
    """The lists of synapses that cores store: `times` lists of `size[i]` synapses on core `part[i]`.

    indexed: whether each synapse says which target it is for. Every synapse that is stored takes
    memory and is performed by each message that its list gets, also where its weight is zero.
    """

    part: Ints
    size: Ints
    times: int
    indexed: bool


class Connection(ABC):
    """Integer weights from one source to one target population. Every kind computes

        a[target] += (Σ weight[target, source]·message[source]) << exponent    for messages of t − delay

    with weights even, in [−254, 254]; an exponent of −7..7, a negative one shifting the sum right
    (floor); and a delay of 0..62 steps, the first of which a chip's connection takes by itself.

    kind: the name of the kind in files. pattern: how its targets share their sources. weight: int32,
    the weights that it holds, in a shape of its own. source_size, target_size: numbers of neurons.
    """

    kind: ClassVar[str]
    pattern: ClassVar[Pattern] = "listed"
    name: str
    source: str
    target: str
    exponent: int
    delay: int
    if TYPE_CHECKING:  # a kind has these as fields or as properties, as it likes
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

        @property
        def weight(self) -> IntArray: ...
        @property
        def source_size(self) -> int: ...
        @property
        def target_size(self) -> int: ...

    @property
    def synaptic_delay(self) -> int:
        """Steps that a chip's synapses have to delay: those beyond the one that each connection takes."""
        return max(0, self.delay - 1)

    @abstractmethod
    def listed(self) -> SynapseList:
        """Every synapse, those of weight zero included, in compressed rows.

        Raises BadInput, before memory is taken, for more than MAX_EXPANDED of them.
        """

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse (BadInput) what is no connection of this kind between populations of these shapes.

        Ranges of `weight`, exponent and delay are checked for every kind, apart from this.
        """
        ends, sizes = (self.source, self.target), (prod(source), prod(target))
        check_list(self._list, self.name, ends, sizes)
        check_weights(self.name, "weight of a synapse", self._list.weight)

    def describe(self) -> str:
        """The kind and what makes it, in a few words."""
        return f"{self.kind} {self.target_size} × {self.source_size}"

    def sums(self, of: Callable[[IntArray], IntArray] | None = None) -> Sums:
        """The function messages int64 [samples, source size] → Σ weight·message [samples, target size].

        The weight exponent is not applied. of: what is taken for the weights, each for itself. The
        function holds what it needs of the weights in the type in which it computes, so that it is
        made once and called every step.
        """
        return list_sums(self._list, self._list.weight if of is None else of(self._list.weight))

    def sum_bounds(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """The smallest and largest Σ weight·message of each target for low ≤ message ≤ high.

        low, high: int64 [source size]. Padding sends nothing, whatever `low` is.
        """
        positive, negative = self.sums(_positive), self.sums(_negative)
        low, high = low[None], high[None]
        return (positive(low) + negative(high))[0], (positive(high) + negative(low))[0]

    def largest_sums(self, largest: Ints) -> Ints:
        """The bound Σ |weight|·largest on every partial sum of each target: int64 [target size].

        largest: the largest magnitude of a message of each source, int64 [source size].
        """
        return self.sums(np.abs)(largest[None])[0]

    def synapse_count(self) -> int:
        """All synapses, those of weight zero included, counted wherever they are used."""
        return len(self._list.weight)

    def fan_in(self) -> int:
        """The most synapses that one target can have."""
        return int(self.target_fans().max(initial=0))

    def target_fans(self) -> Ints:
        """Synapses of each target: int64 [target size]."""
        return np.diff(self._list.indptr).astype(np.int64)

    def fan_out(self, *, zeros: bool = True) -> Ints:
        """Synapses of each source, with or without those of weight zero: int64 [source size]."""
        sources, effective, every = self.heard(np.arange(self.target_size))
        found = np.zeros(self.source_size, np.int64)
        found[sources] = every if zeros else effective
        return found

    def heard(self, targets: Ints) -> Heard:
        """The sources that reach these targets, and their synapses onto them. targets: each once."""
        return list_heard(self._list, targets)

    @property
    def members(self) -> int:
        """Sources of each class."""
        return 1

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return self.source_size // self.members

    def classes(self) -> Ints:
        """The class of each source: int64 [source size]."""
        return np.arange(self.source_size)

    def spread(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints]:
        """The distinct (class, part) for which a source of the class has a synapse onto the part.

        targets: int64 [n], each once. part: int64 [n] in 0..parts − 1, of each of these targets.
        Returns two int64 [pairs], ascending by class, then part.
        """
        found = np.divmod(list_spread(self._list, targets, part, parts), parts)
        return found[0], found[1]

    def lists(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints, Ints]:
        """As `spread`, with the number of synapses that a source of the class has onto the part."""
        return counted(list_keys(self._list, targets, part, parts), parts)

    def stored(self, targets: Ints, part: Ints, parts: int, shared_kernels: bool) -> Stored:
        """The lists that parts store of these targets (as in `spread`), each source's for itself.

        shared_kernels: whether a chip can keep weights once that several targets use.
        """
        _, part, size = self.lists(targets, part, parts)
        return Stored(part, size, self.members, indexed=True)

    @cached_property
    def _list(self) -> SynapseList:
        """The list behind the answers above; kinds that replace them all never make it."""
        return self.listed()


def check_weights(name: str, field: str, weight: IntArray) -> None:
    """Refuse (BadInput) weights that are no even numbers of 8 bits and a sign."""
    check_range(name, field, weight, WEIGHT_MIN, WEIGHT_MAX)
    odd = np.argwhere(weight & 1)
    if odd.size:
        index = tuple(int(i) for i in odd[0])
        raise BadInput(
            f"node '{name}': {field} {int(weight[index])} at index {list(index)} is odd; "
            "mixed-sign weights of 8 bits are even"
        )


def counted(keys: Ints, parts: int) -> tuple[Ints, Ints, Ints]:
    """(class, part, how often) of the distinct keys class · parts + part, ascending."""
    found, times = np.unique(keys, return_counts=True)
    return found // parts, found % parts, times


def _positive(weight: IntArray) -> IntArray:
    return np.maximum(weight, 0)


def _negative(weight: IntArray) -> IntArray:
    return np.minimum(weight, 0)
