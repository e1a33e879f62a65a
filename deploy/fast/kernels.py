"""The numba kernels: event-driven sums over int8 weight rows, fused with the neuron's update.

Imported only where numba is installed. One spike adds one row of halved weights; 256 of them stay
within 16 bits (256·127 < 2^15), so sums run in int16 lanes and are widened once per 256 spikes.

All compiled functions share this file, since numba's cache sees changes of a caller's file only.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

Array = NDArray[Any]

_LIMIT = 2**23
_GROUP = 256


def _can_cache() -> bool:
    """False where numba finds no folder to keep compiled code in: then each process compiles."""
    try:
        njit(cache=True)(_can_cache)
    except RuntimeError:
        return False
    return True


_CACHE = _can_cache()


def _decayed(x: Any, m: Any) -> Any:
    """T(x·m) for m = 4096 − decay, T(y) = sign(y)·(|y| >> 12); types are those of `x`."""
    raise NotImplementedError  # compiled code only, see the overload


@overload(_decayed)
def _decayed_of_type(x: Any, m: Any) -> Any:
    if x == types.int32:
        # x = high·4096 + low with |high| ≤ 2^11: no product needs more than 25 bits. T(x·m) is the
        # floor of x·m/4096, of (x·m + 4095)/4096 for negative x.
        def narrow(x: Any, m: Any) -> Any:
            up = np.int32(4095) if x < 0 else np.int32(0)
            low = np.int32(np.int32(np.int32(x & 4095) * m) + up)
            return np.int32(np.int32(np.int32(x >> 12) * m) + np.int32(low >> 12))

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


@njit(nogil=True, cache=_CACHE, forceinline=True)
def _active(row: Array, index: Array) -> int:
    """Write the places of spikes (a row of 0 and 1) to `index`, without branches; their number."""
    n = 0
    for j in range(row.shape[0]):
        index[n] = j
        n += row[j]
    return n


@njit(nogil=True, cache=_CACHE, forceinline=True)
def _gather(
    row: Array,
    flat: Array,
    offset: int,
    start: int,
    width: int,
    shift: int,
    index: Array,
    acc16: Array,
    acc32: Array,
    out: Array,
) -> None:
    """out[start:start + width] += (Σ of the weight rows where `row` is set) << shift.

    flat[offset:]: rows of halved int8 weights, the one after the last being zero.
    """
    n = _active(row, index)
    if n == 0:
        return
    for k in range(n, n + 8):
        index[k] = row.shape[0]
    sums = acc16[:width]
    target = out[start : start + width]
    many = n > _GROUP
    if many:
        acc32[:width] = 0
    for first in range(0, n, _GROUP):
        sums[:] = 0
        last = min(first + _GROUP, n)
        k = first
        while k + 4 < last:
            o = offset + index[k] * width
            r0 = flat[o : o + width]
            o = offset + index[k + 1] * width
            r1 = flat[o : o + width]
            o = offset + index[k + 2] * width
            r2 = flat[o : o + width]
            o = offset + index[k + 3] * width
            r3 = flat[o : o + width]
            o = offset + index[k + 4] * width
            r4 = flat[o : o + width]
            o = offset + index[k + 5] * width
            r5 = flat[o : o + width]
            o = offset + index[k + 6] * width
            r6 = flat[o : o + width]
            o = offset + index[k + 7] * width
            r7 = flat[o : o + width]
            for j in range(width):
                sums[j] += np.int16(
                    np.int16(np.int16(r0[j] + r1[j]) + np.int16(r2[j] + r3[j]))
                    + np.int16(np.int16(r4[j] + r5[j]) + np.int16(r6[j] + r7[j]))
                )
            k += 8
        if k < last:
            o = offset + index[k] * width
            r0 = flat[o : o + width]
            o = offset + index[k + 1] * width
            r1 = flat[o : o + width]
            o = offset + index[k + 2] * width
            r2 = flat[o : o + width]
            o = offset + index[k + 3] * width
            r3 = flat[o : o + width]
            for j in range(width):
                sums[j] += np.int16(np.int16(r0[j] + r1[j]) + np.int16(r2[j] + r3[j]))
        if many:
            for j in range(width):
                acc32[j] += sums[j]
    if many:
        _add_shifted(acc32[:width], shift, target)
    else:
        _add_shifted(sums, shift, target)


@njit(nogil=True, cache=_CACHE, forceinline=True)
def _add_shifted(sums: Array, shift: int, target: Array) -> None:
    if shift >= 0:
        scale = np.int32(1 << shift)
        for j in range(target.shape[0]):
            target[j] += sums[j] * scale
    else:
        for j in range(target.shape[0]):
            target[j] += sums[j] >> -shift


@njit(nogil=True, cache=_CACHE, forceinline=True)
def _advance(
    a: Array,
    u: Array,
    v: Array,
    mu: Array,
    mv: Array,
    bias: Array,
    threshold: Array,
    s: Array,
) -> None:
    """One step of neurons, every array [size]: see `deploy.program.Population`."""
    for j in range(u.shape[0]):
        m = mu[j]
        x = _like(_decayed(u[j], m) + _like(a[j] << 6, m), m)
        if x > _LIMIT:
            x = _like(x - 2 * _LIMIT, m)
        elif x <= -_LIMIT:
            x = _like(x + 2 * _LIMIT, m)
        u[j] = x
        y = _like(_like(_decayed(v[j], mv[j]) + x, m) + bias[j], m)
        y = _like(min(max(y, _like(-_LIMIT + 1, m)), _like(_LIMIT - 1, m)), m)
        fired = y > threshold[j]
        v[j] = _like(0, m) if fired else y
        s[j] = fired


@njit(nogil=True, cache=_CACHE)
def gather_rows(
    source: Array, flat: Array, start: int, width: int, delay: int, shift: int, drive: Array
) -> None:
    """drive[g, t + delay, start:start + width] += sums of `source` [samples, time, size]."""
    samples, timesteps, size = source.shape
    index = np.empty(size + 8, np.int32)
    acc16 = np.empty(width, np.int16)
    acc32 = np.empty(width, np.int32)
    for g in range(samples):
        for t in range(delay, timesteps):
            _gather(
                source[g, t - delay], flat, 0, start, width, shift,
                index, acc16, acc32, drive[g, t],
            )  # fmt: skip


@njit(nogil=True, cache=_CACHE)
def run_block(
    source: Array,
    source_flat: Array,
    source_delay: int,
    source_shift: int,
    fused: bool,
    drive: Array,
    driven: bool,
    populations: Array,
    synapses: Array,
    flat: Array,
    mu: Array,
    mv: Array,
    bias: Array,
    threshold: Array,
    s: Array,
    u_record: Array,
    v_record: Array,
    record: bool,
    last_v: Array,
) -> None:
    """All steps of a block: s [samples, time, size] and, where `record`, its u and v.

    source …: one connection from outside onto the whole block, summed on the fly where `fused`.
    drive [samples, time, size]: sums of all other outside connections, where `driven`.
    populations [n, 4]: start, stop, first and last row of `synapses`.
    synapses [n, 5]: source start, source size, delay, shift, offset of its rows in `flat`.
    """
    samples, timesteps, size = s.shape
    a = np.zeros(size, mu.dtype)
    u = np.zeros(size, mu.dtype)
    v = np.zeros(size, mu.dtype)
    index = np.empty(max(source.shape[2], size) + 8, np.int32)
    acc16 = np.empty(size, np.int16)
    acc32 = np.empty(size, np.int32)
    for g in range(samples):
        u[:] = 0
        v[:] = 0
        for t in range(timesteps):
            if driven:
                a[:] = drive[g, t]
            else:
                a[:] = 0
            if fused and t >= source_delay:
                _gather(
                    source[g, t - source_delay], source_flat, 0, 0, size, source_shift,
                    index, acc16, acc32, a,
                )  # fmt: skip
            for p in range(populations.shape[0]):
                first, last = populations[p, 0], populations[p, 1]
                for c in range(populations[p, 2], populations[p, 3]):
                    if t >= synapses[c, 2]:
                        begin = synapses[c, 0]
                        _gather(
                            s[g, t - synapses[c, 2], begin : begin + synapses[c, 1]], flat,
                            synapses[c, 4], first, last - first, synapses[c, 3],
                            index, acc16, acc32, a,
                        )  # fmt: skip
                _advance(
                    a[first:last], u[first:last], v[first:last], mu[first:last], mv[first:last],
                    bias[first:last], threshold[first:last], s[g, t, first:last],
                )  # fmt: skip
            if record:
                u_row, v_row = u_record[g, t], v_record[g, t]
                for j in range(size):
                    u_row[j] = u[j]
                    v_row[j] = v[j]
        last_row = last_v[g]
        for j in range(size):
            last_row[j] = v[j]


@njit(nogil=True, cache=_CACHE)
def count_messages(messages: Array, counts: Array) -> None:
    """counts [size] += non-zero messages of [samples, time, size]."""
    samples, timesteps, size = messages.shape
    few = np.empty(size, np.uint8)
    for g in range(samples):
        # 255 steps are counted in lanes of 8 bits before they are widened.
        for first in range(0, timesteps, 255):
            few[:] = 0
            for t in range(first, min(first + 255, timesteps)):
                row = messages[g, t]
                for j in range(size):
                    few[j] += np.uint8(row[j] != 0)
            for j in range(size):
                counts[j] += few[j]
