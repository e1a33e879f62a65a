"""A linear operator target by target: scales for each, sums over each one's weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.program.program import Input
from export.graph.graph import Path
from neuroclip.linear.maps import Convolution, Dense, Operator, apply

Float = NDArray[np.float64]


def largest_sum(path: Path, source: Input | None) -> Float:
    """The largest |Σ w·m| of each target over the messages that the source can send: [size]."""
    op = path.operator
    low, high = np.zeros(op.source_size), np.ones(op.source_size)
    if source is not None:
        low, high = (
            np.minimum(source.low.reshape(-1), 0.0),
            np.maximum(source.high.reshape(-1), 0.0),
        )
    positive = replace(op, weight=np.maximum(op.weight, 0))
    negative = replace(op, weight=np.minimum(op.weight, 0))
    most = apply(positive, high[None]) + apply(negative, low[None])
    least = apply(positive, low[None]) + apply(negative, high[None])
    return np.maximum(most, -least)[0]


def spread(op: Operator, values: NDArray[Any]) -> NDArray[Any]:
    """One value a target, against the weights of an operator; of a convolution, one a channel."""
    if isinstance(op, Dense):
        return values[:, None]
    if isinstance(op, Convolution):
        return values.reshape(op.weight.shape[0], -1)[:, :1, None, None]
    return np.repeat(values, np.diff(op.indptr))


def rows(op: Operator, of: Callable[[Float], Float], reduce: np.ufunc) -> Float:
    """`of` each weight, reduced over the synapses of each target: [size]."""
    values = of(op.weight)
    if isinstance(op, Dense):
        return np.asarray(reduce.reduce(values, axis=1, initial=0))
    if isinstance(op, Convolution):
        each = reduce.reduce(values, axis=(1, 2, 3), initial=0)
        return np.repeat(each, op.target_size // len(each))
    found = np.zeros(op.target_size)
    reduce.at(found, np.repeat(np.arange(op.target_size), np.diff(op.indptr)), values)
    return found
