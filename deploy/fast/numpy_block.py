"""A block of populations in NumPy alone: products over samples × time, updates over samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.fast.plan import Block
from deploy.fast.products import add_outside, synaptic_sums
from deploy.fast.recording import Recording

_LIMIT = 2**23
Messages = dict[str, NDArray[Any]]


def run_numpy(block: Block, messages: Messages, out: Recording) -> None:
    """Run a block for all steps of some samples; `messages` holds what it hears from outside."""
    drive: NDArray[Any] = np.zeros(out.s.shape, np.int32 if block.narrow else np.int64)
    for synapses in block.outside:
        add_outside(synapses, messages[synapses.connection.source], drive)
    update = _Narrow(block, len(drive)) if block.narrow else _Wide(block, len(drive))
    for t in range(drive.shape[1]):
        # Inside a cycle a population may hear this step's spikes of those before it.
        for p, first in zip(block.populations, block.starts, strict=True):
            part = slice(first, first + p.size)
            for synapses in block.inside:
                c = synapses.connection
                if c.target == p.name and t >= c.delay:
                    begin = synapses.source_start
                    heard = out.s[:, t - c.delay, begin : begin + synapses.rows.shape[0] - 1]
                    drive[:, t, part] += synaptic_sums(synapses, heard, drive.dtype)
            out.s[:, t, part] = update.step(drive[:, t, part], part)
        if out.states:
            # Casting int64 keeps the low 32 bits of a current beyond them, as the reference does.
            out.u[:, t], out.v[:, t] = update.u.astype(np.int64), update.v.astype(np.int64)
    out.last_v[...] = update.v
    out.counts[...] = count_messages(out.s)


def count_messages(messages: NDArray[Any]) -> NDArray[np.int64]:
    """Non-zero messages of [samples, time, size] per channel: int64 [size]."""
    sent = (messages != 0).reshape(-1, messages.shape[2]).view(np.uint8)
    counts = np.zeros(messages.shape[2], np.int64)
    # 255 rows are counted in bytes before they are widened.
    for first in range(0, len(sent), 255):
        counts += np.add.reduce(sent[first : first + 255], axis=0, dtype=np.uint8)
    return counts


class _Narrow:
    """Neurons whose every value is below 2^37 in magnitude, so that float64 holds it exactly."""

    def __init__(self, block: Block, samples: int) -> None:
        self.u, self.v = np.zeros((samples, block.size)), np.zeros((samples, block.size))
        # Multiples of 2^-12: x·m/4096 is exact, and truncation toward zero is T.
        self.mu, self.mv = block.mu / 4096, block.mv / 4096
        self.bias, self.threshold = block.bias.astype(np.float64), block.threshold

    def step(self, a: NDArray[Any], part: slice) -> NDArray[np.bool_]:
        u, v = self.u[:, part], self.v[:, part]
        u *= self.mu[part]
        np.trunc(u, out=u)
        u += a * np.float64(64)
        over, under = u > _LIMIT, u <= -_LIMIT
        if over.any() or under.any():
            u -= over * np.float64(2 * _LIMIT)
            u += under * np.float64(2 * _LIMIT)
        v *= self.mv[part]
        np.trunc(v, out=v)
        v += u
        v += self.bias[part]
        # Half the time of `np.clip`.
        np.maximum(v, -_LIMIT + 1, out=v)
        np.minimum(v, _LIMIT - 1, out=v)
        fired = v > self.threshold[part]
        v[fired] = 0
        return fired


class _Wide:
    """Neurons in 64-bit integers, for sums that graded messages can make large."""

    def __init__(self, block: Block, samples: int) -> None:
        self.u = np.zeros((samples, block.size), np.int64)
        self.v = np.zeros((samples, block.size), np.int64)
        self.block = block

    def step(self, a: NDArray[Any], part: slice) -> NDArray[np.bool_]:
        block, u, v = self.block, self.u[:, part], self.v[:, part]
        x = _truncated(u * block.mu[part]) + (a << 6)
        u[...] = x - 2 * _LIMIT * (x > _LIMIT) + 2 * _LIMIT * (x <= -_LIMIT)
        y = np.clip(_truncated(v * block.mv[part]) + u + block.bias[part], -_LIMIT + 1, _LIMIT - 1)
        fired = y > block.threshold[part]
        v[...] = np.where(fired, 0, y)
        return fired


def _truncated(product: NDArray[np.int64]) -> NDArray[np.int64]:
    # Literally sign·(|·| >> 12), so that even a product beyond 64 bits is the reference's.
    return np.where(product < 0, -(np.abs(product) >> 12), np.abs(product) >> 12)
