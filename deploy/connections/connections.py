"""Connections of a `Program`: integer weights from one source to one target population.

Every kind has a name, source, target, weight, exponent and delay, and computes

    a[target] += (Σ weight[target, source]·message[source]) << exponent     for messages of t − delay

with weights even, in [−254, 254]; an exponent of −7..7, a negative one shifting the sum right
(floor); and a delay of 0..62 steps. What is done with them is in `deploy.connections.synapses`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from deploy.arithmetic.registers import (
    DELAY_MAX,
    WEIGHT_EXP_MAX,
    WEIGHT_EXP_MIN,
    WEIGHT_MAX,
    WEIGHT_MIN,
    IntArray,
    Shape,
    check_range,
    is_integer,
)
from deploy.errors import BadInput

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Dense:
    """All-to-all synapses. weight: int32 [target size, source size]; zeros are synapses too."""

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


@dataclass(frozen=True, eq=False)
class Sparse:
    """Listed synapses, in compressed rows: those of target i are indptr[i] ≤ k < indptr[i + 1].

    weight: int32 [synapses]. indices: int32 [synapses], the source of each, ascending in a row.
    indptr: int32 [target size + 1].
    """

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


@dataclass(frozen=True, eq=False)
class Conv2d:
    """A convolution as torch.nn.functional.conv2d computes it (cross-correlation, zero padding).

    weight: int32 [C_out, C_in / groups, k_y, k_x], shared by all positions. size: (H, W) of the
    source, whose shape is (C_in, H, W), or another of as many neurons that is none of three
    dimensions: neurons are numbered in C order. stride, padding, dilation: (y, x). The target's shape is
    (C_out, H', W') with H' = (H + 2·padding − dilation·(k_y − 1) − 1) // stride + 1.
    """

    name: str
    source: str
    target: str
    weight: IntArray
    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    exponent: int = 0
    delay: int = 0

    @property
    def source_shape(self) -> tuple[int, int, int]:
        """(C_in, H, W)."""
        return self.weight.shape[1] * self.groups, *self.size

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """(C_out, H', W')."""
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                self.size,
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.stride,
                strict=True,
            )
        )
        return self.weight.shape[0], height, width

    @property
    def source_size(self) -> int:
        """Number of source neurons."""
        return prod(self.source_shape)

    @property
    def target_size(self) -> int:
        """Number of target neurons."""
        return prod(self.target_shape)


Connection = Dense | Sparse | Conv2d
KINDS: dict[str, type[Connection]] = {"dense": Dense, "sparse": Sparse, "conv2d": Conv2d}


def kind(c: Connection) -> str:
    """The name of a connection's kind: "dense", "sparse" or "conv2d"."""
    return next(name for name, of in KINDS.items() if isinstance(c, of))


def one_to_one(
    name: str, source: str, target: str, size: int, weight: int = 2, **more: int
) -> Sparse:
    """Neuron i to neuron i with one weight. more: exponent, delay."""
    rows = np.arange(size + 1, dtype=np.int32)
    weights = np.full(size, weight, np.int32)
    return Sparse(name, source, target, weights, rows[:-1], rows, size, **more)


def sum_pool(
    name: str,
    source: str,
    target: str,
    shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = (0, 0),
    weight: int = 2,
    **more: int,
) -> Conv2d:
    """The sum over windows of each channel, times `weight`, as a convolution with a group a channel.

    shape: (C, H, W) of the source. stride: `kernel` where none is given. more: exponent, delay.
    Average pooling is the same: scale the target's threshold and biases by window · weight instead
    of dividing the sum, which would round it.
    """
    weights = np.full((shape[0], 1, *kernel), weight, np.int32)
    return Conv2d(
        name, source, target, weights, shape[1:], stride or kernel, padding, (1, 1), shape[0], **more
    )  # fmt: skip


