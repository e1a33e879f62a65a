"""A block of populations on the numba kernels: its connections as the arrays that they read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast import kernels
from deploy.fast.plan import Block, Synapses
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
                synapses.connection.delay, _shift(synapses), drive,
            )  # fmt: skip
        else:
            add_outside(synapses, heard, drive)
    populations, table, flat = _inside(block)
    kernels.run_block(
        messages[fused.connection.source] if fused else _NO_SPIKES,
        fused.rows.reshape(-1) if fused else _NO_WEIGHTS,
        fused.connection.delay if fused else 0,
        _shift(fused) if fused else 0,
        fused is not None,
        drive, bool(others), populations, table, flat,
        block.mu, block.mv, block.bias, block.threshold,
        out.s, out.u, out.v, out.states, out.last_v,
    )  # fmt: skip
    kernels.count_messages(out.s, out.counts)


def _shift(synapses: Synapses) -> int:
    """Rows hold half the weights: one more bit than the exponent."""
    return synapses.connection.exponent + 1


def _inside(block: Block) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """(populations [n, 4], synapses [n, 6], flat weights) as `kernels.run_block` describes them."""
    populations, table, weights, offset = [], [], [_NO_WEIGHTS], 1
    for p, first in zip(block.populations, block.starts, strict=True):
        mine = [s for s in block.inside if s.connection.target == p.name]
        populations.append((first, first + p.size, len(table), len(table) + len(mine)))
        for s in mine:
            size = s.rows.shape[0] - 1
            table.append(
                (s.source_start, size, s.connection.delay, _shift(s), offset, first)
            )
            weights.append(s.rows.reshape(-1))
            offset += s.rows.size
    return (
        np.array(populations, np.int64),
        np.array(table, np.int64).reshape(-1, 6),
        np.concatenate(weights),
    )
