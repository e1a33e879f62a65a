"""What one block writes while it runs, and how it gets into the trace."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.layout import Layout
from deploy.emulate.fast.plan import Block
from deploy.emulate.fast.spikes import WORD, Messages, Spikes, unpack, words
from deploy.emulate.trace import Trace


@dataclass(frozen=True, eq=False)
class Recording:
    """A block's arrays for some samples, as its neurons lie.

    bits: uint64 [samples, time, block words], the spikes. graded: int32 [samples, time, size], all
    messages of a block that has graded ones, else empty. u, v: int32 [samples, time, width], or
    empty where not `states`. last_v: int32 or int64 [samples, size]. counts: int64 [size], non-zero messages.
    """

    bits: NDArray[np.uint64]
    graded: NDArray[np.int32]
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    states: bool
    last_v: NDArray[Any]
    counts: NDArray[np.int64]


def start(block: Block, trace: Trace, layouts: dict[str, Layout], samples: slice) -> Recording:
    """Arrays for a block; states of one population in C order are written to the trace itself."""
    count, states = (
        samples.stop - samples.start,
        any(p.name in kept for p in block.populations for kept in (trace.u, trace.v)),
    )
    only = block.populations[0]
    direct = len(block.populations) == 1 and layouts[only.name].image is None

    def memory(recorded: Any) -> NDArray[np.int32]:
        if not states:
            return np.empty((1, 1, 1), np.int32)
        if direct and only.name in recorded:
            found: NDArray[np.int32] = recorded[only.name][samples].reshape(
                count, trace.timesteps, -1
            )
            return found
        return np.empty((count, trace.timesteps, block.size), np.int32)

    return Recording(
        np.zeros((count, trace.timesteps, block.size // WORD), np.uint64),
        np.empty((count, trace.timesteps, block.size if block.graded else 0), np.int32),
        memory(trace.u),
        memory(trace.v),
        states,
        np.zeros((count, block.size), block.sums),
        np.zeros(block.size, np.int64),
    )


def finish(
    block: Block, recording: Recording, trace: Trace, layouts: dict[str, Layout], samples: slice
) -> Messages:
    """Copy to the trace what is not there yet; what each population sent."""
    sent: Messages = {}
    for p, begin in zip(block.populations, block.starts, strict=True):
        part, layout = slice(begin, begin + p.size), layouts[p.name]
        first = begin // WORD
        bits = np.ascontiguousarray(recording.bits[..., first : first + words(p.size)])
        if p.binary:
            values, flat = None, unpack(bits, p.size) if p.name in trace.s else None
        else:
            flat = values = np.ascontiguousarray(recording.graded[..., part])
        sent[p.name] = Spikes(bits, p.size, int(recording.counts[part].sum()), values)
        if flat is not None and p.name in trace.s:
            trace.s[p.name][samples] = layout.outer(flat)
        for kept, states in ((trace.u, recording.u), (trace.v, recording.v)):
            if p.name in kept and states.shape[2] == block.size:
                kept[p.name][samples] = layout.outer(states[..., part])
        if p.name in trace.readout:
            trace.readout[p.name][samples] = layout.outer(recording.last_v[:, part])
    return sent
