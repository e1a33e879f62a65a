"""What one core hears: the synapses that its neurons have from every source, in numbers."""

from collections.abc import Mapping as Dict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Dense
from deploy.mapping import Core, Slice
from deploy.program import Program
from deploy.synapses import fan_out, taps

Ints = NDArray[np.int64]

# A core whose neurons of a population are in more slices than this is counted by a mask over all of
# them: a slice costs about as much as the whole mask.
_FEW = 4


@dataclass(frozen=True, eq=False)
class Listening:
    """Synapses on one core by source: {source: (neurons, effective, dense)}, int64 [neurons] each.

    neurons: those of the source with a synapse here, ascending. effective: how many of non-zero
    weight each has here; dense: how many of any weight.
    """

    operations: Dict[str, tuple[Ints, Ints, Ints]]


def listening(program: Program, core: Core) -> Listening:
    """The synapses of a core."""
    tables: dict[str, tuple[Ints, Ints]] = {}
    for name in dict.fromkeys(part.population for part in core.slices):
        parts = [part for part in core.slices if part.population == name]
        for c in program.into(name):
            counted = _fan_out(c, parts, zeros=False), _fan_out(c, parts, zeros=True)
            before = tables.get(c.source)
            tables[c.source] = (
                counted if before is None else (before[0] + counted[0], before[1] + counted[1])
            )
    found = {}
    for source, (effective, dense) in tables.items():
        neurons = np.flatnonzero(dense)
        found[source] = neurons, effective[neurons], dense[neurons]
    return Listening(found)


def _fan_out(c: Connection, parts: list[Slice], *, zeros: bool) -> Ints:
    """Synapses of each source onto the targets of some slices: int64 [source size]."""
    if len(parts) <= _FEW:
        slices = [fan_out(c, part.start, part.stop, zeros=zeros) for part in parts]
        return np.sum(slices, axis=0, dtype=np.int64)
    held = np.zeros(c.target_size, np.bool_)
    for part in parts:
        held[part.start : part.stop] = True
    if isinstance(c, Dense):
        if zeros:
            return np.full(c.source_size, int(held.sum()), np.int64)
        return np.count_nonzero(c.weight[held], axis=0).astype(np.int64)
    if isinstance(c, Conv2d):
        return _conv2d_fan_out(c, held.reshape(c.target_shape), zeros)
    listed = np.repeat(held, np.diff(c.indptr)) & (zeros | (c.weight != 0))
    return np.bincount(c.indices[listed], minlength=c.source_size).astype(np.int64)


def _conv2d_fan_out(c: Conv2d, held: NDArray[np.bool_], zeros: bool) -> Ints:
    """held: which targets count, bool [C_out, H', W']."""
    weight = np.ones_like(c.weight) if zeros else (c.weight != 0).astype(np.int32)
    # [groups, C_out / groups, …]: every input channel of a group hears its output channels.
    of_group = weight.reshape(c.groups, -1, *weight.shape[1:]).astype(np.float64)
    targets = held.reshape(c.groups, -1, *held.shape[1:]).astype(np.float64)
    found = np.zeros((c.groups, weight.shape[1], *c.size), np.float64)
    for ky, kx, ys, xs, from_ys, from_xs in taps(c):
        found[..., from_ys, from_xs] += np.einsum(
            "goi,gohw->gihw", of_group[..., ky, kx], targets[..., ys, xs], optimize=True
        )
    return found.astype(np.int64).reshape(-1)
