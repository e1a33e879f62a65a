"""Linear maps in float64 between populations: dense, convolution or listed.

Sources and targets are flat, in C order of their shapes.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Pair, Sparse, expand
from deploy.connections import Dense as DenseConnection
from deploy.connections.conv2d import taps

Float = NDArray[np.float64]

# Weights that one operator holds at most: half a GiB.
MAX_WEIGHTS = 1 << 26


@dataclass(frozen=True, eq=False)
class Dense:
    """y = weight · x. weight: float64 [target size, source size]."""

    weight: Float

    @property
    def source_size(self) -> int:
        """Number of sources."""
        return self.weight.shape[1]

    @property
    def target_size(self) -> int:
        """Number of targets."""
        return self.weight.shape[0]


@dataclass(frozen=True, eq=False)
class Listed:
    """Synapses in compressed rows, as `deploy.connections`' Sparse holds them, with float64 weights."""

    weight: Float
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    source_size: int

    @property
    def target_size(self) -> int:
        """Number of targets."""
        return len(self.indptr) - 1


@dataclass(frozen=True, eq=False)
class Convolution:
    """The convolution of `deploy.connections.Conv2d` with float64 weights.

    weight: [C_out, C_in / groups, k_y, k_x]. size: (H, W) of the source. Pairs are (y, x).
    """

    weight: Float
    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """(C_out, H', W')."""
        return geometry(self).target_shape

    @property
    def source_size(self) -> int:
        """Number of sources."""
        return geometry(self).source_size

    @property
    def target_size(self) -> int:
        """Number of targets."""
        return geometry(self).target_size


Operator = Dense | Listed | Convolution


def geometry(op: Convolution) -> Conv2d:
    """The convolution without its weights, for its shapes and taps."""
    weight = np.broadcast_to(np.int32(0), op.weight.shape)
    return Conv2d("", "", "", weight, op.size, op.stride, op.padding, op.dilation, op.groups)


def to_connection(
    op: Operator,
    weight: NDArray[np.int32],
    name: str,
    source: str,
    target: str,
    delay: int = 0,
) -> Connection:
    """The connection of an operator with integer weights of its weights' shape."""
    ends = (name, source, target, weight)
    if isinstance(op, Dense):
        return DenseConnection(*ends, delay=delay)
    if isinstance(op, Listed):
        return Sparse(*ends, op.indices, op.indptr, op.source_size, delay=delay)
    return Conv2d(*ends, op.size, op.stride, op.padding, op.dilation, op.groups, delay=delay)


def diagonal(values: Float) -> Listed:
    """One synapse from each source to the target of the same number."""
    rows = np.arange(values.size + 1, dtype=np.int32)
    return Listed(np.array(values, np.float64).reshape(-1), rows[:-1], rows, values.size)


def is_diagonal(op: Operator) -> bool:
    """True where each target has one synapse, from the source of the same number."""
    return (
        isinstance(op, Listed)
        and len(op.weight) == op.source_size == op.target_size
        and bool((op.indices == np.arange(len(op.weight))).all())
        and bool((op.indptr == np.arange(len(op.weight) + 1)).all())
    )


def apply(op: Operator, x: Float) -> Float:
    """y = op(x) for x [..., source size]."""
    if isinstance(op, Dense):
        return x @ op.weight.T
    flat = np.ascontiguousarray(x, np.float64).reshape(-1, op.source_size)
    if isinstance(op, Listed):
        # reduceat needs an element after the last row, and gives empty rows their neighbour's.
        products = np.zeros((len(flat), len(op.weight) + 1))
        np.multiply(flat[:, op.indices], op.weight, out=products[:, :-1])
        y = np.add.reduceat(products, op.indptr[:-1], axis=1)
        y[:, op.indptr[:-1] == op.indptr[1:]] = 0
    else:
        made = geometry(op)
        source = flat.reshape(len(flat), op.groups, -1, *op.size)
        weight = op.weight.reshape(op.groups, -1, *op.weight.shape[1:])
        sums = np.zeros((len(flat), op.groups, weight.shape[1], *made.target_shape[1:]))
        for ky, kx, ys, xs, from_ys, from_xs in taps(made):
            seen = source[..., from_ys, from_xs]
            added = weight[..., ky, kx] @ seen.reshape(*seen.shape[:3], -1)
            sums[..., ys, xs] += added.reshape(*added.shape[:3], *seen.shape[3:])
        y = sums.reshape(len(flat), -1)
    return y.reshape(*x.shape[:-1], -1)


def listed(op: Operator) -> Listed:
    """The same operator as a list of its synapses. Raises BadInput for too many of them."""
    if isinstance(op, Listed):
        return op
    if isinstance(op, Dense):
        whole = DenseConnection("", "", "", np.broadcast_to(np.int32(0), op.weight.shape))
        s = expand(whole)
        return Listed(op.weight.reshape(-1), s.indices, s.indptr, s.source_size)
    # The position of each synapse's weight in the kernel, listed in the place of the weight.
    places = np.arange(op.weight.size, dtype=np.int32).reshape(op.weight.shape)
    s = expand(replace(geometry(op), weight=places))
    return Listed(op.weight.reshape(-1)[s.weight], s.indices, s.indptr, s.source_size)


def scaled(op: Operator, gain: Float) -> Operator | None:
    """The operator with its targets multiplied by `gain` [target size].

    None for a convolution whose gain differs within a channel.
    """
    if isinstance(op, Dense):
        return Dense(op.weight * gain[:, None])
    if isinstance(op, Listed):
        return replace(op, weight=op.weight * np.repeat(gain, np.diff(op.indptr)))
    each = gain.reshape(op.weight.shape[0], -1)
    if (each != each[:, :1]).any():
        return None
    return replace(op, weight=op.weight * each[:, 0].reshape(-1, 1, 1, 1))


def rows_of(op: Listed) -> NDArray[np.int64]:
    return np.repeat(np.arange(op.target_size), np.diff(op.indptr))


def gathered(
    rows: NDArray[np.int64],
    columns: NDArray[np.int32],
    weight: Float,
    targets: int,
    sources: int,
) -> Listed:
    """Synapses in any order, those of the same ends summed."""
    ends, where = np.unique(rows.astype(np.int64) * sources + columns, return_inverse=True)
    summed = np.bincount(where.reshape(-1), weights=weight, minlength=len(ends)).astype(np.float64)
    counts = np.bincount(ends // sources, minlength=targets)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Listed(summed, (ends % sources).astype(np.int32), indptr, sources)
