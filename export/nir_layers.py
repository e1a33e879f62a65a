"""NIR's synaptic nodes (Linear, Affine, Conv2d, pooling) as weights, shapes and connections."""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.connections import Pair
from deploy.errors import BadInput
from deploy.program import Connection, Conv2d, Dense, Shape

Float = NDArray[np.float64]

POOLS = (nir.SumPool2d, nir.AvgPool2d)
SYNAPSES = (nir.Linear, nir.Affine, nir.Conv2d, *POOLS)


def layer_weight(name: str, node: Any, source: Shape | None) -> Float:
    """The weights of a node: dense [targets, sources], or a kernel [C_out, C_in / groups, k_y, k_x].

    Pooling is a kernel of ones, or of 1 / its area, a group for each channel. Raises BadInput where
    the shape (C, H, W) before a pooling node is not known.
    """
    if not isinstance(node, POOLS):
        return np.asarray(node.weight, np.float64)
    channels = _image(name, source)[0]
    kernel = _pair(name, "kernel_size", node.kernel_size)
    value = 1.0 if isinstance(node, nir.SumPool2d) else 1.0 / (kernel[0] * kernel[1])
    return np.full((channels, 1, *kernel), value)


def layer_shape(name: str, node: Any, weight: Float, source: Shape | None) -> Shape:
    """The shape of the neurons after a node. NIR does not always say it, so it is worked out here."""
    if isinstance(node, nir.Linear | nir.Affine):
        return (int(weight.shape[0]),)
    made = connection(name, node, "", "", weight.astype(np.int32), source)
    assert isinstance(made, Conv2d)
    if min(made.target_shape) < 1:
        raise BadInput(f"node '{name}': its kernel is larger than the padded {source} before it")
    return made.target_shape


def connection(
    name: str, node: Any, source: str, target: str, weight: NDArray[np.int32], shape: Shape | None
) -> Connection:
    """The connection of a node with integer weights; shape: of its source."""
    if isinstance(node, nir.Linear | nir.Affine):
        return Dense(name, source, target, weight)
    channels, height, width = _image(name, shape)
    if weight.ndim != 4:
        raise BadInput(f"node '{name}': weight of shape {weight.shape}, expected four dimensions")
    pooled = isinstance(node, POOLS)
    dilation = (1, 1) if pooled else _pair(name, "dilation", node.dilation)
    groups = channels if pooled else int(node.groups)
    stated = None if pooled else node.input_shape
    if stated is not None and tuple(int(n) for n in stated) != (height, width):
        raise BadInput(
            f"node '{name}': input_shape {tuple(stated)}, the node before it has {(height, width)}"
        )
    stride = _pair(name, "stride", node.stride)
    padding = _padding(name, node.padding, weight.shape[2:], stride, dilation)
    return Conv2d(
        name, source, target, weight, (height, width), stride, padding, dilation, groups
    )  # fmt: skip


def _image(name: str, shape: Shape | None) -> tuple[int, int, int]:
    if shape is None or len(shape) != 3:
        found = "is not known" if shape is None else f"is {shape}"
        raise BadInput(f"node '{name}': the shape before it {found}, expected (C, H, W)")
    return shape[0], shape[1], shape[2]


def _pair(name: str, field: str, value: Any) -> Pair:
    values = np.atleast_1d(np.asarray(value))
    if values.size not in (1, 2) or (values != np.rint(values)).any():
        raise BadInput(f"node '{name}': {field} is {value}, expected one or two integers")
    return int(values[0]), int(values[-1])


def _padding(name: str, value: Any, kernel: tuple[int, ...], stride: Pair, dilation: Pair) -> Pair:
    if not isinstance(value, str):
        return _pair(name, "padding", value)
    if value == "valid":
        return 0, 0
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if stride != (1, 1) or any(n % 2 for n in total):
        raise BadInput(
            f"node '{name}': padding 'same' needs stride 1 and as much on both sides; "
            f"stride is {stride}, {tuple(total)} are to be shared"
        )
    return total[0] // 2, total[1] // 2
