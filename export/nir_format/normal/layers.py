"""NIR's linear nodes (dense, convolution, pooling, scale, flatten) as shapes and float operators."""

from math import prod
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.connections import Pair
from deploy.errors import BadInput
from deploy.program.program import Shape
from export.nir_format.normal.inline import Wire
from neuroclip.linear.maps import MAX_WEIGHTS, Convolution, Dense, Operator, diagonal

Float = NDArray[np.float64]

CONVOLUTIONS = (nir.Conv1d, nir.Conv2d)
POOLS = (nir.SumPool2d, nir.AvgPool2d)
LAYERS = (
    nir.Linear, nir.Affine, nir.Scale, nir.Flatten, nir.Delay, Wire, *CONVOLUTIONS, *POOLS,
)  # fmt: skip

MAX_NEURONS = 1 << 22
"""Values of one node at most: a hostile file says such things with one large padding."""


# Squares and sums of values up to here are numbers; no time constant or weight comes near it.
_LARGEST = 1e30


def layer(name: str, node: Any, source: Shape) -> tuple[Operator | None, Shape]:
    """(what a node computes on flat arrays, None where it changes nothing; the shape after it).

    A delay changes nothing here. Raises BadInput naming the node and the value that does not fit.
    """
    if isinstance(node, nir.Linear | nir.Affine):
        weight = _weight(name, node.weight, 2)
        if weight.shape[1] != prod(source):
            raise BadInput(
                f"node '{name}': weight of shape {weight.shape} reads {weight.shape[1]} values, the "
                f"shape before it is {source}"
            )
        return Dense(weight), (weight.shape[0],)
    if isinstance(node, nir.Scale):
        return diagonal(spread(name, "scale", node.scale, source)), source
    if isinstance(node, nir.Flatten):
        return None, _flattened(name, node, source)
    if isinstance(node, nir.Delay | Wire):
        return None, source
    op = _convolution(name, node, source)
    target = op.target_shape
    if min(target) < 1:
        raise BadInput(f"node '{name}': its kernel is larger than the padded {source} before it")
    if prod(target) > MAX_NEURONS:
        raise BadInput(f"node '{name}': its shape {target} has more than {MAX_NEURONS} values")
    return op, (target[0], target[2]) if isinstance(node, nir.Conv1d) else target


def layer_bias(name: str, node: Any, shape: Shape) -> Float | None:
    """The bias that a node adds, float64 [size after it], or None where that is nothing."""
    if getattr(node, "bias", None) is None:
        return None
    bias = numbers(name, "bias", node.bias)
    if not bias.any():
        return None
    if isinstance(node, CONVOLUTIONS) and bias.size == shape[0]:
        bias = bias.reshape(-1, *(1,) * (len(shape) - 1))
    return spread(name, "bias", bias, shape).reshape(-1)


