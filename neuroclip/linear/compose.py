"""The product of two linear maps as one: a convolution where it is one, else a matrix or a list.

Where the padding between two convolutions, or rows that the first one leaves out, make the product no
convolution, it is a list of synapses.
"""

from dataclasses import replace
from math import gcd, prod

import numpy as np

from deploy.connections.conv2d import taps
from deploy.connections.synapse_list import MAX_EXPANDED
from deploy.errors import BadInput
from neuroclip.linear.maps import (
    MAX_WEIGHTS,
    Convolution,
    Dense,
    Float,
    Listed,
    Operator,
    apply,
    gathered,
    geometry,
    is_diagonal,
    listed,
    rows_of,
    scaled,
)


def compose(name: str, outer: Operator, inner: Operator) -> Operator:
    """outer(inner(x)). Raises BadInput naming the node where the product is too large to hold."""
    if outer.source_size != inner.target_size:
        raise BadInput(
            f"node '{name}': it reads {outer.source_size} values, {inner.target_size} come before it"
        )
    if is_diagonal(outer):
        found = scaled(inner, outer.weight)
        if found is not None:
            return found
    if isinstance(outer, Dense) or isinstance(inner, Dense):
        size = outer.target_size * inner.source_size
        if size > MAX_WEIGHTS:
            raise BadInput(
                f"node '{name}': {size} weights with what is before it exceed the {MAX_WEIGHTS} "
                "that one connection holds"
            )
    if isinstance(outer, Dense):
        return Dense(_transposed(inner, outer.weight))
    if isinstance(inner, Dense):
        return Dense(apply(outer, inner.weight.T).T)
    if isinstance(outer, Convolution):
        if is_diagonal(inner):
            found = _scaled_channels(outer, inner.weight)
        elif isinstance(inner, Convolution):
            found = _convolved(outer, inner)
        else:
            found = None
        if found is not None:
            return found
    try:
        return _joined(name, listed(outer), listed(inner))
    except BadInput as error:
        raise BadInput(str(error).replace("node ''", f"node '{name}'")) from error


def _joined(name: str, outer: Listed, inner: Listed) -> Listed:
    """The product of two lists: every synapse of the outer with each of its source's."""
    lengths = np.diff(inner.indptr)[outer.indices].astype(np.int64)
    total = int(lengths.sum())
    if total > MAX_EXPANDED // 8:
        raise BadInput(
            f"node '{name}': {total} synapses with what is before it exceed the "
            f"{MAX_EXPANDED // 8} that can be listed"
        )
    first = np.repeat(np.arange(len(outer.weight)), lengths)
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    second = inner.indptr[outer.indices[first]] + within
    return gathered(
        rows_of(outer)[first],
        inner.indices[second],
        outer.weight[first] * inner.weight[second],
        outer.target_size,
        inner.source_size,
    )


def _transposed(op: Operator, rows: Float) -> Float:
    """rows · op, for rows [n, target size]: [n, source size]."""
    if isinstance(op, Dense):
        return rows @ op.weight
    if isinstance(op, Listed):
        if is_diagonal(op):
            return rows * op.weight
        order = np.argsort(op.indices, kind="stable")
        counts = np.bincount(op.indices, minlength=op.source_size)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        turned = Listed(
            op.weight[order], rows_of(op)[order].astype(np.int32), indptr, op.target_size
        )
        return apply(turned, rows)
    made = geometry(op)
    weight = op.weight.reshape(op.groups, -1, *op.weight.shape[1:])
    above = rows.reshape(len(rows), op.groups, weight.shape[1], *made.target_shape[1:])
    below = np.zeros((len(rows), op.groups, weight.shape[2], *op.size))
    for ky, kx, ys, xs, from_ys, from_xs in taps(made):
        seen = above[..., ys, xs]
        added = weight[..., ky, kx].swapaxes(1, 2) @ seen.reshape(*seen.shape[:3], -1)
        below[..., from_ys, from_xs] += added.reshape(*added.shape[:3], *seen.shape[3:])
    return below.reshape(len(rows), -1)


def _scaled_channels(op: Convolution, factors: Float) -> Convolution | None:
    """The convolution of x · factors, where these are one for each channel."""
    each = factors.reshape(op.weight.shape[1] * op.groups, -1)
    if (each != each[:, :1]).any():
        return None
    channels = each[:, 0].reshape(op.groups, 1, -1, 1, 1)
    weight = op.weight.reshape(op.groups, -1, *op.weight.shape[1:]) * channels
    return replace(op, weight=weight.reshape(op.weight.shape))


