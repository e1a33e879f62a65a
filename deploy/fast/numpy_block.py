"""A block of populations in NumPy alone: products over samples × time, updates over samples."""

import numpy as np

from deploy.fast.neurons import update
from deploy.fast.plan import Block, Synapses
from deploy.fast.products import add_products, synaptic_sums
from deploy.fast.recording import Recording
from deploy.fast.schedule import Driver, pieces
from deploy.fast.spikes import Messages, count_messages, pack


def run_numpy(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside."""
    step_block(block, messages, out, add_products)


def step_block(block: Block, messages: Messages, out: Recording, add: Driver) -> None:
    """The same, its sums from outside made by `add`."""
    samples, timesteps = out.bits.shape[:2]
    parts = [slice(b, b + p.size) for p, b in zip(block.populations, block.starts, strict=True)]
    updates = [update(block, part, samples) for part in parts]
    inside: list[list[Synapses]] = [
        [s for s in block.inside if s.connection.target == p.name] for p in block.populations
    ]
    place = {p.name: part for p, part in zip(block.populations, parts, strict=True)}
    # Spikes as bytes, for as long as the longest delay inside the block can reach back to them.
    longest = max((s.connection.delay for s in block.inside), default=0)
    sent = np.zeros((samples, 0, block.size), np.bool_)
    for first, stop in pieces(samples, timesteps, block.size):
        drive = np.zeros((samples, stop - first, block.size), block.mu.dtype)
        for synapses in block.outside:
            add(synapses, messages[synapses.connection.source], first, drive)
        before = sent[:, max(sent.shape[1] - longest, 0) :]
        sent = np.concatenate([before, np.zeros(drive.shape, np.bool_)], axis=1)
        begin = first - before.shape[1]
        for t in range(first, stop):
            # Inside a cycle a population may hear this step's spikes of those before it.
            for i, part in enumerate(parts):
                a = drive[:, t - first, part]
                for synapses in inside[i]:
                    c = synapses.connection
                    if t >= c.delay:
                        heard = sent[:, t - c.delay - begin, place[c.source]]
                        a += synaptic_sums(synapses, heard, drive.dtype)
                sent[:, t - begin, part] = updates[i].step(a)
            if out.states:
                for part, state in zip(parts, updates, strict=True):
                    # Casting int64 keeps the low 32 bits of a current beyond them, as the
                    # reference does.
                    out.u[:, t, part] = state.u.astype(np.int64)
                    out.v[:, t, part] = state.v.astype(np.int64)
        new = sent[:, first - begin :]
        pack(new, out.bits[:, first:stop])
        out.counts[...] += count_messages(new)
    for part, state in zip(parts, updates, strict=True):
        out.last_v[:, part] = state.v
