"""Weights and delays of lava-dl's `.net` files as connections.

A file's delays belong to axons: one for each neuron of a layer, which its spikes take before they
arrive anywhere. A connection of a Program has one delay, so the sources are grouped by theirs.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from deploy.arithmetic.registers import DELAY_MAX, WEIGHT_MAX, WEIGHT_MIN, IntArray
from deploy.connections import Connection, Conv2d, Dense, Sparse
from deploy.errors import BadInput
from export.net_format.file import Ints

# What lava-dl's quantize_8bit clamps to; its quantize_hook_fx allows twice as much, netx clips.
STORED_MIN, STORED_MAX = -256, 254


def connections(c: Connection, delays: Ints) -> list[Connection]:
    """Connections that together do what `c`, of any whole weights, does under `delays`.

    delays: of each source [source size], or of each synapse of a Dense [targets, sources].
    Odd weights up to 127 are doubled under an exponent of one less, which is exact; −256, a legal
    weight that a Program does not hold, is shared by two connections.
    Raises BadInput naming the connection and the weight or delay that is out of range.
    """
    low, high = int(delays.min()), int(delays.max())
    if low < 0 or high > DELAY_MAX:
        raise BadInput(
            f"node '{c.name}': delay {low if low < 0 else high} is outside 0..{DELAY_MAX}"
        )
    found: list[Connection] = []
    for part in _legal(c):
        if low == high:
            found.append(replace(part, delay=low))
        else:
            found += _by_delay(part, delays)
    return found


def _legal(c: Connection) -> Iterator[Connection]:
    weight = c.weight
    smallest, largest = int(weight.min()), int(weight.max())
    if smallest < STORED_MIN or largest > STORED_MAX:
        worst = smallest if smallest < STORED_MIN else largest
        raise BadInput(
            f"node '{c.name}': weight {worst} is outside {STORED_MIN}..{STORED_MAX}; "
            "netx would clip it in silence"
        )
    if (weight & 1).any():
        if max(-smallest, largest) > WEIGHT_MAX // 2:
            odd = int(weight[(weight & 1) > 0].flat[0])
            raise BadInput(
                f"node '{c.name}': weight {odd} is odd and its layer reaches {max(-smallest, largest)}; "
                f"weights of 8 bits are even, or at most {WEIGHT_MAX // 2}"
            )
        yield replace(c, weight=2 * weight, exponent=c.exponent - 1)
    elif smallest < WEIGHT_MIN:
        held = np.maximum(weight, WEIGHT_MIN)
        yield replace(c, weight=held)
        yield replace(c, name=f"{c.name}_rest", weight=weight - held)
    else:
        yield c


def _by_delay(c: Connection, delays: Ints) -> Iterator[Connection]:
    """One connection for each delay, with the synapses that have it."""
    for delay in np.unique(delays):
        name, held = f"{c.name}_delay{delay}", delays == delay
        if isinstance(c, Conv2d):
            channels = held.reshape(c.source_shape[0], -1)
            assert (channels == channels[:, :1]).all()  # a layer of images has a delay per channel
            inner = channels[:, 0].reshape(c.groups, 1, -1, 1, 1)
            taps = c.weight.reshape(c.groups, -1, *c.weight.shape[1:])
            weight = np.where(inner, taps, 0).reshape(c.weight.shape).astype(np.int32)
            if weight.any():
                yield replace(c, name=name, weight=weight, delay=int(delay))
        elif isinstance(c, Dense):
            mask = np.broadcast_to(held, c.weight.shape) & (c.weight != 0)
            rows, columns = np.nonzero(mask)
            yield from _listed(c, name, rows, columns, c.weight[mask], int(delay))
        else:
            of = c.listed()
            rows = np.repeat(np.arange(c.target_size), np.diff(of.indptr))
            mask = held[of.indices]
            yield from _listed(c, name, rows[mask], of.indices[mask], of.weight[mask], int(delay))


def _listed(
    c: Connection, name: str, rows: Ints, columns: Ints, weight: IntArray, delay: int
) -> Iterator[Connection]:
    if len(weight):
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=c.target_size))])
        yield Sparse(
            name, c.source, c.target, weight, columns.astype(np.int32), indptr.astype(np.int32),
            c.source_size, c.exponent, delay,
        )  # fmt: skip
