"""The updates of neurons in NumPy, one step of all samples at a time, and the table of them by kind.

They share no arithmetic with `deploy.neurons`: states of leaky neurons are float64 that hold integers
exactly wherever the proof allows. A kind that has no update here takes the step that it states.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.layout import Layout
from deploy.emulate.reference import take_step
from deploy.neurons import (
    Delta,
    Graded,
    Integrator,
    Neurons,
    Population,
    Sigma,
    SigmaDelta,
    Ternary,
    Threshold,
)

Array = NDArray[Any]
_LIMIT = 2**23
_MakeLeaky = Callable[["Population | Ternary | Threshold", Layout, int], "_Leaky"]


class Update(Protocol):
    """A population's states, as a trace records them, [samples, size], and how a step changes them."""

    @property
    def u(self) -> Array: ...

    @property
    def v(self) -> Array: ...

    def step(self, a: Array, t: int) -> Array:
        """Take the synaptic sums [samples, size] of step t; the messages of it."""
        ...


def update(p: Neurons, layout: Layout, narrow: bool, samples: int) -> Update:
    """The update of a population whose neurons lie as `layout` says, from cleared state.

    narrow: where no sum is beyond 2^18 in magnitude.
    """
    leaky: _MakeLeaky = _Narrow if narrow else _Wide
    return _UPDATES.get(type(p), _Stated)(p, layout, leaky, samples)


class _Leaky:
    """The registers of leaky integrate-and-fire neurons."""

    u: Array
    v: Array
    mu: Array
    mv: Array
    bias: Array
    integrate: Callable[[Array], None]

    def __init__(self, p: Population | Ternary | Threshold, layout: Layout, samples: int) -> None:
        du, dv = (p.registers.get(name, np.zeros(p.shape, np.int32)) for name in ("du", "dv"))
        mu, mv = 4095 - du, 4096 - dv
        self.mu, self.mv = layout.inner(mu).astype(np.int64), layout.inner(mv).astype(np.int64)
        self.bias = layout.inner(p.bias).astype(np.int64)
        self.threshold = layout.inner(p.vth).astype(np.int64) << 6
        self.u, self.v = (self.zeros((samples, p.size)) for _ in range(2))

    def zeros(self, shape: tuple[int, int]) -> Array:
        raise NotImplementedError

    def step(self, a: Array, t: int) -> Array:
        self.integrate(a)
        fired = self.v > self.threshold
        self.v[fired] = 0
        return fired


class _Narrow(_Leaky):
    """Neurons whose every value is below 2^37 in magnitude, so that float64 holds it exactly."""

    def __init__(self, p: Population | Ternary | Threshold, layout: Layout, samples: int) -> None:
        super().__init__(p, layout, samples)
        self.forgets, self.keeps = not self.mu.any(), bool((self.mv == 4096).all())
        # Multiples of 2^-12: x·m/4096 is exact, and truncation toward zero is T.
        self.mu, self.mv = self.mu / 4096, self.mv / 4096
        self.bias = self.bias.astype(np.float64)

    def zeros(self, shape: tuple[int, int]) -> Array:
        return np.zeros(shape)

    def integrate(self, a: Array) -> None:
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


class _Wide(_Leaky):
    """Neurons in 64-bit integers, for sums that graded messages can make large."""

    def zeros(self, shape: tuple[int, int]) -> Array:
        return np.zeros(shape, np.int64)

    def integrate(self, a: Array) -> None:
        x = _truncated(self.u * self.mu) + (a.astype(np.int64) << 6)
        self.u = x - 2 * _LIMIT * (x > _LIMIT) + 2 * _LIMIT * (x <= -_LIMIT)
        y = _truncated(self.v * self.mv) + self.u + self.bias
        self.v = np.clip(y, -_LIMIT + 1, _LIMIT - 1)


def _truncated(product: Array) -> Array:
    # Literally sign·(|·| >> 12), so that even a product beyond 64 bits is the reference's.
    return np.where(product < 0, -(np.abs(product) >> 12), np.abs(product) >> 12)


class _Wrapped:
    """Neurons around leaky ones: their states are theirs."""

    def __init__(self, leaky: _Leaky) -> None:
        self.leaky = leaky

    @property
    def u(self) -> Array:
        return self.leaky.u

    @property
    def v(self) -> Array:
        return self.leaky.v


class _Timed(_Wrapped):
    """Leaky neurons that are cleared before every step t % interval == offset, or rest after a spike."""

    def __init__(self, leaky: _Leaky, interval: int, offset: int = 0, rest: int = 0) -> None:
        super().__init__(leaky)
        self.interval, self.offset, self.rest = interval, offset, rest
        # The first step at which a neuron may fire again.
        self.awake = np.zeros(leaky.v.shape, np.int64)

    def step(self, a: Array, t: int) -> Array:
        leaky = self.leaky
        if self.interval and t % self.interval == self.offset:
            leaky.u[...] = 0
            leaky.v[...] = 0
        leaky.integrate(a)
        if self.rest:
            leaky.v[self.awake > t] = 0
        fired = leaky.v > leaky.threshold
        leaky.v[fired] = 0
        if self.rest:
            self.awake[fired] = t + 1 + self.rest
        return fired


