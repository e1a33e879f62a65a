"""Convolution and pooling layers of lava-dl's `.net` files as connections."""

from math import prod

import numpy as np

from deploy.arithmetic.registers import MAX_NEURONS
from deploy.connections import Conv2d, Pair, Sparse, expand
from deploy.program.program import Shape
from export.net_format.file import Ints, NetLayer


def image_synapses(layer: NetLayer, source: str, before: Shape, shape: Shape) -> Conv2d | Sparse:
    """The synapses of a `conv` or `pool` layer of `shape` over a source of shape `before`.

    Weights are as stored, in torch's order [C_out, C_in / groups, y, x], and not yet checked.
    Pooling is a convolution with a group for each channel.
    Raises BadInput naming the layer where its fields and shapes do not agree.
    """
    if len(before) != 3:
        raise layer.refuse(f"it needs images, '{source}' before it has shape {before}")
    pooled = layer.kind == "pool"
    weight = _pool_weight(layer, before[0]) if pooled else _kernel(layer)
    groups = before[0] if pooled else _groups(layer, weight)
    size = (before[1], before[2])
    if pooled:
        # lava-dl pads the far end of an image that its kernel does not divide, by the remainder.
        size = size[0] + size[0] % weight.shape[2], size[1] + size[1] % weight.shape[3]
    c = Conv2d(
        f"{layer.name}_weight",
        source,
        layer.name,
        weight.astype(np.int32),
        size,
        _pair(layer, "stride", 1),
        _pair(layer, "padding", 0),
        _pair(layer, "dilation", 1),
        groups,
    )
    if c.source_shape[0] != before[0]:
        raise layer.refuse(
            f"weight of shape {weight.shape} in {groups} groups, '{source}' has shape {before}"
        )
    if c.target_shape != shape:
        raise layer.refuse(f"its shape is {shape}, its kernel over {before} makes {c.target_shape}")
    return c if size == before[1:] else _cropped(c, before)


def _kernel(layer: NetLayer) -> Ints:
    weight = layer.ints("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]  # the time axis of lava-dl's kernels
    if weight.ndim != 4 or not weight.size:
        raise layer.refuse(f"weight of shape {weight.shape}, expected [C_out, C_in / groups, y, x]")
    return weight


def _pool_weight(layer: NetLayer, channels: int) -> Ints:
    kernel, weight = _pair(layer, "kernelSize", 1), layer.ints("weight")
    if weight.size != prod(kernel):
        raise layer.refuse(f"weight of shape {weight.shape}, its kernel is {kernel}")
    return np.broadcast_to(weight.reshape(1, 1, *kernel), (channels, 1, *kernel))


def _groups(layer: NetLayer, weight: Ints) -> int:
    groups = layer.ints("groups") if "groups" in layer.values else np.ones(1, np.int64)
    if groups.size != 1 or groups.flat[0] < 1 or weight.shape[0] % groups.flat[0]:
        raise layer.refuse(f"groups {groups.tolist()} do not divide {weight.shape[0]} channels")
    return int(groups.flat[0])


def _pair(layer: NetLayer, field: str, least: int) -> Pair:
    values = layer.ints(field).reshape(-1)
    if values.size not in (1, 2) or (values < least).any() or (values > MAX_NEURONS).any():
        raise layer.refuse(
            f"{field} is {values.tolist()}, expected one or two integers from {least}"
        )
    return int(values[0]), int(values[-1])


def _cropped(c: Conv2d, before: Shape) -> Sparse:
    """The synapses of a convolution over a padded image that start in the image `before`."""
    listed = expand(c)
    rows = np.repeat(np.arange(listed.target_size), np.diff(listed.indptr))
    channel, y, x = np.unravel_index(listed.indices, c.source_shape)
    inside = (y < before[1]) & (x < before[2])
    counts = np.bincount(rows[inside], minlength=listed.target_size)
    indices = np.ravel_multi_index((channel[inside], y[inside], x[inside]), before)
    return Sparse(
        c.name, c.source, c.target, listed.weight[inside], indices.astype(np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), prod(before),
    )  # fmt: skip