def check_connection(c: Connection, source: Shape, target: Shape) -> None:
    """Refuse a connection that no chip holds or that does not fit its ends' shapes (BadInput)."""
    for field in ("weight", "indices", "indptr"):
        array = getattr(c, field, None)
        if array is not None and array.dtype != np.int32:
            raise BadInput(f"node '{c.name}': {field} has type {array.dtype}, expected int32")
    if isinstance(c, Dense):
        _check_dense(c, prod(source), prod(target))
    elif isinstance(c, Sparse):
        _check_sparse(c, prod(source), prod(target))
    else:
        _check_conv2d(c, source, target)
    check_range(c.name, "weight", c.weight, WEIGHT_MIN, WEIGHT_MAX)
    odd = np.argwhere(c.weight & 1)
    if odd.size:
        index = tuple(int(i) for i in odd[0])
        raise BadInput(
            f"node '{c.name}': weight {int(c.weight[index])} at index {list(index)} is odd; "
            "mixed-sign weights of 8 bits are even"
        )
    if not (is_integer(c.exponent) and WEIGHT_EXP_MIN <= c.exponent <= WEIGHT_EXP_MAX):
        raise BadInput(f"node '{c.name}': weight exponent {c.exponent} is outside -7..7")
    if not (is_integer(c.delay) and 0 <= c.delay <= DELAY_MAX):
        raise BadInput(f"node '{c.name}': delay {c.delay} is outside 0..{DELAY_MAX}")


def _check_dense(c: Dense, sources: int, targets: int) -> None:
    if c.weight.shape != (targets, sources):
        raise BadInput(
            f"node '{c.name}': weight of shape {c.weight.shape}, '{c.source}' → '{c.target}' needs "
            f"{(targets, sources)}"
        )


def _check_sparse(c: Sparse, sources: int, targets: int) -> None:
    def refuse(what: str) -> None:
        raise BadInput(f"node '{c.name}': {what}")

    if not is_integer(c.source_size) or c.source_size != sources:
        refuse(f"source size {c.source_size}, '{c.source}' has {sources} neurons")
    if c.indptr.shape != (targets + 1,):
        refuse(
            f"indptr of shape {c.indptr.shape}, {targets} neurons of '{c.target}' need {(targets + 1,)}"
        )
    if c.weight.ndim != 1 or c.indices.shape != c.weight.shape:
        refuse(f"indices of shape {c.indices.shape} beside weights of shape {c.weight.shape}")
    falling = np.flatnonzero(np.diff(c.indptr) < 0)
    if c.indptr[0] != 0 or c.indptr[-1] != len(c.weight) or falling.size:
        refuse(f"indptr does not rise from 0 to the {len(c.weight)} synapses")
    check_range(c.name, "indices", c.indices, 0, sources - 1)
    # Where a new row starts, its first source may be any.
    rises = np.diff(c.indices) > 0
    starts = c.indptr[1:-1]
    rises[starts[(starts > 0) & (starts < len(c.weight))] - 1] = True
    if not rises.all():
        k = int(np.argmin(rises)) + 1
        row = int(np.searchsorted(c.indptr, k, side="right")) - 1
        refuse(
            f"indices {int(c.indices[k])} at index [{k}] does not rise within row {row}: "
            "sources are in ascending order, each once"
        )


def _check_conv2d(c: Conv2d, source: Shape, target: Shape) -> None:
    def refuse(what: str) -> None:
        raise BadInput(f"node '{c.name}': {what}")

    if c.weight.ndim != 4 or 0 in c.weight.shape:
        refuse(f"weight of shape {c.weight.shape}, expected [C_out, C_in / groups, k_y, k_x]")
    for field, least in (("size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
        values: Sequence[int] = getattr(c, field)
        if not isinstance(values, tuple) or len(values) != 2:
            refuse(f"{field} is {values!r}, expected a pair (y, x)")
        if any(not is_integer(n) or not least <= n < 2**31 for n in values):
            refuse(f"{field} {values} is not a pair of integers from {least}")
    if not is_integer(c.groups) or c.groups < 1 or c.weight.shape[0] % c.groups:
        refuse(f"groups {c.groups} do not divide the {c.weight.shape[0]} output channels")
    if not _fits(c.source_shape, source):
        refuse(f"it reads the shape {c.source_shape}, '{c.source}' has {source}")
    if min(c.target_shape) < 1:
        refuse(f"its kernel is larger than the padded source: output shape {c.target_shape}")
    if not _fits(c.target_shape, target):
        refuse(f"it makes the shape {c.target_shape}, '{c.target}' has {target}")


def _fits(image: Shape, shape: Shape) -> bool:
    """Whether neurons of a shape are those of an image, as they are or numbered in C order."""
    return image == shape if len(shape) == 3 else prod(image) == prod(shape)
