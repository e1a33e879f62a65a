"""Synaptic sums of all samples and steps at once, as matrix products in an exact arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast.plan import Synapses

_PIECE_BYTES = 32 << 20


def synaptic_sums(synapses: Synapses, messages: NDArray[Any], out: Any) -> NDArray[Any]:
    """(Σ weight·message) under the weight exponent: [..., source size] → `out` [..., target size].

    out: the integer type of the result. float32 and float64 products run on BLAS and are exact
    where the proof bounds every partial sum (|Σ| ≤ 2^24, 2^53); integers take the rest.
    """
    dtype = np.dtype(
        {"int16": np.float32, "float32": np.float32, "float64": np.float64}.get(
            synapses.exact, np.int64
        )
    )
    flat = messages.reshape(-1, messages.shape[-1]).astype(dtype)
    total = (flat @ synapses.matrix(dtype)).astype(out)
    exponent = synapses.connection.exponent
    if exponent > 0:
        total <<= exponent
    elif exponent < 0:
        total >>= -exponent
    return total.reshape(*messages.shape[:-1], -1)


def add_outside(synapses: Synapses, messages: NDArray[Any], drive: NDArray[Any]) -> None:
    """Add a connection's delayed sums to `drive` [samples, time, block size]."""
    delay, width = synapses.connection.delay, synapses.rows.shape[1]
    stop = synapses.start + width
    # A long sample goes piece by piece: a product's operands stay below _PIECE_BYTES.
    rows = max(1, _PIECE_BYTES // (8 * len(messages) * sum(synapses.rows.shape)))
    for first in range(0, messages.shape[1] - delay, rows):
        heard = messages[:, first : min(first + rows, messages.shape[1] - delay)]
        begin = first + delay
        drive[:, begin : begin + heard.shape[1], synapses.start : stop] += synaptic_sums(
            synapses, heard, drive.dtype
        )
