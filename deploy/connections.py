"""Connections of a `Program`: integer weights from one source to one target population."""

from dataclasses import dataclass

import numpy as np

from deploy.errors import BadInput
from deploy.registers import (
    DELAY_MAX,
    WEIGHT_EXP_MAX,
    WEIGHT_EXP_MIN,
    WEIGHT_MAX,
    WEIGHT_MIN,
    IntArray,
    Shape,
    check_range,
)


@dataclass(frozen=True, eq=False)
class Dense:
    """All-to-all synapses: a[target] += (Σ weight[target, source]·message[source]) << exponent.

    weight: int32 [target size, source size], even, in [−254, 254]. exponent: −7..7, a negative one
    shifts the sum right (floor). delay: 0..62 steps.
    """

    name: str
    source: str
    target: str
    weight: IntArray
    exponent: int = 0
    delay: int = 0


def check_connection(c: Dense, source: Shape, target: Shape) -> None:
    """Refuse a connection that no chip holds or that does not fit its ends' shapes (BadInput)."""
    shape = (int(np.prod(target)), int(np.prod(source)))
    if c.weight.shape != shape:
        raise BadInput(
            f"node '{c.name}': weight of shape {c.weight.shape}, '{c.source}' → '{c.target}' needs {shape}"
        )
    _check_synapses(c)


def _check_synapses(c: Dense) -> None:
    if c.weight.dtype != np.int32:
        raise BadInput(f"node '{c.name}': weight has type {c.weight.dtype}, expected int32")
    check_range(c.name, "weight", c.weight, WEIGHT_MIN, WEIGHT_MAX)
    odd = np.argwhere(c.weight & 1)
    if odd.size:
        index = tuple(int(i) for i in odd[0])
        raise BadInput(
            f"node '{c.name}': weight {int(c.weight[index])} at index {list(index)} is odd; "
            "mixed-sign weights of 8 bits are even"
        )
    if not WEIGHT_EXP_MIN <= c.exponent <= WEIGHT_EXP_MAX:
        raise BadInput(f"node '{c.name}': weight exponent {c.exponent} is outside -7..7")
    if not 0 <= c.delay <= DELAY_MAX:
        raise BadInput(f"node '{c.name}': delay {c.delay} is outside 0..{DELAY_MAX}")
