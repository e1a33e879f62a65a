"""A block of populations on the numba kernels: its connections as the arrays that they read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast import kernels
from deploy.fast.plan import Block
from deploy.fast.products import add_outside
from deploy.fast.recording import Recording

Messages = dict[str, NDArray[Any]]
_NO_SPIKES = np.zeros((1, 1, 1), np.uint8)
_NO_WEIGHTS = np.zeros(1, np.int8)


def run_numba(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside."""
    spiking = [s for s in block.outside if messages[s.connection.source].dtype == np.uint8]
    # A single population sums its last spiking connection as it goes; the others are summed before.
    fused = spiking.pop() if spiking and len(block.populations) == 1 else None
    others = [s for s in block.outside if s is not fused]
    dtype = np.int32 if block.narrow else np.int64
    drive = np.zeros(out.s.shape if others else (1, 1, 1), dtype)
    for synapses in others:
        heard = messages[synapses.connection.source]
        if heard.dtype == np.uint8:
            kernels.gather_rows(
                heard, synapses.rows.reshape(-1), synapses.start, synapses.rows.shape[1],
                synapses.connection.delay, synapses.shift, drive,
            )  # fmt: skip
        else:
            add_outside(synapses, heard, drive)
    kernels.run_block(
        messages[fused.connection.source] if fused else _NO_SPIKES,
        fused.rows.reshape(-1) if fused else _NO_WEIGHTS,
        fused.connection.delay if fused else 0,
        fused.shift if fused else 0,
        fused is not None,
        drive, bool(others), block.spans, block.table, block.flat,
        block.mu, block.mv, block.bias, block.threshold,
        out.s, out.u, out.v, out.states, out.last_v,
    )  # fmt: skip
    kernels.count_messages(out.s, out.counts)
