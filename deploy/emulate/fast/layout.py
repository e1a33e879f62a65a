"""How nodes and weights lie in memory while a program runs.

A population that a convolution ends in is held channels last, so that the kernel of one spike adds
contiguous runs of channels. Everything else keeps C order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.registers import Shape
from deploy.connections import Connection, Conv2d, Dense, Sparse, expand
from deploy.program.program import Program

# A link, what the kernels need to know of a connection: see `Synapses.link`. They read it by name,
# since numba compiles again where a type changes, and not where a constant of another file does.
# Addresses, from "weights" on, and the bytes from one sample or step to the next, are of one run.
_ENTRIES = (
    "graded", "words", "source_size", "delay", "shift", "start", "width", "weights", "table",
    "bits", "bits_sample", "bits_step", "values", "values_sample", "values_step", "channels",
    "height", "columns", "last", "group_in", "group_out", "out", "out_columns", "kernel_y",
    "kernel_x", "kernel_step", "target_step_y", "target_step_x",
)  # fmt: skip
LINK = np.dtype([(name, np.int64) for name in _ENTRIES], align=True)


@dataclass(frozen=True)
class Layout:
    """Where the neurons of a node lie: in C order of its shape, or channels last of an image.

    image: (C, H, W) of as many neurons in the same order, whatever the shape; None for C order.
    """

    shape: Shape
    image: Shape | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(prod(self.shape))

    def inner(self, array: NDArray[Any]) -> NDArray[Any]:
        """[..., *shape] in C order as [..., size] as it lies."""
        leading = array.shape[: array.ndim - len(self.shape)]
        if self.image is not None:
            array = np.moveaxis(array.reshape(*leading, *self.image), -3, -1)
        return array.reshape(*leading, self.size)

    def outer(self, array: NDArray[Any]) -> NDArray[Any]:
        """[..., size] as it lies as [..., *shape] in C order: a view, but of an image reshaped."""
        leading = array.shape[:-1]
        if self.image is not None:
            channels, height, width = self.image
            array = np.moveaxis(array.reshape(*leading, height, width, channels), -1, -3)
        return array.reshape(*leading, *self.shape)

    def index(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Where the neurons of these numbers in C order lie."""
        if self.image is None:
            return flat
        area = self.image[1] * self.image[2]
        return flat % area * self.image[0] + flat // area


def layouts(program: Program) -> dict[str, Layout]:
    """The layout of every input and population: that of the first convolution that ends in it."""
    images: dict[str, Shape] = {}
    for c in program.connections:
        known = _KNOWN.get(type(c))
        if known is not None and known.images is not None:
            images.setdefault(c.target, known.images(c)[1])
    return {n.name: Layout(n.shape, images.get(n.name)) for n in program.sources}


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of a connection as the kernels read them: both arrays, and the link's part.

    kind: "rows", "listed" or "kernel". held: int16. Rows, of a dense connection: [source size,
    width / 2]; of 64 targets, weights halved, element i holds 256·(that of target 32 + i) + (that of
    target i) + 128. Others are shifted by an exponent that is not negative: the synapses of each
    source; or, for each source channel and kernel row, the kernel columns, of which those that a
    spike uses together lie together, and their target channels. link: its entries
    "shift" and, of a kernel, those from "channels" on.
    table: int32. Listed: first synapse of each source, then their targets. Kernel: for each source
    row, then for each source column: first kernel position, first target, number of taps.
    """

    kind: str
    held: NDArray[np.int16]
    table: NDArray[np.int32]
    link: dict[str, int]


_NO_TABLE = np.zeros(0, np.int32)


def kernel_form(c: Connection, source: Layout, target: Layout) -> Connection:
    """A connection as the kernels know it: itself, or the list of its synapses, as for a convolution
    over other images than those that its ends lie as."""
    known = _KNOWN.get(type(c))
    if known is None:
        return expand(c)
    if known.images is None:
        return c
    before, after = known.images(c)
    return c if source.image in (None, before) and target.image == after else expand(c)


def weights(c: Connection, source: Layout, target: Layout, width: int) -> Weights:
    """A connection's weights for the kernels (as `kernel_form`); width: of its target, padded."""
    return _KNOWN[type(c)].weights(c, source, target, width)