def _convolved(outer: Convolution, inner: Convolution) -> Convolution | None:
    """Two convolutions as one, or None where they are none."""
    if not all(_seamless(outer, inner, axis) for axis in (0, 1)):
        return None
    each = []  # of an axis: the step between taps of the product, and its taps [outer, inner]
    for axis in (0, 1):
        k2, k1 = outer.weight.shape[2 + axis], inner.weight.shape[2 + axis]
        far = inner.stride[axis] * outer.dilation[axis] if k2 > 1 else 0
        near = inner.dilation[axis] if k1 > 1 else 0
        step = gcd(far, near) or 1
        each.append((step, np.arange(k2)[:, None] * (far // step) + np.arange(k1) * (near // step)))
    kernel = tuple(int(places.max()) + 1 for _, places in each)
    channels = inner.weight.shape[1] * inner.groups
    between = inner.weight.shape[0]
    if inner.groups == between == channels:  # as pooling before a convolution is
        groups, inputs = outer.groups, outer.weight.shape[1]
        product = "goiyx,gizw->goiyxzw"
        a = outer.weight.reshape(groups, -1, *outer.weight.shape[1:])
        b = inner.weight.reshape(groups, inputs, *inner.weight.shape[2:])
    elif outer.groups == outer.weight.shape[0] == between:  # as pooling after a convolution is
        groups, inputs = inner.groups, inner.weight.shape[1]
        product = "goyx,goizw->goiyxzw"
        a = outer.weight.reshape(groups, -1, *outer.weight.shape[2:])
        b = inner.weight.reshape(groups, -1, *inner.weight.shape[1:])
    elif outer.groups == inner.groups == 1:
        groups, inputs, product = 1, channels, "gomyx,gmizw->goiyxzw"
        a, b = outer.weight[None], inner.weight[None]
    else:
        return None
    if outer.weight.shape[0] * inputs * prod(kernel) > MAX_WEIGHTS:
        return None
    products = np.einsum(product, a, b)
    weight = np.zeros((outer.weight.shape[0], inputs, *kernel))
    products = products.reshape(*weight.shape[:2], *outer.weight.shape[2:], *inner.weight.shape[2:])
    (step_y, ys), (step_x, xs) = each
    for y2, x2, y1, x1 in np.ndindex(products.shape[2:]):
        weight[:, :, ys[y2, y1], xs[x2, x1]] += products[:, :, y2, x2, y1, x1]
    return Convolution(
        weight,
        inner.size,
        (outer.stride[0] * inner.stride[0], outer.stride[1] * inner.stride[1]),
        (
            inner.padding[0] + inner.stride[0] * outer.padding[0],
            inner.padding[1] + inner.stride[1] * outer.padding[1],
        ),
        (step_y, step_x),
        groups,
    )


def _seamless(outer: Convolution, inner: Convolution, axis: int) -> bool:
    """True where what the outer reads beyond the inner's edge is zero for the product as well, and
    where the product has as many positions."""
    size, between = inner.size[axis], geometry(inner).target_shape[1 + axis]
    positions = geometry(outer).target_shape[1 + axis]
    k2, k1 = outer.weight.shape[2 + axis], inner.weight.shape[2 + axis]
    if positions * k2 * k1 > MAX_WEIGHTS:
        return False
    starts = np.arange(positions) * outer.stride[axis] - outer.padding[axis]
    read = np.unique(starts[:, None] + np.arange(k2) * outer.dilation[axis])
    beyond = read[(read < 0) | (read >= between)]
    first = beyond[:, None] * inner.stride[axis] - inner.padding[axis]
    sources = first + np.arange(k1) * inner.dilation[axis]
    if ((sources >= 0) & (sources < size)).any():
        return False
    padding = inner.padding[axis] + inner.stride[axis] * outer.padding[axis]
    reach = inner.stride[axis] * outer.dilation[axis] * (k2 - 1) + inner.dilation[axis] * (k1 - 1)
    stride = inner.stride[axis] * outer.stride[axis]
    return (size + 2 * padding - reach - 1) // stride + 1 == positions
