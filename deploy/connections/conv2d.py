"""Convolutions: every target hears a window of an image through a kernel that all positions share.

A core stores the kernels of its output channels once, as rows without the targets' numbers; a chip
without shared kernels lists every synapse. Either way the whole kernel is stored: **every zero of a
kernel is performed**, but at the edge, where the padding sends nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.index_sets import Ints, distinct
from deploy.arithmetic.registers import IntArray, Shape, is_integer
from deploy.connections.connection import Connection, Heard, Stored, counted
from deploy.connections.exact_sums import Sums, in_blocks, in_exact_type
from deploy.connections.synapse_list import SynapseList, require_listable
from deploy.errors import BadInput

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Conv2d(Connection):
    """A convolution as torch.nn.functional.conv2d computes it (cross-correlation, zero padding).

    weight: int32 [C_out, C_in / groups, k_y, k_x], shared by all positions. size: (H, W) of the
    source, whose shape is (C_in, H, W), or another of as many neurons that is none of three
    dimensions: neurons are numbered in C order. stride, padding, dilation: (y, x). The target's shape is
    (C_out, H', W') with H' = (H + 2·padding − dilation·(k_y − 1) − 1) // stride + 1.
    """

    kind = "conv2d"
    pattern = "image"
    name: str
    source: str
    target: str
    weight: IntArray
    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    exponent: int = 0
    delay: int = 0

    @property
    def source_shape(self) -> tuple[int, int, int]:
        """(C_in, H, W)."""
        return self.weight.shape[1] * self.groups, *self.size

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """(C_out, H', W')."""
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                self.size,
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.stride,
                strict=True,
            )
        )
        return self.weight.shape[0], height, width

    @property
    def source_size(self) -> int:
        """Number of source neurons."""
        return prod(self.source_shape)

    @property
    def target_size(self) -> int:
        """Number of target neurons."""
        return prod(self.target_shape)

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse (BadInput) kernels and settings that are none, or that do not fit the populations."""

        def refuse(what: str) -> None:
            raise BadInput(f"node '{self.name}': {what}")

        if self.weight.ndim != 4 or 0 in self.weight.shape:
            refuse(
                f"weight of shape {self.weight.shape}, expected [C_out, C_in / groups, k_y, k_x]"
            )
        for field, least in (("size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            values: Sequence[int] = getattr(self, field)
            if not isinstance(values, tuple) or len(values) != 2:
                refuse(f"{field} is {values!r}, expected a pair (y, x)")
            if any(not is_integer(n) or not least <= n < 2**31 for n in values):
                refuse(f"{field} {values} is not a pair of integers from {least}")
        groups, outputs = self.groups, self.weight.shape[0]
        if not is_integer(groups) or groups < 1 or outputs % groups:
            refuse(f"groups {groups} do not divide the {outputs} output channels")
        if not _fits(self.source_shape, source):
            refuse(f"it reads the shape {self.source_shape}, '{self.source}' has {source}")
        if min(self.target_shape) < 1:
            refuse(f"its kernel is larger than the padded source: output shape {self.target_shape}")
        if not _fits(self.target_shape, target):
            refuse(f"it makes the shape {self.target_shape}, '{self.target}' has {target}")

    def describe(self) -> str:
        """The kernels' shape and every setting that is not the usual one."""
        said = ["conv2d " + " × ".join(map(str, self.weight.shape))]
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
            y, x = getattr(self, name)
            if (y, x) != (usual, usual):
                said.append(f"{name} {y}" if y == x else f"{name} {y} × {x}")
        return ", ".join(said if self.groups == 1 else [*said, f"groups {self.groups}"])

    def listed(self) -> SynapseList:
        """Rows in C order, within a row the sources in ascending order."""
        # With much padding this takes more memory than the number of synapses says.
        require_listable(self.name, self.target_size * self.weight[0].size)
        channels, inputs, area = self.weight.shape[0], self.weight.shape[1], prod(self.size)
        every = np.arange(prod(self.target_shape[1:]))
        # [positions, 1, kernel positions]
        position = np.stack([at for *_, at in seen(self, every)], axis=1)[:, None].astype(np.int32)
        inside = position >= 0
        used = np.broadcast_to(inside, (len(every), inputs, position.shape[2]))
        first = (np.arange(inputs, dtype=np.int32)[:, None] * area + position)[used]
        weights, sources = [], []
        for i in range(channels):
            group = i // (channels // self.groups)
            weights.append(np.broadcast_to(self.weight[i].reshape(inputs, -1), used.shape)[used])
            sources.append(first + np.int32(group * inputs * area))
        fans = np.tile(inside.sum(axis=(1, 2)) * inputs, channels)
        return SynapseList(
            np.concatenate(weights),
            np.concatenate(sources),
            np.concatenate([[0], np.cumsum(fans)]).astype(np.int32),
            self.source_size,
        )

    def sums(self, of: Callable[[IntArray], IntArray] | None = None) -> Sums:
        """One matrix product for each position of the kernel."""
        weight = self.weight if of is None else of(self.weight)
        # [k_y, k_x, groups, C_out / groups, C_in / groups], each tap's matrix in one piece for BLAS.
        each = weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(3, 4, 0, 1, 2)
        product = in_exact_type(each, self.fan_in(), lambda m, w: _tap_sums(self, m, w))
        return in_blocks(product, max(self.source_size, self.target_size))

    def synapse_count(self) -> int:
        """Kernels at every position, without what falls on the padding."""
        return prod(int(_fans(self, axis).sum()) for axis in (0, 1)) * prod(self.weight.shape[:2])

    def fan_in(self) -> int:
        """A kernel, less what falls on the padding wherever it is."""
        return prod(int(_fans(self, axis).max()) for axis in (0, 1)) * self.weight.shape[1]

    def target_fans(self) -> Ints:
        """A kernel, less what falls on the padding."""
        fans = np.outer(_fans(self, 0), _fans(self, 1)).reshape(-1) * self.weight.shape[1]
        return np.tile(fans, self.weight.shape[0])

    def heard(self, targets: Ints) -> Heard:
        """Counted at once for all channels that have targets at the same positions."""
        outputs, inputs, area = *self.weight.shape[:2], prod(self.size)
        channel, position = np.divmod(targets, prod(self.target_shape[1:]))
        positions = distinct(position, prod(self.target_shape[1:]))
        there = np.zeros((outputs, len(positions)), np.bool_)
        there[channel, np.searchsorted(positions, position)] = True
        at = np.stack([each for *_, each in seen(self, positions)])
        plane = distinct(at[at >= 0], area)
        # [2, groups, C_in / groups, source positions]: synapses of non-zero weight, and all.
        found = np.zeros((2, self.groups, inputs, len(plane)), np.int64)
        which = np.unique(np.packbits(there, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        for alike in (np.flatnonzero(which == i) for i in distinct(which[channel], outputs)):
            of_group = alike // (outputs // self.groups)
            groups = distinct(of_group, self.groups)
            members = (of_group == groups[:, None]).astype(np.float64)
            # [2, groups here, C_in / groups, kernel positions]: in how many of these channels.
            weight = self.weight[alike].reshape(len(alike), -1)
            both = np.stack([members @ (weight != 0), members @ np.ones_like(weight)])
            number = both.astype(np.int64).reshape(2, len(groups), inputs, -1)
            for k, each in enumerate(at[:, there[alike[0]]]):
                sources = np.searchsorted(plane, each[each >= 0])
                ends = np.ix_(np.arange(2), groups, np.arange(inputs), sources)
                found[ends] += number[..., k, None]
        group, channel, x = np.nonzero(found[1])
        effective, every = found[:, group, channel, x]
        return (group * inputs + channel) * area + plane[x], effective, every

    @property
    def members(self) -> int:
        """The channels of a group at one position are one class."""
        return self.weight.shape[1]

    def classes(self) -> Ints:
        """One for each group of channels and position."""
        area = prod(self.size)
        channel, position = np.divmod(np.arange(self.source_size), area)
        return channel // self.members * area + position

    def spread(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints]:
        """The windows of the positions that each part holds."""
        _, height, width = self.target_shape
        # Channels of a group at one position see the same sources.
        held = distinct(
            self._positions(targets) * parts + part, self.groups * height * width * parts
        )
        at, part = np.divmod(held, parts)
        group, position = np.divmod(at, height * width)
        (y, x), first = np.divmod(position, width), group * prod(self.size)
        # What a neighbour on the same part hears too is left to it: of a patch, all but its edge.
        rows, above = self._neighbours(held, y, 0, width * parts)
        columns, before = self._neighbours(held, x, 1, parts)
        alone = np.ones(len(held), np.bool_)
        left = [
            [np.flatnonzero(down & right) for right in (alone, ~before)] for down in (alone, ~above)
        ]
        keys = []
        for ky, kx in np.ndindex(*self.weight.shape[2:]):
            own = left[ky < self.weight.shape[2] - rows][kx < self.weight.shape[3] - columns]
            source = _source(self, y[own], x[own], ky, kx)
            keys.append(((first[own] + source) * parts + part[own])[source >= 0])
        found = np.divmod(distinct(np.concatenate(keys), self.class_count * parts), parts)
        return found[0], found[1]

    def _neighbours(
        self, held: Ints, along: Ints, axis: int, step: int
    ) -> tuple[int, NDArray[np.bool_]]:
        """(k, which targets have a neighbour that hears with the kernel's i + k what they hear with its i).

        held: position · parts + part of each target, ascending, position i + 1 of the axis `step`
        after i. along: the position of each on the axis. A neighbour is on the same part.
        """
        stride, dilation = self.stride[axis], self.dilation[axis]
        common = gcd(stride, dilation)
        if stride // common >= self.weight.shape[2 + axis]:  # no two windows share a source
            return stride // common, np.zeros(len(held), np.bool_)
        away = dilation // common
        other = held - away * step
        found = (held[np.searchsorted(held, other)] == other) & (along >= away)
        return stride // common, found

    def lists(self, targets: Ints, part: Ints, parts: int) -> tuple[Ints, Ints, Ints]:
        """The same, with how often each window has the source."""
        return counted(self._keys(self._positions(targets), part, parts), parts)

    def stored(self, targets: Ints, part: Ints, parts: int, shared_kernels: bool) -> Stored:
        """The kernels of the output channels of a part once, a list for each input channel."""
        if not shared_kernels:
            return super().stored(targets, part, parts, shared_kernels)
        outputs, _, *kernel = self.weight.shape
        channel = targets // (self.target_size // outputs)
        part, channel = np.divmod(distinct(part * outputs + channel, parts * outputs), outputs)
        group = channel // (outputs // self.groups)
        held = np.bincount(part * self.groups + group, minlength=parts * self.groups)
        on = np.arange(parts * self.groups) // self.groups
        return Stored(on, held * prod(kernel), self.members, indexed=False)

    def _positions(self, targets: Ints) -> Ints:
        """group · positions + position of each target."""
        outputs, height, width = self.target_shape
        if self.groups == 1:
            return targets % (height * width)
        channel, position = np.divmod(targets, height * width)
        return channel // (outputs // self.groups) * (height * width) + position

    def _keys(self, at: Ints, part: Ints, parts: int) -> Ints:
        """class · parts + part for every kernel position of targets (as `_positions`)."""
        group, position = np.divmod(at, prod(self.target_shape[1:]))
        first = group * prod(self.size)
        return np.concatenate(
            [
                ((first + sources) * parts + part)[sources >= 0]
                for *_, sources in seen(self, position)
            ]
        )


def seen(c: Conv2d, position: Ints) -> Iterator[tuple[int, int, Ints]]:
    """(k_y, k_x, source positions) of each kernel position for targets at these; −1 on the padding."""
    y, x = np.divmod(position, c.target_shape[2])
    for ky, kx in np.ndindex(*c.weight.shape[2:]):
        yield ky, kx, _source(c, y, x, ky, kx)


def _source(c: Conv2d, y: Ints, x: Ints, ky: int, kx: int) -> Ints:
    """The source positions that targets at (y, x) hear with one position of the kernel; −1 on the padding."""
    height, width = c.size
    from_y = y * c.stride[0] + (ky * c.dilation[0] - c.padding[0])
    from_x = x * c.stride[1] + (kx * c.dilation[1] - c.padding[1])
    real = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    return np.where(real, from_y * width + from_x, -1)


def taps(c: Conv2d) -> Iterator[tuple[int, int, slice, slice, slice, slice]]:
    """(k_y, k_x, target rows, target columns, source rows, source columns) of each kernel position.

    As `seen` for whole frames, for sums: only those targets whose source is not padding, and only
    kernel positions that have any.
    """
    _, height, width = c.target_shape
    for ky in range(c.weight.shape[2]):
        ys, from_ys = _inside(c.size[0], height, c.stride[0], ky * c.dilation[0] - c.padding[0])
        for kx in range(c.weight.shape[3]):
            xs, from_xs = _inside(c.size[1], width, c.stride[1], kx * c.dilation[1] - c.padding[1])
            if ys.stop > ys.start and xs.stop > xs.start:
                yield ky, kx, ys, xs, from_ys, from_xs


def sum_pool(
    name: str,
    source: str,
    target: str,
    shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = (0, 0),
    weight: int = 2,
    **more: int,
) -> Conv2d:
    """The sum over windows of each channel, times `weight`, as a convolution with a group a channel.

    shape: (C, H, W) of the source. stride: `kernel` where none is given. more: exponent, delay.
    Average pooling is the same: scale the target's threshold and biases by window · weight instead
    of dividing the sum, which would round it.
    """
    weights = np.full((shape[0], 1, *kernel), weight, np.int32)
    return Conv2d(
        name, source, target, weights, shape[1:], stride or kernel, padding, (1, 1), shape[0], **more
    )  # fmt: skip


def _fits(image: Shape, shape: Shape) -> bool:
    """Whether neurons of a shape are those of an image, as they are or numbered in C order."""
    return image == shape if len(shape) == 3 else prod(image) == prod(shape)


def _fans(c: Conv2d, axis: int) -> Ints:
    """How many rows (axis 0) or columns (1) of the kernel are on the image, for each target row or column."""
    step, reach = c.stride[axis], c.dilation[axis]
    shift = c.padding[axis] - np.arange(c.target_shape[1 + axis]) * step
    first = np.maximum(-(-shift // reach), 0)
    last = np.minimum((c.size[axis] - 1 + shift) // reach, c.weight.shape[2 + axis] - 1)
    return np.maximum(last - first + 1, 0)


def _inside(size: int, targets: int, stride: int, shift: int) -> tuple[slice, slice]:
    """The targets i with 0 ≤ i·stride + shift < size, and these sources."""
    first = max(0, -(shift // stride))
    last = min(targets - 1, (size - 1 - shift) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + shift
    return slice(first, last + 1), slice(start, last * stride + shift + 1, stride)


def _tap_sums(c: Conv2d, messages: NDArray, weight: NDArray) -> NDArray:
    """messages: [samples, source size]; weight: [k_y, k_x, groups, C_out / groups, C_in / groups]."""
    samples, (_, height, width) = len(messages), c.target_shape
    source = messages.reshape(samples, c.groups, -1, *c.size)
    sums = np.zeros((samples, c.groups, weight.shape[3], height, width), messages.dtype)
    for ky, kx, ys, xs, from_ys, from_xs in taps(c):
        from_there = source[..., from_ys, from_xs]
        flat = from_there.reshape(*from_there.shape[:3], -1)
        added = np.matmul(weight[ky, kx], flat)
        sums[..., ys, xs] += added.reshape(*added.shape[:3], *from_there.shape[3:])
    return sums.reshape(samples, -1)
