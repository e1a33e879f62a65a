"""The updates of neurons for the numba kernels: one step of one sample, n neurons side by side.

Each is compiled on its own when it is first needed and is called through its address, so that the
loops of `kernels` are compiled once for all kinds, and a kind of a person's own
(`deploy.neurons.tracing`) is called like one of these.

    step(t, n, a, state, stride, registers, settings, flags, sent) → 0, or 1 to stop

a: the sums, of the lanes' type (int32 or int64), as are `state` and `registers`: row r of neuron j is at
[r·stride + j]; of narrow lanes, mu and mv are float32. settings: int64, of the population. flags: uint8,
whether the neuron sends. sent: int32, what it sends, written by kinds of graded messages only. Which
rows and settings a kind has: `deploy.emulate.fast.forms`. For example two neurons of the kind "lif"
without decay of v, vth = 1:

    a          [2, 0]
    registers  mu [0, 0], mv [1, 1], bias [0, 0], threshold [64, 64]
    state      u [0, 0], v [0, 5] → u [128, 0], v [0, 5]
    flags      [1, 0]: 128 is above 64
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc, extending, njit, types
from numba.extending import overload

from deploy.compiled import can_cache

_LIMIT = 2**23
_MESSAGE = 2**31

_CACHE = can_cache()
# Its types do not know that who calls leaves out the context.
intrinsic: Any = extending.intrinsic


def _decayed(x: Any, m: Any) -> Any:
    """T(x·m / 4096) for m = 4096 − decay, T(y) = sign(y)·⌊|y|⌋; of the type of `x`.

    Where `x` is int32, `m` is m / 4096 in float32, of 13 bits, and x, of 24, is exact in it too. While
    floats are rounded toward zero (`kernels.run_block` sees to that), the product keeps every whole
    number that it passes, so its whole part is T.
    """
    raise NotImplementedError  # compiled code only, see the overload


@intrinsic
def _as_float(context: Any, bits: Any) -> Any:
    """The float32 of these 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@overload(_decayed)
def _decayed_of_type(x: Any, m: Any) -> Any:
    if x == types.int32:

        def narrow(x: Any, m: Any) -> Any:
            return np.int32(np.float32(x) * _as_float(m))

        return narrow

    def wide(x: Any, m: Any) -> Any:
        # Literally sign·(|·| >> 12), so that even a product beyond 64 bits is the reference's.
        product = np.int64(x * m)
        size = (-product if product < 0 else product) >> 12
        return -size if product < 0 else size

    return wide


def _like(x: Any, y: Any) -> Any:
    """`x` as an integer of the type of `y`: 32-bit sums stay in 32-bit lanes."""
    raise NotImplementedError  # compiled code only, see the overload


@overload(_like)
def _like_type(x: Any, y: Any) -> Any:
    if y == types.int32:

        def narrow(x: Any, y: Any) -> Any:
            return np.int32(x)

        return narrow

    def wide(x: Any, y: Any) -> Any:
        return np.int64(x)

    return wide


@njit(cache=_CACHE)
def _current(kept: Any, a: Any) -> Any:
    """u: what is kept of it and the sum, wrapped once."""
    x = _like(kept + _like(a << 6, a), a)
    if x > _LIMIT:
        x = _like(x - 2 * _LIMIT, a)
    elif x <= -_LIMIT:
        x = _like(x + 2 * _LIMIT, a)
    return x


@njit(cache=_CACHE)
def _potential(kept: Any, u: Any, bias: Any) -> Any:
    """v: what is kept of it, u and the bias, clipped."""
    y = _like(_like(kept + u, u) + bias, u)
    return _like(min(max(y, _like(-_LIMIT + 1, u)), _like(_LIMIT - 1, u)), u)