def _rows(c: Dense, source: Layout, target: Layout, width: int) -> Weights:
    halved = np.zeros((c.source_size, width), np.int16)
    halved[:, : c.target_size] = dense_matrix(c, source, target) >> 1
    blocks = halved.reshape(c.source_size, -1, 2, 32)
    rows = aligned((halved.size // 2,), np.int16)
    rows.reshape(blocks.shape[0], -1, 32)[...] = (blocks[:, :, 1] << 8) + blocks[:, :, 0] + 128
    return Weights("rows", rows, _NO_TABLE, {"shift": c.exponent + 1})


def _listed(c: Sparse, source: Layout, target: Layout, width: int) -> Weights:
    indptr, targets, weight = by_source(c, source, target)
    table = np.concatenate([indptr, targets]).astype(np.int32)
    held = (weight << max(c.exponent, 0)).astype(np.int16)
    return Weights("listed", held, table, {"shift": min(c.exponent, 0)})


def _kernel(c: Conv2d, source: Layout, target: Layout, width: int) -> Weights:
    link = {"shift": min(c.exponent, 0)} | _kernel_link(c, source.image is not None)
    table = np.concatenate([_axis(c, 0), _axis(c, 1)])
    held = _kernel_taps(c) << np.int16(max(c.exponent, 0))
    return Weights("kernel", held, table, link)


@dataclass(frozen=True)
class _Known:
    """How the kernels hold a kind: its weights, and the images that its ends are, where it needs them."""

    weights: Callable[[Any, Layout, Layout, int], Weights]
    images: Callable[[Any], tuple[Shape, Shape]] | None = None


_KNOWN: dict[type[Connection], _Known] = {
    Dense: _Known(_rows),
    Sparse: _Known(_listed),
    Conv2d: _Known(_kernel, lambda c: (c.source_shape, c.target_shape)),
}


def dense_matrix(c: Dense, source: Layout, target: Layout) -> NDArray[np.int32]:
    """The weights [source size, target size] in the order in which neurons lie."""
    there = source.inner(c.weight.reshape(-1, *source.shape))
    return target.inner(np.ascontiguousarray(there.T).reshape(-1, *target.shape))


def by_source(
    c: Sparse, source: Layout, target: Layout
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """(first synapse of each source [source size + 1], their targets, their weights)."""
    sources = source.index(c.indices.astype(np.int64))
    targets = target.index(np.repeat(np.arange(c.target_size), np.diff(c.indptr)))
    order = np.argsort(sources, kind="stable")
    numbers = np.bincount(sources, minlength=c.source_size)
    return np.concatenate([[0], np.cumsum(numbers)]), targets[order], c.weight[order]


def _kernel_link(c: Conv2d, last: bool) -> dict[str, int]:
    channels, height, columns = c.source_shape
    out, _, out_columns = c.target_shape
    step_y, step_x = (d // gcd(s, d) for s, d in zip(c.stride, c.dilation, strict=True))
    return {
        "channels": channels, "height": height, "columns": columns, "last": int(last),
        "group_in": c.weight.shape[1], "group_out": out // c.groups, "out": out,
        "out_columns": out_columns, "kernel_y": c.weight.shape[2], "kernel_x": c.weight.shape[3],
        "kernel_step": c.stride[0] // gcd(c.stride[0], c.dilation[0]),
        "target_step_y": step_y, "target_step_x": step_x,
    }  # fmt: skip


def _kernel_taps(c: Conv2d) -> NDArray[np.int16]:
    """int16 [source channels, kernel rows, kernel columns, target channels of the group], flat."""
    group_out = c.weight.shape[0] // c.groups
    w = c.weight.reshape(c.groups, group_out, *c.weight.shape[1:])
    # → [groups, channels of the group, kernel rows, kernel columns, target channels]
    w = w.transpose(0, 2, 3, 4, 1)[:, :, :, _column_order(c)]
    return w.astype(np.int16).reshape(-1)


def _column_order(c: Conv2d) -> list[int]:
    """Kernel columns such that those that one source uses lie together, their targets ascending."""
    step = c.stride[1] // gcd(c.stride[1], c.dilation[1])
    columns = range(c.weight.shape[3])
    return sorted(columns, key=lambda k: (k % step, -k))


def _axis(c: Conv2d, axis: int) -> NDArray[np.int32]:
    """(first kernel position, first target, taps) of each source row or column, targets ascending.

    A source i meets target o under kernel position k where o·stride + k·dilation = i + padding. The
    first position has the largest k; a column's is its place in `_column_order`.
    """
    stride, dilation, kernel = c.stride[axis], c.dilation[axis], c.weight.shape[2 + axis]
    targets, order = c.target_shape[1 + axis], _column_order(c)
    found = np.zeros((c.size[axis], 3), np.int32)
    for i in range(c.size[axis]):
        meets = [
            (k, (i + c.padding[axis] - k * dilation) // stride)
            for k in range(kernel)
            if (i + c.padding[axis] - k * dilation) % stride == 0
            and 0 <= i + c.padding[axis] - k * dilation < targets * stride
        ]
        if meets:
            k, first = meets[-1]
            found[i] = order.index(k) if axis else k, first, len(meets)
    return found.reshape(-1)


def address(array: NDArray[Any]) -> int:
    """Where an array begins; its `ctypes` takes ten times as long to say so."""
    found: int = array.__array_interface__["data"][0]
    return found


def aligned(shape: Shape, dtype: Any) -> NDArray[Any]:
    """Zeros that begin a cache line, as vectors do then: others take up to twice as long to read."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 63, np.uint8)
    first = -address(memory) % 64
    return memory[first : first + size].view(dtype).reshape(shape)
