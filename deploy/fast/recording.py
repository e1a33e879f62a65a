"""What one block writes while it runs: views of the trace, or memory of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast.plan import Block
from deploy.trace import Trace


@dataclass(frozen=True, eq=False)
class Recording:
    """A block's arrays for some samples.

    s: uint8 [samples, time, size]. u, v: int32 of the same shape, or empty where not `states`.
    last_v: int32 [samples, size]. counts: int32 [size], spikes of these samples.
    """

    s: NDArray[np.uint8]
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    states: bool
    last_v: NDArray[np.int32]
    counts: NDArray[np.int32]


def start(block: Block, trace: Trace, samples: slice) -> Recording:
    """Arrays for a block; those of a single recorded population are the trace's own."""
    count, states = samples.stop - samples.start, bool(trace.u)
    shape = (count, trace.timesteps, block.size)

    def memory(recorded: Any, dtype: Any, wanted: bool) -> NDArray[Any]:
        if recorded and len(block.populations) == 1:
            return recorded[block.populations[0].name][samples].reshape(shape)
        return np.empty(shape if wanted else (1, 1, 1), dtype)

    return Recording(
        memory(trace.s, np.uint8, True),
        memory(trace.u, np.int32, states),
        memory(trace.v, np.int32, states),
        states,
        np.empty((count, block.size), np.int32),
        np.zeros(block.size, np.int32),
    )


def finish(block: Block, recording: Recording, trace: Trace, samples: slice) -> None:
    """Copy to the trace what a block of several populations recorded, and the read-outs."""
    for p, begin in zip(block.populations, block.starts, strict=True):
        part = slice(begin, begin + p.size)
        if len(block.populations) > 1:
            for kept, source in (
                (trace.s, recording.s),
                (trace.u, recording.u),
                (trace.v, recording.v),
            ):
                if kept:
                    target = kept[p.name][samples]
                    target[...] = source[..., part].reshape(target.shape)
        if p.name in trace.readout:
            readout = trace.readout[p.name][samples]
            readout[...] = recording.last_v[:, part].reshape(readout.shape)