def lif(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """Population, Integrator, Threshold. Registers mu, mv, bias, threshold; states u, v.

    settings: whether all neurons have the same registers, which are read once then.
    """
    if settings[0]:
        mu, mv = registers[0], registers[stride]
        bias, threshold = registers[2 * stride], registers[3 * stride]
        for j in range(n):
            u = _current(_decayed(state[j], mu), a[j])
            v = _potential(_decayed(state[stride + j], mv), u, bias)
            fired = v > threshold
            state[j] = u
            state[stride + j] = _like(0, v) if fired else v
            flags[j] = fired
        return 0
    for j in range(n):
        u = _current(_decayed(state[j], registers[j]), a[j])
        kept = _decayed(state[stride + j], registers[stride + j])
        v = _potential(kept, u, registers[2 * stride + j])
        fired = v > registers[3 * stride + j]
        state[j] = u
        state[stride + j] = _like(0, v) if fired else v
        flags[j] = fired
    return 0


def timed(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """The same with rules: a further state, the steps that v is still held at 0.

    settings: refractory, reset_interval, reset_offset.
    """
    rest = settings[0]
    if settings[1] > 0 and t % settings[1] == settings[2]:
        for j in range(n):
            state[j] = 0
            state[stride + j] = 0
    for j in range(n):
        u = _current(_decayed(state[j], registers[j]), a[j])
        kept = _decayed(state[stride + j], registers[stride + j])
        v = _potential(kept, u, registers[2 * stride + j])
        held = state[2 * stride + j]
        v = _like(0, v) if held > 0 else v
        fired = v > registers[3 * stride + j]
        state[j] = u
        state[stride + j] = _like(0, v) if fired else v
        state[2 * stride + j] = _like(rest if fired else max(held - 1, 0), held)
        flags[j] = fired
    return 0


def ternary(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """The same with a second threshold, the last register."""
    for j in range(n):
        u = _current(_decayed(state[j], registers[j]), a[j])
        kept = _decayed(state[stride + j], registers[stride + j])
        v = _potential(kept, u, registers[2 * stride + j])
        above, below = v > registers[3 * stride + j], v < registers[4 * stride + j]
        state[j] = u
        state[stride + j] = _like(0, v) if above | below else v
        flags[j] = above | below
        sent[j] = np.int32(above) - np.int32(below)
    return 0


def graded(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """Graded. settings: vth, and what is added to it to make the second threshold −vth or lower."""
    above, below, beyond = settings[0], settings[1], False
    for j in range(n):
        m = a[j] if (a[j] > above) | (a[j] < below) else _like(0, a[j])
        beyond |= (m >= _MESSAGE) | (m <= -_MESSAGE)
        flags[j] = m != 0
        sent[j] = np.int32(m)
    return np.int64(beyond)


def sigma(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """Sigma. State σ."""
    beyond = False
    for j in range(n):
        m = state[j] + a[j]
        beyond |= (m >= _MESSAGE) | (m <= -_MESSAGE)
        state[j] = m
        flags[j] = m != 0
        sent[j] = np.int32(m)
    return np.int64(beyond)


@njit(cache=_CACHE)
def _changed(change: Any, error: Any, threshold: Any, adds_up: Any) -> Any:
    """(the message before its shift, the error after it)."""
    error = error + change if adds_up else error
    large = abs(error if adds_up else change) >= threshold
    m = change if large else np.int64(0)
    return m, np.int64(0) if m != 0 else error


def delta(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """Delta. States x, residue, error; settings: spike_exp + state_exp, state_exp, θ, cum_error."""
    shift, down, threshold, adds_up = settings[0], settings[1], settings[2], settings[3] != 0
    beyond = False
    for j in range(n):
        x = a[j] << shift
        change = x - state[j] + state[stride + j]
        m, error = _changed(change, state[2 * stride + j], threshold, adds_up)
        state[j] = x
        state[stride + j] = change - m
        state[2 * stride + j] = error
        m >>= down
        beyond |= (m >= _MESSAGE) | (m <= -_MESSAGE)
        flags[j] = m != 0
        sent[j] = np.int32(m)
    return np.int64(beyond)


def sigma_delta(
    t: Any, n: Any, a: Any, state: Any, stride: Any, registers: Any, settings: Any, flags: Any,
    sent: Any,
) -> Any:  # fmt: skip
    """SigmaDelta. States σ, residue, error, x; the bias above the shift; settings: as of delta, and
    the least activation."""
    down, threshold, adds_up, least = settings[1], settings[2], settings[3] != 0, settings[4]
    beyond = False
    for j in range(n):
        running = state[j] + a[j]
        x = max(running + registers[j], least)
        change = x - state[3 * stride + j] + state[stride + j]
        m, error = _changed(change, state[2 * stride + j], threshold, adds_up)
        state[j] = running
        state[stride + j] = change - m
        state[2 * stride + j] = error
        state[3 * stride + j] = x
        m >>= down
        beyond |= (m >= _MESSAGE) | (m <= -_MESSAGE)
        flags[j] = m != 0
        sent[j] = np.int32(m)
    return np.int64(beyond)


_STEPS = {f.__name__: f for f in (lif, timed, ternary, graded, sigma, delta, sigma_delta)}
Step = Callable[..., Any]


@cache
def step_named(name: str, narrow: bool) -> Any:
    """A kind's update, compiled: with an `address` that holds while it is kept. narrow: 32-bit lanes."""
    return compile_step(_STEPS[name], narrow, _CACHE)


def compile_step(step: Step, narrow: bool, keep: bool) -> Any:
    """A function of the signature above, compiled; keep: on disk."""
    lane = types.CPointer(types.int32 if narrow else types.int64)
    whole, flags = types.CPointer(types.int64), types.CPointer(types.uint8)
    signature = types.int64(
        types.int64, types.int64, lane, lane, types.int64, lane, whole, flags,
        types.CPointer(types.int32),
    )  # fmt: skip
    return cfunc(signature, cache=keep, error_model="numpy")(step)
