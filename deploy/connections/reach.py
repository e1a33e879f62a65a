"""Which sources reach which parts of the targets: the question behind axons, words and packets.

A part is what holds targets together: a core, or a cluster of neurons. Sources of a connection
that reach the same targets form a class, so that nothing is counted synapse by synapse where many
are alike: all sources of a dense connection are one class, those of a convolution one per group of
channels and position, those of a sparse connection one each.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections.connections import Connection, Conv2d, Dense, Sparse

Ints = NDArray[np.int64]


def classes(c: Connection) -> Ints:
    """The class of each source: int64 [source size]."""
    if isinstance(c, Dense):
        return np.zeros(c.source_size, np.int64)
    if isinstance(c, Sparse):
        return np.arange(c.source_size)
    channel, position = np.divmod(np.arange(c.source_size), c.size[0] * c.size[1])
    return channel // c.weight.shape[1] * (c.size[0] * c.size[1]) + position


def members(c: Connection) -> int:
    """Sources of each class."""
    if isinstance(c, Dense):
        return c.source_size
    return 1 if isinstance(c, Sparse) else c.weight.shape[1]


def class_count(c: Connection) -> int:
    """Number of classes."""
    return c.source_size // members(c)


def spread(c: Connection, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints]:
    """The distinct (class, part) for which a source of the class has a synapse onto the part.

    targets: int64 [n], each once. part: int64 [n] in 0..parts − 1, of each of these targets.
    Returns two int64 [pairs], ascending by class, then part.
    """
    if isinstance(c, Dense):
        held = distinct(part, parts)
        return np.zeros(len(held), np.int64), held
    keys = _keys(c, targets, part, parts)
    found = np.divmod(distinct(keys, class_count(c) * parts), parts)
    return found[0], found[1]


def lists(c: Connection, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints, Ints]:
    """As `spread`, with the number of synapses that a source of the class has onto the part."""
    if isinstance(c, Dense):
        sizes = np.bincount(part, minlength=parts)
        held = np.flatnonzero(sizes)
        return np.zeros(len(held), np.int64), held, sizes[held]
    keys, sizes = np.unique(_keys(c, targets, part, parts, True), return_counts=True)
    return keys // parts, keys % parts, sizes


def ragged(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, …, start + length − 1 of each, one after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def distinct(values: Ints, bound: int) -> Ints:
    """The distinct values, ascending, of integers in 0..bound − 1."""
    if bound > 16 * len(values) + (1 << 20):
        return np.unique(values)
    # Where the bound is not far above their number, marking them is much faster than sorting.
    seen = np.zeros(bound, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)


def _keys(c: Any, targets: Ints, part: Ints, parts: int, every: bool = False) -> Ints:
    """class · parts + part of every synapse, or where `every` is false of at least each distinct one."""
    if isinstance(c, Sparse):
        starts = c.indptr[targets].astype(np.int64)
        lengths = c.indptr[targets + 1] - starts
        return c.indices[ragged(starts, lengths)].astype(np.int64) * parts + np.repeat(
            part, lengths
        )
    return _conv_keys(c, targets, part, parts, every)


def _conv_keys(c: Conv2d, targets: Ints, part: Ints, parts: int, every: bool) -> Ints:
    outputs, height, width = c.target_shape
    channel, position = np.divmod(targets, height * width)
    at = channel // (outputs // c.groups) * (height * width) + position
    if not every:  # channels at one position see the same sources
        at, part = np.divmod(distinct(at * parts + part, c.groups * height * width * parts), parts)
    group, position = np.divmod(at, height * width)
    y, x = np.divmod(position, width)
    found = []
    for ky in range(c.weight.shape[2]):
        from_y = y * c.stride[0] + ky * c.dilation[0] - c.padding[0]
        for kx in range(c.weight.shape[3]):
            from_x = x * c.stride[1] + kx * c.dilation[1] - c.padding[1]
            real = (from_y >= 0) & (from_y < c.size[0]) & (from_x >= 0) & (from_x < c.size[1])
            key = ((group * c.size[0] + from_y) * c.size[1] + from_x) * parts + part
            found.append(key[real])
    return np.concatenate(found)