def numbers(name: str, field: str, value: Any, *, infinite: bool = False) -> Float:
    """A node's parameter as float64. Raises BadInput where it is no array of finite numbers.

    infinite: the values may be +inf too, as the time constant of a neuron without leak is.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise BadInput(f"node '{name}': {field} has type {array.dtype}, expected numbers")
    found = array.astype(np.float64)
    allowed = np.isfinite(found) | (infinite & np.isposinf(found))
    if not allowed.all():
        raise BadInput(f"node '{name}': {field} holds {found[~allowed].flat[0]}")
    large = (np.abs(found) > _LARGEST) & np.isfinite(found)
    if large.any():
        worst = found[large].flat[0]
        raise BadInput(f"node '{name}': {field} holds {worst}, no value is beyond ±{_LARGEST}")
    return found


def spread(name: str, field: str, value: Any, shape: Shape, *, infinite: bool = False) -> Float:
    """A parameter as float64 [*shape]: one for all, one each in any shape, as numpy broadcasts, or,
    with one dimension, one for each channel."""
    values = numbers(name, field, value, infinite=infinite)
    if values.size == prod(shape):
        return values.reshape(shape)
    spreads = spreadable(values.shape, shape)
    if spreads is None:
        raise BadInput(
            f"node '{name}': {field} has {values.size} values for {prod(shape)} neurons"
            + _ambiguous(values.shape, shape)
        )
    return np.broadcast_to(values.reshape(spreads), shape)


def spreadable(values: Shape, shape: Shape) -> Shape | None:
    """The shape in which a parameter's values broadcast to neurons of a shape; None where they do not.

    NIR's own parameters have the shape of their node; one for all and, of an image, one a channel,
    as (C,) or (C, 1, 1), are what other tools leave for torch to broadcast. Torch would spread (W,)
    over columns, so that (C,) says nothing certain where W = C.
    """
    if prod(values) == 1:
        return ()
    if len(values) == len(shape) and all(n in (1, m) for n, m in zip(values, shape, strict=True)):
        return values
    if len(values) == 1 and len(shape) > 1 and values[0] == shape[0] != shape[-1]:
        return (*values, *(1,) * (len(shape) - 1))
    return None


def _ambiguous(values: Shape, shape: Shape) -> str:
    if len(values) == 1 and len(shape) > 1 and values[0] == shape[0]:
        axes = (*values, *(1,) * (len(shape) - 1))
        return f" of shape {shape}, one a channel or one a column; give it the shape {axes}"
    return ""


def _weight(name: str, value: Any, dimensions: int) -> Float:
    size = np.asarray(value).size
    if size > MAX_WEIGHTS:
        raise BadInput(f"node '{name}': {size} weights exceed the {MAX_WEIGHTS} of one connection")
    weight = numbers(name, "weight", value)
    if weight.ndim != dimensions or 0 in weight.shape:
        raise BadInput(
            f"node '{name}': weight of shape {weight.shape}, expected {dimensions} dimensions"
        )
    return weight


def _flattened(name: str, node: nir.Flatten, source: Shape) -> Shape:
    """Neurons are numbered in C order, so that flattening changes nothing but the shape."""
    rank = len(source)
    start, end = (
        _integers(name, field, getattr(node, field), 1, -rank)[0]
        for field in ("start_dim", "end_dim")
    )
    first, last = start % rank, end % rank
    if start >= rank or end >= rank or first > last:
        raise BadInput(f"node '{name}': dimensions {start}..{end} of the shape {source} are none")
    return (*source[:first], prod(source[first : last + 1]), *source[last + 1 :])


def _convolution(name: str, node: Any, source: Shape) -> Convolution:
    line = isinstance(node, nir.Conv1d)
    if len(source) != (2 if line else 3):
        expected = "(C, L)" if line else "(C, H, W)"
        raise BadInput(f"node '{name}': the shape before it is {source}, expected {expected}")
    size = (1, source[1]) if line else (source[1], source[2])
    if isinstance(node, POOLS):
        kernel = _pair(name, "kernel_size", node.kernel_size, 1)
        value = 1.0 if isinstance(node, nir.SumPool2d) else 1.0 / prod(kernel)
        if source[0] * prod(kernel) > MAX_WEIGHTS:
            raise BadInput(f"node '{name}': kernel_size {kernel} is larger than any layer")
        weight, groups = np.full((source[0], 1, *kernel), value), source[0]
        dilation = (1, 1)
    else:
        weight = _weight(name, node.weight, 3 if line else 4)
        weight = weight[:, :, None] if line else weight
        groups = _integers(name, "groups", node.groups, 1, 1)[0]
        dilation = _pair(name, "dilation", node.dilation, 1, line)
        if weight.shape[0] % groups:
            raise BadInput(
                f"node '{name}': groups {groups} do not divide the {weight.shape[0]} output channels"
            )
        if weight.shape[1] * groups != source[0]:
            raise BadInput(
                f"node '{name}': it reads {weight.shape[1] * groups} channels, the shape before it "
                f"is {source}"
            )
        _check_input_shape(name, node.input_shape, source)
    stride = _pair(name, "stride", node.stride, 1, line)
    padding = _padding(name, node.padding, weight.shape[2:], stride, dilation, line)
    return Convolution(weight, size, stride, padding, dilation, groups)


def _check_input_shape(name: str, stated: Any, source: Shape) -> None:
    if stated is None:
        return
    found = tuple(_integers(name, "input_shape", stated, len(source) - 1, 1))
    if found != source[1:]:
        raise BadInput(f"node '{name}': input_shape {found}, the node before it has {source[1:]}")


def _integers(name: str, field: str, value: Any, most: int, least: int) -> list[int]:
    """`most` integers from `least`, or one for all of them."""
    values = np.atleast_1d(np.asarray(value)).reshape(-1)
    if (
        values.size not in (1, most)
        or values.dtype.kind not in "biuf"
        or not (np.abs(values.astype(np.float64)) < 2**31).all()
        or (values != np.rint(values)).any()
    ):
        count = "an integer" if most == 1 else "one or two integers"
        raise BadInput(f"node '{name}': {field} is {_shown(value)}, expected {count}")
    if (values < least).any():
        raise BadInput(f"node '{name}': {field} is {_shown(value)}, expected at least {least}")
    return [int(n) for n in np.broadcast_to(values, most)]


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:60]


def _pair(name: str, field: str, value: Any, least: int, line: bool = False) -> Pair:
    """(y, x); of a convolution over a line, which is an image of height 1, one number for x."""
    if line:
        return (least, _integers(name, field, value, 1, least)[0])
    y, x = _integers(name, field, value, 2, least)
    return y, x


def _padding(
    name: str, value: Any, kernel: tuple[int, ...], stride: Pair, dilation: Pair, line: bool
) -> Pair:
    if not isinstance(value, str):
        return _pair(name, "padding", value, 0, line)
    if value == "valid":
        return 0, 0
    if value != "same":
        raise BadInput(f"node '{name}': padding {value[:60]!r}, expected 'same' or 'valid'")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if stride != (1, 1) or any(n % 2 for n in total):
        raise BadInput(
            f"node '{name}': padding 'same' needs stride 1 and as much on both sides; "
            f"stride is {stride}, {tuple(total)} are to be shared"
        )
    return total[0] // 2, total[1] // 2
