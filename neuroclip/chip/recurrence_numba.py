"""The recurrence of `neuroclip.chip.recurrence` compiled by numba: whole samples, forward and back.

Imported only where numba is installed. Arrays are [samples, time, neurons]; a kernel runs every
step of one sample before the next, so that its states stay in cache and each value is moved once.
Each releases the interpreter's lock, so that threads can share the samples.

For example one neuron that keeps half of both states (m = 2048 of 4096), threshold 256:

    a    [2, 0, 3]
    u    [128, 64, 224], each T(u/2) + 64·a
    v    [128, 128, 0]: 64 + 224 = 288 is above the threshold, so it fires and is reset
    s    [0, 0, 1]; backwards, the steps from the last to the first hand on the gradients of u and v

Divisions follow numpy's error model: a check for zero at each would keep the loops from being
vectorised. All compiled functions share this file, since numba's cache sees changes of a caller's file
only.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deploy.compiled import can_cache

Array = NDArray[Any]

RECTANGLE = 0

_LIMIT = 2**23
# While |a| stays at or below this, |u| ≤ 2^23 holds after one wrap, and all fits 32 bits.
_SUM_MAX = 2**18


_CACHE = can_cache()


@njit(cache=_CACHE, inline="always", error_model="numpy")  # type: ignore[misc, unused-ignore]
def _decayed(x: Any, m: Any) -> Any:
    """T(x·m) for m = 4096 − decay in 0..4096 and |x| ≤ 2^23: no product needs more than 25 bits."""
    size = np.int32(-x) if x < 0 else x
    kept = np.int32((size >> 12) * m + (((size & 4095) * m) >> 12))
    return np.int32(-kept) if x < 0 else kept


@njit(cache=_CACHE, inline="always", error_model="numpy")  # type: ignore[misc, unused-ignore]
def _exp_minus(z: Any) -> Any:
    """exp(−z) for z ≥ 0: to 1e-5 of it up to z = 16, to 1e-12 in all beyond, flat from z = 32 on.

    The compiler vectorises this and not the library's exp: a Taylor series of exp(−z/32) to the
    seventh power, to the power of 32.
    """
    y = np.float32(-1 / 32) * (z if z < np.float32(32) else np.float32(32))
    e = np.float32(1 / 5040) * y + np.float32(1 / 720)
    e = e * y + np.float32(1 / 120)
    e = e * y + np.float32(1 / 24)
    e = e * y + np.float32(1 / 6)
    e = e * y + np.float32(0.5)
    e = (e * y + np.float32(1)) * y + np.float32(1)
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(cache=_CACHE, inline="always", error_model="numpy")  # type: ignore[misc, unused-ignore]
def _surrogate(x: Any, kind: int, width: Any) -> Any:
    """What stands for dH/dx at distance x from the threshold: see `neuroclip.chip.recurrence`."""
    if kind == RECTANGLE:
        return np.float32(1) / width if abs(x) < np.float32(0.5) * width else np.float32(0)
    # Four standard slopes within the width: the logistic function's own derivative, even in x.
    e = _exp_minus(np.float32(4) * abs(x) / width)
    p = np.float32(1) / (np.float32(1) + e)
    return np.float32(4) / width * p * (e * p)


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def chip_forward(
    a: Array, mu: Array, mv: Array, bias: Array, threshold: Array, w: Array, out: Array, reads: bool
) -> bool:
    """Steps of the chip's neuron; False, and unfinished, where some |a| is beyond 2^18.

    a: float32 integers [N, T, F]. mu, mv: 4096 − decay; bias; threshold: vth << 6; int32 [F].
    w: int32 [N, T, F], the membrane potential before its reset. out: float32 [N, T, F], spikes, or
    v where `reads`.
    """
    samples, steps, size = a.shape
    u, v = np.empty(size, np.int32), np.empty(size, np.int32)
    for n in range(samples):
        u[:] = 0
        v[:] = 0
        for t in range(steps):
            largest = np.float32(0)
            for i in range(size):
                largest = max(largest, abs(a[n, t, i]))
            if not largest <= _SUM_MAX:
                return False
            for i in range(size):
                current = np.int32(_decayed(u[i], mu[i]) + (np.int32(a[n, t, i]) << 6))
                if current > _LIMIT:
                    current -= np.int32(2 * _LIMIT)
                if current <= -_LIMIT:
                    current += np.int32(2 * _LIMIT)
                potential = np.int32(_decayed(v[i], mv[i]) + current + bias[i])
                potential = min(max(potential, np.int32(1 - _LIMIT)), np.int32(_LIMIT - 1))
                fires = potential > threshold[i]
                u[i] = current
                v[i] = np.int32(0) if fires else potential
                w[n, t, i] = potential
                if reads:
                    out[n, t, i] = np.float32(v[i])
                else:
                    out[n, t, i] = np.float32(1) if fires else np.float32(0)
    return True


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def chip_backward(
    gradient: Array, w: Array, ku: Array, kv: Array, threshold: Array,
    kind: int, width: float, reads: bool, ga: Array, gbias: Array,
) -> None:  # fmt: skip
    """The gradients of `chip_forward`: see `neuroclip.chip.recurrence`.

    gradient: of `out`, float32 [N, T, F]. ku, kv: decays as factors, float32 [F]. ga: float32
    [N, T, F], of the sums. gbias: float32 [N, F], of the bias, a row per sample.
    """
    samples, steps, size = gradient.shape
    gu, gv = np.empty(size, np.float32), np.empty(size, np.float32)
    for n in range(samples):
        gu[:] = 0
        gv[:] = 0
        gbias[n, :] = 0
        for t in range(steps - 1, -1, -1):
            for i in range(size):
                before = np.float32(w[n, t, i])
                fires = w[n, t, i] > threshold[i]
                slope = _surrogate(before - np.float32(threshold[i]), kind, np.float32(width))
                back, spike = gv[i], np.float32(0)
                if reads:
                    back += gradient[n, t, i]
                else:
                    spike = gradient[n, t, i]
                kept = np.float32(0) if fires else back
                potential = kept + (spike - back * before) * slope
                if w[n, t, i] == 1 - _LIMIT or w[n, t, i] == _LIMIT - 1:
                    potential = np.float32(0)
                current = potential + gu[i]
                gbias[n, i] += potential
                ga[n, t, i] = np.float32(64) * current
                gu[i] = current * ku[i]
                gv[i] = potential * kv[i]


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def float_forward(x: Array, decay: Array, threshold: float, m: Array, spikes: Array) -> None:
    """m ← decay·m + x, spike where m > threshold, m ← 0; x, m, spikes: float32 [N, T, F].

    decay: float32 [F]. m: the membrane potential before its reset.
    """
    samples, steps, size = x.shape
    state = np.empty(size, np.float32)
    level = np.float32(threshold)
    for n in range(samples):
        state[:] = 0
        for t in range(steps):
            for i in range(size):
                potential = decay[i] * state[i] + x[n, t, i]
                fires = potential > level
                m[n, t, i] = potential
                spikes[n, t, i] = np.float32(1) if fires else np.float32(0)
                state[i] = np.float32(0) if fires else potential


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def float_backward(
    gradient: Array, m: Array, decay: Array, threshold: float, kind: int, width: float, through: float,
    gx: Array,
) -> None:  # fmt: skip
    """The gradient of `float_forward`: gradient of spikes → gradient of x, float32 [N, T, F].

    through: the share of it that goes through the reset, 1 or, of a detached one, 0.
    """
    samples, steps, size = gradient.shape
    back = np.empty(size, np.float32)
    level, reset = np.float32(threshold), np.float32(through)
    for n in range(samples):
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for i in range(size):
                before = m[n, t, i]
                slope = _surrogate(before - level, kind, np.float32(width))
                kept = np.float32(0) if before > level else back[i]
                potential = kept + (gradient[n, t, i] - reset * back[i] * before) * slope
                gx[n, t, i] = potential
                back[i] = potential * decay[i]


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def half_forward(x: Array, threshold: float, spikes: Array) -> None:
    """Spikes where x > threshold, each the bits of bfloat16 as int16 [F]: float32's upper half."""
    level = np.float32(threshold)
    for i in range(len(x)):
        at = np.int32(np.int32(x[i]) << 16).view(np.float32)
        spikes[i] = np.int16(0x3F80) if at > level else np.int16(0)


@njit(nogil=True, cache=_CACHE, error_model="numpy")  # type: ignore[misc, unused-ignore]
def half_backward(
    gradient: Array, x: Array, gx: Array, threshold: float, kind: int, width: float
) -> None:
    """gx = gradient·σ'(x − threshold), bits as `half_forward` has them."""
    level, wide = np.float32(threshold), np.float32(width)
    for i in range(len(x)):
        at = np.int32(np.int32(x[i]) << 16).view(np.float32)
        given = np.int32(np.int32(gradient[i]) << 16).view(np.float32)
        made = np.float32(given * _surrogate(at - level, kind, wide)).view(np.int32)
        # To the nearest, ties away from zero.
        gx[i] = np.int16(np.int32(made + np.int32(0x8000)) >> 16)
