"""A block of populations in NumPy alone: products over samples × time, updates over samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.neurons import update
from deploy.emulate.fast.plan import Block, Synapses
from deploy.emulate.fast.products import add_products, synaptic_sums
from deploy.emulate.fast.recording import Recording
from deploy.emulate.fast.schedule import Driver, pieces
from deploy.emulate.fast.spikes import Messages, count_messages, pack
from deploy.emulate.reference import check_messages


def run_numpy(block: Block, messages: Messages, out: Recording, add: Driver = add_products) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside.

    add: makes the sums from outside. Raises CheckFailed for a message beyond 32 bits.
    """
    samples, timesteps = out.bits.shape[:2]
    parts = [slice(b, b + p.size) for p, b in zip(block.populations, block.starts, strict=True)]
    updates = [
        update(p, n, block.narrow, samples)
        for p, n in zip(block.populations, block.layouts, strict=True)
    ]
    inside: list[list[Synapses]] = [
        [s for s in block.inside if s.connection.target == p.name] for p in block.populations
    ]
    place = {p.name: part for p, part in zip(block.populations, parts, strict=True)}
    # Messages, spikes as bytes, for as long as the longest delay inside the block can reach back to them.
    longest = max((s.connection.delay for s in block.inside), default=0)
    kind: Any = np.int32 if block.graded else np.bool_
    sent: NDArray[Any] = np.zeros((samples, 0, block.size), kind)
    for first, stop in pieces(samples, timesteps, block.size):
        drive: NDArray[Any] = np.zeros((samples, stop - first, block.size), block.sums)
        for synapses in block.outside:
            add(synapses, messages[synapses.connection.source], first, drive)
        before = sent[:, max(sent.shape[1] - longest, 0) :]
        sent = np.concatenate([before, np.zeros(drive.shape, kind)], axis=1)
        begin = first - before.shape[1]
        for t in range(first, stop):
            # Inside a cycle a population may hear this step's spikes of those before it.
            for i, part in enumerate(parts):
                a: NDArray[Any] = drive[:, t - first, part]
                for synapses in inside[i]:
                    c = synapses.connection
                    if t >= c.delay:
                        heard = sent[:, t - c.delay - begin, place[c.source]]
                        a += synaptic_sums(synapses, heard, drive.dtype)
                s = updates[i].step(a, t)
                if s.dtype == np.int64:
                    check_messages(block.populations[i], block.layouts[i].outer(s), t)
                sent[:, t - begin, part] = s
            if out.states:
                for part, state in zip(parts, updates, strict=True):
                    # Casting int64 keeps the low 32 bits of a current beyond them, as the
                    # reference does.
                    out.u[:, t, part] = state.u.astype(np.int64)
                    out.v[:, t, part] = state.v.astype(np.int64)
        new = sent[:, first - begin :]
        pack(new, out.bits[:, first:stop])
        if block.graded:
            out.graded[:, first:stop] = new
        out.counts[...] += count_messages(new)
    for part, state in zip(parts, updates, strict=True):
        out.last_v[:, part] = state.v
