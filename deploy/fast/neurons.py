"""The updates of neurons in NumPy, one step of all samples at a time, kind by kind.

They share no arithmetic with `deploy.arithmetic`: states are float64 that hold integers exactly
wherever the proof allows.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.fast.plan import Block

Array = NDArray[Any]
_LIMIT = 2**23


class Update(Protocol):
    """One population's states u and v [samples, size] and how a step changes them."""

    u: Array
    v: Array

    def step(self, a: Array) -> NDArray[np.bool_]:
        """Take the synaptic sums [samples, size] of a step; the spikes of it."""
        ...


def update(block: Block, part: slice, samples: int) -> Update:
    """The update of the neurons of a block that lie in `part`, from cleared state."""
    return (Narrow if block.narrow else Wide)(block, part, samples)


class Narrow:
    """Neurons whose every value is below 2^37 in magnitude, so that float64 holds it exactly."""

    def __init__(self, block: Block, part: slice, samples: int) -> None:
        mu, mv = block.mu[part], block.mv[part]
        self.u, self.v = (np.zeros((samples, len(mu))) for _ in range(2))
        # Multiples of 2^-12: x·m/4096 is exact, and truncation toward zero is T.
        self.mu, self.mv = mu / 4096, mv / 4096
        self.forgets, self.keeps = not mu.any(), bool((mv == 4096).all())
        self.bias, self.threshold = block.bias[part].astype(np.float64), block.threshold[part]

    def step(self, a: Array) -> NDArray[np.bool_]:
        u, v = self.u, self.v
        if self.forgets:
            np.multiply(a, np.float64(64), out=u)
        else:
            u *= self.mu
            np.trunc(u, out=u)
            u += a * np.float64(64)
        over, under = u > _LIMIT, u <= -_LIMIT
        if over.any() or under.any():
            u -= over * np.float64(2 * _LIMIT)
            u += under * np.float64(2 * _LIMIT)
        if not self.keeps:
            v *= self.mv
            np.trunc(v, out=v)
        v += u
        v += self.bias
        # Half the time of `np.clip`.
        np.maximum(v, -_LIMIT + 1, out=v)
        np.minimum(v, _LIMIT - 1, out=v)
        fired = v > self.threshold
        v[fired] = 0
        return fired


class Wide:
    """Neurons in 64-bit integers, for sums that graded messages can make large."""

    def __init__(self, block: Block, part: slice, samples: int) -> None:
        self.mu, self.mv = block.mu[part], block.mv[part]
        self.bias, self.threshold = block.bias[part], block.threshold[part]
        self.u, self.v = (np.zeros((samples, len(self.mu)), np.int64) for _ in range(2))

    def step(self, a: Array) -> NDArray[np.bool_]:
        x = _truncated(self.u * self.mu) + (a << 6)
        self.u = x - 2 * _LIMIT * (x > _LIMIT) + 2 * _LIMIT * (x <= -_LIMIT)
        y = _truncated(self.v * self.mv) + self.u + self.bias
        y = np.clip(y, -_LIMIT + 1, _LIMIT - 1)
        fired = y > self.threshold
        self.v = np.where(fired, 0, y)
        return fired


def _truncated(product: NDArray[np.int64]) -> NDArray[np.int64]:
    # Literally sign·(|·| >> 12), so that even a product beyond 64 bits is the reference's.
    return np.where(product < 0, -(np.abs(product) >> 12), np.abs(product) >> 12)
