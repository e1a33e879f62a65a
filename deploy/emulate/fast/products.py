"""Synaptic sums of many samples and steps at once, as matrix products in an exact arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Dense, Sparse
from deploy.emulate.fast.layout import Layout, by_source, dense_matrix
from deploy.emulate.fast.plan import Synapses
from deploy.emulate.fast.spikes import Spikes, unpack

Array = NDArray[Any]
_PIECE_BYTES = 32 << 20


def add_products(synapses: Synapses, messages: Spikes, first: int, drive: Array) -> None:
    """drive[:, t] += a connection's sums at step first + t; drive: [samples, steps, block size]."""
    c = synapses.connection
    begin, stop = max(first - c.delay, 0), first + drive.shape[1] - c.delay
    # Long times go piece by piece: a product's operands stay near _PIECE_BYTES.
    steps = max(1, _PIECE_BYTES // (len(drive) * _row_bytes(synapses)))
    for start in range(begin, stop, steps):
        end = min(start + steps, stop)
        heard = _rows(messages, start, end)
        to = slice(start + c.delay - first, end + c.delay - first)
        sums = synaptic_sums(synapses, heard, drive.dtype)
        drive[:, to, synapses.start : synapses.start + synapses.target.size] += sums


def synaptic_sums(synapses: Synapses, messages: Array, out: Any) -> Array:
    """(Σ weight·message) under the weight exponent: [..., source size] → `out` [..., target size].

    Sources and targets as they lie. out: the integer type of the result. float32 and float64
    products run on BLAS and are exact where the proof bounds every partial sum (|Σ| ≤ 2^24, 2^53);
    integers take the rest.
    """
    flat = messages.reshape(-1, messages.shape[-1])
    total = _product(synapses)(flat).astype(out, copy=False)
    exponent = synapses.connection.exponent
    if exponent > 0:
        total = total << exponent
    elif exponent < 0:
        total = total >> -exponent
    return total.reshape(*messages.shape[:-1], -1)


def _rows(messages: Spikes, start: int, end: int) -> Array:
    if messages.values is None:
        return unpack(np.ascontiguousarray(messages.bits[:, start:end]), messages.size)
    return messages.values[:, start:end]


def _row_bytes(synapses: Synapses) -> int:
    """Bytes that the product of one step of one sample needs, without those of a convolution's
    columns, which are made in bands."""
    c = synapses.connection
    listed = c.synapse_count() if c.pattern == "listed" else 0
    return 8 * (synapses.source.size + synapses.target.size) + 32 * listed


def _dtype(synapses: Synapses) -> np.dtype[Any]:
    floats = {"int16": np.float32, "float32": np.float32, "float64": np.float64}
    return np.dtype(floats.get(synapses.exact, np.int64))


def _product(synapses: Synapses) -> Callable[[Array], Array]:
    """The function messages [rows, source size] → Σ weight·message [rows, target size], made once."""
    found = synapses.cache.get("product")
    if found is None:
        c = synapses.connection
        found = _PRODUCTS[type(c)](c, synapses.source, synapses.target, _dtype(synapses))
        synapses.cache["product"] = found
    return found


def _dense(c: Dense, source: Layout, target: Layout, dtype: Any) -> Callable[[Array], Array]:
    matrix = dense_matrix(c, source, target).astype(dtype, order="C")
    return lambda messages: messages.astype(dtype) @ matrix


def _sparse(c: Sparse, source: Layout, target: Layout, dtype: Any) -> Callable[[Array], Array]:
    """Each message to the targets of its source, all events of all rows in one weighted count."""
    indptr, targets, weight = by_source(c, source, target)
    fan_out = np.diff(indptr)

    def sums(messages: Array) -> Array:
        row, j = np.nonzero(messages)
        numbers = fan_out[j]
        ends = np.cumsum(numbers)
        total = int(ends[-1]) if len(ends) else 0
        # Synapse k of an event is its source's first synapse and k.
        synapse = np.arange(total) + np.repeat(indptr[j] - (ends - numbers), numbers)
        place = np.repeat(row * c.target_size, numbers) + targets[synapse]
        size = len(messages) * c.target_size
        if dtype == np.int64:
            found = np.zeros(size, np.int64)
            value = np.repeat(messages[row, j].astype(np.int64), numbers)
            np.add.at(found, place, value * weight[synapse])
        else:
            value = np.repeat(messages[row, j].astype(np.float64), numbers)
            found = np.bincount(place, value * weight[synapse], size)
        return found.reshape(-1, c.target_size)

    return sums


def _conv2d(c: Conv2d, source: Layout, target: Layout, dtype: Any) -> Callable[[Array], Array]:
    """Columns of what each target sees, times the kernel; the result lies channels last."""
    channels, height, width = c.source_shape
    out, out_height, out_width = c.target_shape
    group_in, group_out = c.weight.shape[1], out // c.groups
    ky, kx = c.weight.shape[2:]
    # [groups, kernel rows · columns · channels, target channels of the group]
    kernel = c.weight.reshape(c.groups, group_out, group_in, ky, kx).transpose(0, 3, 4, 2, 1)
    kernel = np.ascontiguousarray(kernel, dtype).reshape(c.groups, -1, group_out)
    (pad_y, pad_x), (stride_y, stride_x), (apart_y, apart_x) = c.padding, c.stride, c.dilation
    band_row = out_width * ky * kx * group_in * np.dtype(dtype).itemsize

    def sums(messages: Array) -> Array:
        rows = len(messages)
        image = source.outer(messages).reshape(rows, *c.source_shape).transpose(0, 2, 3, 1)
        padded = np.zeros((rows, height + 2 * pad_y, width + 2 * pad_x, channels), dtype)
        padded[:, pad_y : pad_y + height, pad_x : pad_x + width] = image
        r, y, x, ch = padded.strides
        windows = np.lib.stride_tricks.as_strided(
            padded,
            (rows, out_height, out_width, ky, kx, channels),
            (r, y * stride_y, x * stride_x, y * apart_y, x * apart_x, ch),
            writeable=False,
        )
        found = np.zeros((rows, out_height, out_width, out), dtype)
        if group_in == 1:
            for i in range(ky * kx):
                seen = windows[..., i // kx, i % kx, :, None] * kernel[:, i]
                found += seen.reshape(found.shape)
            return found.reshape(rows, -1)
        at_once = max(1, _PIECE_BYTES // band_row)
        row_step, band = max(1, at_once // out_height), min(at_once, out_height)
        for first in range(0, rows, row_step):
            for top in range(0, out_height, band):
                part = windows[first : first + row_step, top : top + band]
                there = found[first : first + row_step, top : top + band]
                for g in range(c.groups):
                    column = part[..., g * group_in : (g + 1) * group_in]
                    made = column.reshape(-1, ky * kx * group_in) @ kernel[g]
                    there[..., g * group_out : (g + 1) * group_out] = made.reshape(
                        *there.shape[:3], group_out
                    )
        return found.reshape(rows, -1)

    return sums


_PRODUCTS: dict[type[Connection], Callable[..., Callable[[Array], Array]]] = {
    Dense: _dense,
    Sparse: _sparse,
    Conv2d: _conv2d,
}
