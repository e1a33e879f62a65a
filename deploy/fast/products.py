"""Synaptic sums of all samples and steps at once, as matrix products in an exact arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast.plan import Synapses


def synaptic_sums(synapses: Synapses, messages: NDArray[Any]) -> NDArray[np.int64]:
    """(Σ weight·message) under the weight exponent: [..., source size] → int64 [..., target size].

    float32 and float64 products run on BLAS and are exact where the proof bounds every partial sum
    (|Σ| ≤ 2^24, 2^53); integers take the rest.
    """
    dtype = np.dtype(
        {"int16": np.float32, "float32": np.float32, "float64": np.float64}.get(
            synapses.exact, np.int64
        )
    )
    flat = messages.reshape(-1, messages.shape[-1]).astype(dtype)
    total = (flat @ synapses.matrix(dtype)).astype(np.int64)
    exponent = synapses.connection.exponent
    total = total << exponent if exponent >= 0 else total >> -exponent
    return total.reshape(*messages.shape[:-1], -1)


def add_outside(synapses: Synapses, messages: NDArray[Any], drive: NDArray[Any]) -> None:
    """Add a connection's delayed sums to `drive` [samples, time, block size]."""
    timesteps = messages.shape[1] - synapses.connection.delay
    if timesteps > 0:
        stop = synapses.start + synapses.rows.shape[1]
        sums = synaptic_sums(synapses, messages[:, :timesteps])
        drive[:, synapses.connection.delay :, synapses.start : stop] += sums.astype(drive.dtype)
