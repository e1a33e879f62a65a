"""Layers between two populations as one map with a bias: y = W·x + b on flat arrays, in float64.

Pooling before or after a convolution, batch normalisation, a flattening, a choice of channels: each
is such a map, and one after the other they are one (`neuroclip.linear.compose`).
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.linear.compose import compose
from neuroclip.linear.maps import (
    Convolution,
    Dense,
    Float,
    Listed,
    Operator,
    apply,
    diagonal,
)

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Affine:
    """y = map(x) + bias from messages of shape `source` to sums of shape `target`.

    map: None where y = x. bias: float64 [target size] or None.
    """

    source: Shape
    target: Shape
    map: Operator | None = None
    bias: Float | None = None


def identity(shape: Shape) -> Affine:
    """y = x."""
    return Affine(shape, shape)


def followed(name: str, before: Affine, after: Affine) -> Affine:
    """after(before(x)). Raises BadInput naming the layer `name` where no one connection holds it."""
    if prod(before.target) != prod(after.source):
        raise BadInput(
            f"module '{name}': it reads the shape {before.target}, expected {after.source}"
        )
    bias = before.bias
    if after.map is None:
        return replace(before, target=after.target, bias=_sum(bias, after.bias))
    if bias is not None:
        bias = apply(after.map, bias)
    made = after.map if before.map is None else _composed(name, after.map, before.map)
    return Affine(before.source, after.target, made, _sum(bias, after.bias))


def matrix(name: str, weight: ArrayLike, bias: ArrayLike | None, source: Shape) -> Affine:
    """A matrix [out, in] on sources of the shape (in,)."""
    made = Dense(np.asarray(weight, np.float64))
    if source != (made.source_size,):
        raise BadInput(
            f"module '{name}': it reads the shape {source}, expected ({made.source_size},)"
        )
    return Affine(source, (made.target_size,), made, _each(bias, made.target_size))


def convolution(
    name: str,
    weight: ArrayLike,
    bias: ArrayLike | None,
    source: Shape,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Affine:
    """A convolution with weights [C_out, C_in / groups, k_y, k_x] and a bias [C_out]."""
    kernel = np.asarray(weight, np.float64)
    channels = kernel.shape[1] * groups
    if len(source) != 3 or source[0] != channels:
        raise BadInput(f"module '{name}': it reads the shape {source}, expected ({channels}, H, W)")
    made = Convolution(kernel, (source[1], source[2]), stride, padding, dilation, groups)
    if min(made.target_shape) < 1:
        raise BadInput(
            f"module '{name}': its kernel {kernel.shape[2:]} is larger than the padded {source} "
            "before it"
        )
    return Affine(source, made.target_shape, made, _each(bias, made.target_size))


def average(name: str, source: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Affine:
    """The mean of each window of each channel, zeros of the padding counted."""
    if len(source) != 3:
        raise BadInput(f"module '{name}': it reads the shape {source}, expected (C, H, W)")
    weight = np.full((source[0], 1, *kernel), 1 / prod(kernel))
    return convolution(name, weight, None, source, stride, padding, groups=source[0])


def channelwise(name: str, gain: ArrayLike, shift: ArrayLike | None, source: Shape) -> Affine:
    """gain·x + shift, each [channels] or one for all."""
    size = prod(source)
    factors = np.asarray(gain, np.float64).reshape(-1)
    if factors.size not in (1, source[0]):
        raise BadInput(f"module '{name}': {factors.size} features, {source[0]} come in")
    return Affine(source, source, diagonal(np.repeat(factors, size // factors.size)),
                  _each(shift, size))  # fmt: skip


def chosen(source: Shape, target: Shape, indices: NDArray[np.int64]) -> Affine:
    """y[i] = x[indices[i]], or 0 where the index is negative; both flat."""
    if np.array_equal(indices, np.arange(prod(source))):
        return Affine(source, target)
    kept = indices >= 0
    rows = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
    made = Listed(np.ones(rows[-1]), indices[kept].astype(np.int32), rows, prod(source))
    return Affine(source, target, made)


def pair(value: Any) -> Pair:
    """One number or two as (y, x)."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _composed(name: str, outer: Operator, inner: Operator) -> Operator:
    try:
        return compose(name, outer, inner)
    except BadInput as error:
        raise BadInput(str(error).replace("node '", "module '", 1)) from error


def _each(values: ArrayLike | None, size: int) -> Float | None:
    """A value for each neuron from one for each channel."""
    if values is None:
        return None
    flat = np.asarray(values, np.float64).reshape(-1)
    return np.repeat(flat, size // flat.size)


def _sum(a: Float | None, b: Float | None) -> Float | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
