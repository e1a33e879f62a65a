"""A block of populations on the numba kernels: its connections as the arrays that they read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import kernels
from deploy.emulate.fast.layout import LINK
from deploy.emulate.fast.numpy_block import run_numpy
from deploy.emulate.fast.plan import Block, Synapses
from deploy.emulate.fast.products import add_products
from deploy.emulate.fast.recording import Recording
from deploy.emulate.fast.schedule import by_product, pieces
from deploy.emulate.fast.spikes import Messages, Spikes

_NOTHING = (
    np.zeros((1, 1, 1), np.uint64), np.zeros(1, LINK)[0], np.zeros(1, np.int8),
    np.zeros(1, np.int16), np.zeros(1, np.int32),
)  # fmt: skip


def run_numba(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside."""
    if not block.compiled:
        run_numpy(block, messages, out, add_sums)
        return
    others = list(block.outside)
    fused: tuple[Any, ...] = _NOTHING
    # A single population sums its last event-driven connection as it goes.
    events = [s for s in others if not by_product(s, messages[s.connection.source])]
    if events and len(block.populations) == 1:
        others.remove(events[-1])
        fused = _arrays(events[-1], messages)
    samples, timesteps = out.bits.shape[:2]
    u = np.zeros((samples, block.size), block.sums)
    steps = pieces(samples, timesteps, block.size) if others else [(0, timesteps)]
    for first, stop in steps:
        drive = np.zeros((samples, stop - first, block.size) if others else (1, 1, 1), block.sums)
        for synapses in others:
            add_sums(synapses, messages[synapses.connection.source], first, drive)
        kernels.run_block(  # type: ignore[call-arg]
            *fused, fused is not _NOTHING, drive, bool(others), block.spans,
            block.links, block.rows, block.taps, block.table,
            block.mu, block.mv, block.bias, block.threshold,
            first, stop, u, out.last_v, out.bits, out.u, out.v, out.states, out.counts,
        )  # fmt: skip


def add_sums(
    synapses: Synapses, messages: Spikes | NDArray[np.int32], first: int, drive: NDArray[Any]
) -> None:
    """drive[:, t] += a connection's sums at step first + t, by whichever kernel is faster."""
    if by_product(synapses, messages):
        add_products(synapses, messages, first, drive)
    else:
        kernels.add_events(*_arrays(synapses, {synapses.connection.source: messages}), first, drive)  # type: ignore[call-arg]


def _arrays(synapses: Synapses, messages: Messages) -> tuple[Any, ...]:
    heard, w = messages[synapses.connection.source], synapses.weights
    assert isinstance(heard, Spikes)
    link = synapses.link
    return heard.bits, link, w.rows, w.taps, w.table
