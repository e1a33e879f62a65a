"""What connections compute and hold, kind by kind; the rest of the package asks only this module.

Sources and targets are flat, in C order of their shapes. Every function is exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deploy.connections.connections import Connection, Conv2d, Dense, Sparse
from deploy.errors import BadInput

Int64 = NDArray[np.int64]
Sums = Callable[[Int64], Int64]

# Every integer up to here is a float64, so a float64 matrix product of integers whose partial sums
# stay below it is exact, and runs on BLAS.
_FLOAT64_EXACT = 2**53
# Elements of a temporary array; samples are taken in blocks that stay below it.
_BLOCK = 1 << 22
# Synapses that `expand` lists at most: 12 bytes each.
MAX_EXPANDED = 1 << 28


def synaptic_sums(c: Connection) -> Sums:
    """The function messages int64 [samples, source size] → Σ weight·message [samples, target size].

    The weight exponent is not applied. The function holds what it needs of the weights in the type
    in which it computes, so that it is made once and called every step.
    """
    if isinstance(c, Dense):
        return _in_exact_type(c, c.weight.T, np.matmul)
    if isinstance(c, Sparse):
        return _in_blocks(lambda m: _sparse_sums(c, m), len(c.weight) + c.source_size)
    largest = max(c.source_size, c.target_size)
    # [k_y, k_x, groups, C_out / groups, C_in / groups], each tap's matrix in one piece for BLAS.
    taps = c.weight.reshape(c.groups, -1, *c.weight.shape[1:]).transpose(3, 4, 0, 1, 2)
    return _in_blocks(_in_exact_type(c, taps, lambda m, w: _conv2d_sums(c, m, w)), largest)


def sum_bounds(c: Connection, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """The smallest and largest Σ weight·message of each target for low ≤ message ≤ high.

    low, high: int64 [source size]. Padding sends nothing, whatever `low` is.
    """
    positive = synaptic_sums(replace(c, weight=np.maximum(c.weight, 0)))
    negative = synaptic_sums(replace(c, weight=np.minimum(c.weight, 0)))
    low, high = low[None], high[None]
    return (positive(low) + negative(high))[0], (positive(high) + negative(low))[0]


def fan_out(c: Connection, start: int = 0, stop: int | None = None, *, zeros: bool = True) -> Int64:
    """Synapses of each source onto the targets start ≤ i < stop: int64 [source size].

    zeros: count those of weight zero too. A dense connection has one for every pair, a sparse one
    those it lists, a convolution those of its kernel that do not fall on the padding.
    """
    stop = c.target_size if stop is None else stop
    if isinstance(c, Dense):
        if zeros:
            return np.full(c.source_size, stop - start, np.int64)
        return np.count_nonzero(c.weight[start:stop], axis=0).astype(np.int64)
    if isinstance(c, Sparse):
        listed = slice(int(c.indptr[start]), int(c.indptr[stop]))
        held = c.indices[listed] if zeros else c.indices[listed][c.weight[listed] != 0]
        return np.bincount(held, minlength=c.source_size).astype(np.int64)
    return _conv2d_fan_out(c, start, stop, zeros)


def reach(c: Connection, start: int, stop: int) -> NDArray[np.bool_]:
    """Whether each source has a synapse, of any weight, onto the targets start ≤ i < stop: [source size]."""
    if not isinstance(c, Conv2d):
        return fan_out(c, start, stop) > 0
    planes = np.zeros((c.groups, c.weight.shape[1], *c.size), np.bool_)
    for group, plane in _receptive(c, start, stop):
        planes[group] = plane
    return planes.reshape(-1)


def synapses(c: Connection) -> int:
    """All synapses, zero weights included; those of a convolution are counted at every position."""
    if isinstance(c, Dense | Sparse):
        return c.weight.size
    positions = sum((ys.stop - ys.start) * (xs.stop - xs.start) for _, _, ys, xs, _, _ in taps(c))
    return positions * c.weight.shape[0] * c.weight.shape[1]


def fan_in(c: Connection) -> int:
    """The most synapses that one target can have."""
    if isinstance(c, Sparse):
        return int(np.diff(c.indptr).max(initial=0))
    return c.weight[0].size


def expand(c: Connection) -> Sparse:
    """The same connection as a list of its synapses, zero weights included.

    Raises BadInput, before memory is taken, for more than MAX_EXPANDED of them.
    """
    # With much padding a convolution takes more memory than its synapses say.
    number = c.target_size * fan_in(c) if isinstance(c, Conv2d) else synapses(c)
    if number > MAX_EXPANDED:
        raise BadInput(
            f"node '{c.name}': {number} synapses exceed the {MAX_EXPANDED} that can be listed"
        )
    if isinstance(c, Sparse):
        return c
    if isinstance(c, Dense):
        columns = np.tile(np.arange(c.source_size, dtype=np.int32), c.target_size)
        rows = np.arange(c.target_size + 1, dtype=np.int64) * c.source_size
        weight = c.weight.reshape(-1)
    else:
        weight, columns, rows = _conv2d_list(c)
    return Sparse(
        c.name, c.source, c.target, weight, columns, rows.astype(np.int32), c.source_size,
        c.exponent, c.delay,
    )  # fmt: skip


def taps(c: Conv2d) -> Iterator[tuple[int, int, slice, slice, slice, slice]]:
    """(k_y, k_x, target rows, target columns, source rows, source columns) of each kernel position.

    Only those targets whose source is not padding, and only kernel positions that have any.
    """
    _, height, width = c.target_shape
    for ky in range(c.weight.shape[2]):
        ys, from_ys = _inside(c.size[0], height, c.stride[0], ky * c.dilation[0] - c.padding[0])
        for kx in range(c.weight.shape[3]):
            xs, from_xs = _inside(c.size[1], width, c.stride[1], kx * c.dilation[1] - c.padding[1])
            if ys.stop > ys.start and xs.stop > xs.start:
                yield ky, kx, ys, xs, from_ys, from_xs


def _inside(size: int, targets: int, stride: int, shift: int) -> tuple[slice, slice]:
    """The targets i with 0 ≤ i·stride + shift < size, and these sources."""
    first = max(0, -(shift // stride))
    last = min(targets - 1, (size - 1 - shift) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + shift
    return slice(first, last + 1), slice(start, last * stride + shift + 1, stride)


def _in_exact_type(
    c: Connection, weight: NDArray[np.int32], product: Callable[..., NDArray]
) -> Sums:
    """product(messages, weight) in float64 where its bound says that this is exact, else in int64."""
    floats = weight.astype(np.float64, order="C")
    heaviest, inputs = int(np.abs(c.weight).max(initial=0)), fan_in(c)

    def sums(messages: Int64) -> Int64:
        if int(np.abs(messages).max(initial=0)) * heaviest * inputs >= _FLOAT64_EXACT:
            return product(messages, weight.astype(np.int64))
        return product(messages.astype(np.float64), floats).astype(np.int64)

    return sums


def _in_blocks(sums: Sums, elements: int) -> Sums:
    """`sums`, a few samples at a time, where one sample needs temporaries of so many elements."""
    block = max(1, _BLOCK // max(elements, 1))

    def blocked(messages: Int64) -> Int64:
        parts = [sums(messages[i : i + block]) for i in range(0, len(messages), block)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    return blocked


def _sparse_sums(c: Sparse, messages: Int64) -> Int64:
    products = np.zeros((len(messages), len(c.weight) + 1), np.int64)
    np.multiply(messages[:, c.indices], c.weight, out=products[:, 1:])
    running = np.cumsum(products, axis=1, out=products)
    # A sum that wraps at 64 bits wraps back in the difference.
    return running[:, c.indptr[1:]] - running[:, c.indptr[:-1]]


def _conv2d_sums(c: Conv2d, messages: NDArray, weight: NDArray) -> NDArray:
    """messages: [samples, source size]; weight: [k_y, k_x, groups, C_out / groups, C_in / groups]."""
    samples, (_, height, width) = len(messages), c.target_shape
    source = messages.reshape(samples, c.groups, -1, *c.size)
    sums = np.zeros((samples, c.groups, weight.shape[3], height, width), messages.dtype)
    for ky, kx, ys, xs, from_ys, from_xs in taps(c):
        seen = source[..., from_ys, from_xs]
        flat = seen.reshape(*seen.shape[:3], -1)
        added = np.matmul(weight[ky, kx], flat)
        sums[..., ys, xs] += added.reshape(*added.shape[:3], *seen.shape[3:])
    return sums.reshape(samples, -1)


def _receptive(c: Conv2d, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """(group, positions [H, W] that the targets start ≤ i < stop of the group see)."""
    _, height, width = c.target_shape
    area = height * width
    whole = c.weight.shape[0] // c.groups * area
    for group in range(start // whole, -(-stop // whole)):
        first, last = max(start, group * whole), min(stop, (group + 1) * whole)
        begin, end = first % area, first % area + min(last - first, area)
        held = np.zeros((height, width), np.bool_)
        held.reshape(-1)[begin:end] = True
        held.reshape(-1)[: max(end - area, 0)] = True
        seen = np.zeros(c.size, np.bool_)
        for _, _, ys, xs, from_ys, from_xs in taps(c):
            seen[from_ys, from_xs] |= held[ys, xs]
        yield group, seen


def _conv2d_fan_out(c: Conv2d, start: int, stop: int, zeros: bool) -> Int64:
    found = np.zeros((c.groups, c.weight.shape[1], *c.size), np.int64)
    area = c.target_shape[1] * c.target_shape[2]
    per_group = c.weight.shape[0] // c.groups
    counted = np.ones_like(c.weight) if zeros else (c.weight != 0).astype(np.int32)
    for group in range(start // (per_group * area), -(-stop // (per_group * area))):
        channels = range(
            max(group * per_group, start // area), min((group + 1) * per_group, -(-stop // area))
        )
        whole = [i for i in channels if start <= i * area and (i + 1) * area <= stop]
        parts = [(counted[whole].sum(axis=0), 0, area)] if whole else []
        for i in set(channels) - set(whole):
            parts.append((counted[i], max(start - i * area, 0), min(stop - i * area, area)))
        for each, first, last in parts:
            held = np.zeros(area, np.int64)
            held[first:last] = 1
            held = held.reshape(c.target_shape[1:])
            for ky, kx, ys, xs, from_ys, from_xs in taps(c):
                found[group][:, from_ys, from_xs] += held[ys, xs] * each[:, ky, kx][:, None, None]
    return found.reshape(-1)


def _conv2d_list(c: Conv2d) -> tuple[NDArray[np.int32], NDArray[np.int32], Int64]:
    """(weight, indices, indptr): rows in C order, within a row the sources in ascending order."""
    channels, height, width = c.target_shape
    inputs, kernel = c.weight.shape[1], c.weight.shape[2] * c.weight.shape[3]
    inside = np.zeros((height, width, *c.weight.shape[2:]), np.bool_)
    position = np.zeros(inside.shape, np.int32)
    at = np.arange(c.size[0] * c.size[1], dtype=np.int32).reshape(c.size)
    for ky, kx, ys, xs, from_ys, from_xs in taps(c):
        inside[ys, xs, ky, kx] = True
        position[ys, xs, ky, kx] = at[from_ys, from_xs]
    # [positions, input channels of a group, kernel positions]
    inside = inside.reshape(-1, 1, kernel)
    used = np.broadcast_to(inside, (height * width, inputs, kernel))
    planes = np.arange(inputs, dtype=np.int32)[:, None] * at.size
    first = (planes + position.reshape(-1, 1, kernel))[used]
    weights, sources = [], []
    for i in range(channels):
        group = i // (channels // c.groups)
        weights.append(np.broadcast_to(c.weight[i].reshape(inputs, kernel), used.shape)[used])
        sources.append(first + np.int32(group * inputs * at.size))
    row_sizes = np.tile(inside.sum(axis=(1, 2)) * inputs, channels)
    return (
        np.concatenate(weights),
        np.concatenate(sources),
        np.concatenate([[0], np.cumsum(row_sizes)]),
    )