class _TwoThresholds(_Wrapped):
    """Leaky neurons that send −1 below a second threshold."""

    def __init__(self, p: Ternary, layout: Layout, leaky: _Leaky) -> None:
        super().__init__(leaky)
        self.low = layout.inner(p.vth_lo).astype(np.int64) << 6

    def step(self, a: Array, t: int) -> Array:
        leaky = self.leaky
        leaky.integrate(a)
        above, below = leaky.v > leaky.threshold, leaky.v < self.low
        leaky.v[above | below] = 0
        return above.astype(np.int8) - below


class _Stateless:
    """What has no state to record under this name."""

    def __init__(self, samples: int, size: int) -> None:
        self.u, self.v = (np.zeros((samples, size), np.int64) for _ in range(2))


class _Graded(_Stateless):
    """Sums beyond a threshold, as they are."""

    def __init__(self, p: Graded, samples: int) -> None:
        super().__init__(samples, p.size)
        self.threshold, self.rectified = p.vth, p.rectified

    def step(self, a: Array, t: int) -> Array:
        s = a.astype(np.int64)
        silent = s <= self.threshold
        if not self.rectified:
            silent &= s >= -self.threshold
        s[silent] = 0
        return s


class _Sigma(_Stateless):
    """A running sum; u."""

    def step(self, a: Array, t: int) -> Array:
        self.u += a
        return self.u


class _Delta(_Stateless):
    """What changed since it was last sent, once it is large enough; u is the signal, v the rest."""

    def __init__(self, p: Delta | SigmaDelta, samples: int) -> None:
        super().__init__(samples, p.size)
        self.shift, self.state_exp = p.spike_exp + p.state_exp, p.state_exp
        self.threshold, self.adds_up = p.vth << self.shift, p.cum_error
        shape = samples, p.size
        self.error = np.zeros(shape, np.int64)
        # Signal less what was sent of it, without what a message's lowest bits lose.
        self.behind = np.zeros(shape, np.int64)
        self.signal = np.zeros(shape, np.int64)

    def step(self, a: Array, t: int) -> Array:
        self.u = a.astype(np.int64) << self.shift
        return self.encode(self.u)

    def encode(self, signal: Array) -> Array:
        change = signal - self.signal + self.behind
        self.signal = signal.copy()
        if self.adds_up:
            self.error += change
        small = np.abs(self.error if self.adds_up else change) < self.threshold
        self.behind = self.v = change * small
        change[small] = 0
        self.error[change != 0] = 0
        return change >> self.state_exp


class _SigmaDelta(_Delta):
    """A running sum (u), its activation, and what changed of that."""

    def __init__(self, p: SigmaDelta, layout: Layout, samples: int) -> None:
        super().__init__(p, samples)
        self.bias = layout.inner(p.bias).astype(np.int64) << self.shift
        self.rectified = p.rectified

    def step(self, a: Array, t: int) -> Array:
        self.u = self.u + a
        x = self.u + self.bias
        return self.encode(x * (x > 0) if self.rectified else x)


class _Stated:
    """The step that the population's kind states, as the reference takes it."""

    def __init__(self, p: Neurons, layout: Layout, leaky: _MakeLeaky, samples: int) -> None:
        self.population, self.layout = p, layout
        self.state = p.cleared(samples)

    @property
    def u(self) -> Array:
        return self._recorded("u")

    @property
    def v(self) -> Array:
        return self._recorded("v")

    def _recorded(self, quantity: str) -> Array:
        values = self.population.recording(self.state).get(quantity)
        return np.zeros(1, np.int64) if values is None else self.layout.inner(values)

    def step(self, a: Array, t: int) -> Array:
        sums = np.ascontiguousarray(self.layout.outer(a.astype(np.int64)))
        self.state, s = take_step(self.population, self.state, sums, t)
        return self.layout.inner(s)


def _lif(p: Population, layout: Layout, leaky: _MakeLeaky, samples: int) -> Update:
    made = leaky(p, layout, samples)
    if not (p.refractory or p.reset_interval):
        return made
    return _Timed(made, p.reset_interval, p.reset_offset, p.refractory)


_UPDATES: dict[type[Neurons], Callable[[Any, Layout, _MakeLeaky, int], Update]] = {
    Population: _lif,
    Integrator: _lif,
    Ternary: lambda p, layout, leaky, n: _TwoThresholds(p, layout, leaky(p, layout, n)),
    Threshold: lambda p, layout, leaky, n: _Timed(leaky(p, layout, n), 1),
    Graded: lambda p, layout, leaky, n: _Graded(p, n),
    Delta: lambda p, layout, leaky, n: _Delta(p, n),
    Sigma: lambda p, layout, leaky, n: _Sigma(n, p.size),
    SigmaDelta: lambda p, layout, leaky, n: _SigmaDelta(p, layout, n),
}
