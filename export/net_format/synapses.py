"""Weights and delays of lava-dl's `.net` files as connections.

A file's delays belong to axons: one for each neuron of a layer, which its spikes take before they
arrive anywhere. A connection of a Program has one delay, so the sources are grouped by theirs.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from deploy.arithmetic.registers import DELAY_MAX, WEIGHT_MAX, WEIGHT_MIN
from deploy.connections import Connection
from deploy.errors import BadInput
from export.net_format.file import Ints
from export.net_format.kinds import part

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
    for legal in _legal(c):
        if low == high:
            found.append(replace(legal, delay=low))
        else:
            # One connection for each delay, with the synapses that have it.
            each = (
                part(legal, f"{legal.name}_delay{delay}", delays == delay, int(delay))
                for delay in np.unique(delays)
            )
            found += [p for p in each if p is not None]
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
