"""A convolution in integers, for frames whose synapses are too many to list one by one in Lava.

It shares no code with `deploy.connections`, whose results it is to check.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deploy.connections import Conv2d, Pair


@dataclass(frozen=True, eq=False)
class Convolution:
    """What a convolution computes, as numbers and one array: it is sent to Lava's process.

    weight: int32 [C_out, C_in / groups, k_y, k_x]; the rest as of `deploy.connections.Conv2d`.
    """

    weight: NDArray[np.int32]
    source_shape: tuple[int, int, int]
    target_shape: tuple[int, int, int]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    exponent: int

    @property
    def source_size(self) -> int:
        """Number of source neurons."""
        return int(np.prod(self.source_shape))

    @property
    def target_size(self) -> int:
        """Number of target neurons."""
        return int(np.prod(self.target_shape))


def convolution(c: Conv2d) -> Convolution:
    """What `convolve` needs to know of a connection."""
    return Convolution(
        c.weight, c.source_shape, c.target_shape, c.stride, c.padding, c.dilation, c.groups, c.exponent
    )  # fmt: skip


def convolve(c: Convolution, messages: NDArray[np.int32] | NDArray[np.bool_]) -> NDArray[np.int32]:
    """The sums of one step under the weight exponent: messages [source size] → int32 [target size].

    Windows of the padded frame, dilated and strided, times the kernels of their group: a matrix
    product of float64, in which every partial sum is exact (|message| < 2^31, |weight| ≤ 254 and
    fewer than 2^14 synapses a neuron stay below 2^53), else of int64.
    """
    frame = messages.reshape(c.source_shape)
    frame = np.pad(frame, ((0, 0), *((n, n) for n in c.padding)))
    height, width = c.weight.shape[2:]
    reach = tuple((k - 1) * d + 1 for k, d in zip((height, width), c.dilation, strict=True))
    view: Any = sliding_window_view  # numpy's annotations know one axis only
    windows = view(frame, reach, axis=(1, 2))  # [C_in, y, x, reach y, reach x]
    windows = windows[:, :: c.stride[0], :: c.stride[1], :: c.dilation[0], :: c.dilation[1]]
    exact = np.float64 if c.weight[0].size < 2**14 else np.int64
    _, ys, xs = c.target_shape
    inputs = c.weight.shape[1]
    sums = []
    for group, kernels in enumerate(np.split(c.weight, c.groups)):
        seen = windows[group * inputs : (group + 1) * inputs].transpose(0, 3, 4, 1, 2)
        columns = seen.reshape(inputs * height * width, ys * xs).astype(exact)
        sums.append(kernels.reshape(len(kernels), -1).astype(exact) @ columns)
    total = np.concatenate(sums).reshape(-1).astype(np.int64)
    total = total << c.exponent if c.exponent > 0 else total >> -c.exponent
    return total.astype(np.int32)
