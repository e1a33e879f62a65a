"""What one core hears: the synapses that its neurons have from every source, in numbers.

Only the sources around a core's neurons are looked at, so that many small cores cost no more than
a few large ones.
"""

from collections.abc import Mapping as Dict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.connections.connections import Connection, Conv2d, Dense
from deploy.connections.reach import ragged
from deploy.hardware.mapping import Core
from deploy.program.program import Program

Ints = NDArray[np.int64]
# (neurons of the source with a synapse, ascending; synapses of non-zero weight; of any), [neurons] each.
Heard = tuple[Ints, Ints, Ints]


@dataclass(frozen=True, eq=False)
class Listening:
    """Synapses on one core by source: {source: (neurons, effective, dense)}, int64 [neurons] each.

    neurons: those of the source with a synapse here, ascending. effective: how many of non-zero
    weight each has here; dense: how many of any weight.
    """

    operations: Dict[str, Heard]


def listening(program: Program, core: Core) -> Listening:
    """The synapses of a core."""
    tables: dict[str, list[Heard]] = {}
    for name in dict.fromkeys(part.population for part in core.slices):
        parts = [np.arange(s.start, s.stop) for s in core.slices if s.population == name]
        for c in program.into(name):
            tables.setdefault(c.source, []).append(_heard(c, np.concatenate(parts)))
    return Listening({source: _joined(found) for source, found in tables.items()})


def _joined(found: list[Heard]) -> Heard:
    """The same with every neuron once."""
    if len(found) == 1:
        return found[0]
    neurons, effective, dense = (np.concatenate(column) for column in zip(*found, strict=True))
    neurons, of = np.unique(neurons, return_inverse=True)
    both = [np.bincount(of, n, len(neurons)).astype(np.int64) for n in (effective, dense)]
    return neurons, both[0], both[1]


def _heard(c: Connection, targets: Ints) -> Heard:
    """The synapses of a connection onto these targets."""
    if isinstance(c, Dense):
        effective = np.count_nonzero(c.weight[targets], axis=0).astype(np.int64)
        return np.arange(c.source_size), effective, np.full(c.source_size, len(targets), np.int64)
    if isinstance(c, Conv2d):
        return _conv2d_heard(c, targets)
    starts = c.indptr[targets].astype(np.int64)
    listed = ragged(starts, c.indptr[targets + 1] - starts)
    neurons, of = np.unique(c.indices[listed].astype(np.int64), return_inverse=True)
    effective = np.bincount(of[c.weight[listed] != 0], minlength=len(neurons))
    return neurons, effective, np.bincount(of, minlength=len(neurons))


def _conv2d_heard(c: Conv2d, targets: Ints) -> Heard:
    """Counted on the smallest box of positions around the targets and on what its kernels see."""
    channel, y, x = np.unravel_index(targets, c.target_shape)
    top, left = int(y.min()), int(x.min())
    rows, columns = int(y.max()) - top + 1, int(x.max()) - left + 1
    outputs, inputs, height, width = c.weight.shape
    held = np.zeros((outputs, rows, columns))
    held[channel, y - top, x - left] = 1
    held = held.reshape(c.groups, -1, rows * columns)
    # [k_y, k_x, groups, 2 · C_in / groups, C_out / groups]: weights that are not zero, then all.
    counted = np.concatenate([c.weight != 0, np.ones_like(c.weight, np.bool_)], axis=1)
    counted = counted.reshape(c.groups, -1, 2 * inputs, height, width).transpose(3, 4, 0, 2, 1)
    # Rows and columns of the padded source, from the first that the box sees.
    seen = [
        (n - 1) * stride + (kernel - 1) * dilation + 1
        for n, kernel, stride, dilation in zip(
            (rows, columns), (height, width), c.stride, c.dilation, strict=True
        )
    ]
    found = np.zeros((c.groups, 2 * inputs, *seen))
    for ky in range(height):
        down = slice(first := ky * c.dilation[0], first + (rows - 1) * c.stride[0] + 1, c.stride[0])
        for kx in range(width):
            along = slice(
                first := kx * c.dilation[1], first + (columns - 1) * c.stride[1] + 1, c.stride[1]
            )
            added = np.matmul(counted[ky, kx].astype(np.float64), held)
            found[..., down, along] += added.reshape(c.groups, 2 * inputs, rows, columns)
    from_y, from_x = top * c.stride[0] - c.padding[0], left * c.stride[1] - c.padding[1]
    inside = found[
        ...,
        max(0, -from_y) : max(0, c.size[0] - from_y),
        max(0, -from_x) : max(0, c.size[1] - from_x),
    ]
    group, plane, y, x = np.nonzero(inside[:, inputs:])
    effective, dense = (inside[group, plane + i, y, x].astype(np.int64) for i in (0, inputs))
    source = (group * inputs + plane, y + max(0, from_y), x + max(0, from_x))
    neurons = np.ravel_multi_index(source, (c.groups * inputs, *c.size))
    return neurons, effective, dense
