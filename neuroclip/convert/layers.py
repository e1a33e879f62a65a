"""Linear layers of torch composed into one convolution or one matrix, exactly as real functions.

Between two populations a chip has one set of synapses. Pooling before or after a convolution, batch
normalisation after it and flattening before a matrix are folded into it here.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.errors import BadInput

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Operator:
    """y = W·x + bias from messages of shape `source` to sums of shape `target`.

    weight: [out, in], or [C_out, C_in / groups, k_y, k_x] with stride, padding, dilation and groups;
    None where y = x. bias: [out] or [C_out]. pools: it is a pooling of its channels.
    """

    source: Shape
    target: Shape
    weight: Tensor | None = None
    bias: Tensor | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pools: bool = False

    @property
    def convolves(self) -> bool:
        """True for a convolution."""
        return self.weight is not None and self.weight.ndim == 4


def identity(shape: Shape) -> Operator:
    """y = x."""
    return Operator(shape, shape)


def followed(name: str, before: Operator, module: nn.Module) -> Operator:
    """`module` after `before`. Raises BadInput naming what cannot be one set of synapses."""
    if isinstance(module, nn.Flatten):
        return _flattened(name, before, module)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _normalised(name, before, module)
    if isinstance(module, nn.Linear):
        return _multiplied(name, before, module)
    if isinstance(module, nn.AvgPool2d):
        return _chained(name, before, _pooling(name, module, before.target))
    if isinstance(module, nn.Conv2d):
        return _chained(name, before, _convolution(name, module, before.target))
    raise BadInput(
        f"module '{name}': {type(module).__name__} is not supported; expected Linear, Conv2d, "
        "AvgPool2d, MaxPool2d after a neuron, BatchNorm, Flatten, Dropout, Identity or a neuron"
    )


def pair(value: Any) -> Pair:
    """One number or two as (y, x)."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _flattened(name: str, before: Operator, module: nn.Flatten) -> Operator:
    if module.start_dim != 1 or module.end_dim != -1:
        raise BadInput(
            f"module '{name}': Flatten({module.start_dim}, {module.end_dim}) is not supported; "
            "expected Flatten(1, -1)"
        )
    return replace(before, target=(prod(before.target),))


def _convolution(name: str, module: nn.Conv2d, source: Shape) -> Operator:
    if isinstance(module.padding, str):
        extra = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if module.padding == "same" and any(n % 2 for n in extra):
            raise BadInput(f"module '{name}': padding 'same' differs between the two sides")
        padding = (0, 0) if module.padding == "valid" else (extra[0] // 2, extra[1] // 2)
    else:
        padding = pair(module.padding)
    if module.padding_mode != "zeros" and padding != (0, 0):
        raise BadInput(f"module '{name}': padding_mode '{module.padding_mode}'; only zeros exist")
    weight = module.weight.detach()
    made = Operator(
        source, source, weight, None if module.bias is None else module.bias.detach(),
        pair(module.stride), padding, pair(module.dilation), module.groups,
    )  # fmt: skip
    return _shaped(name, made)


def _pooling(name: str, module: nn.AvgPool2d, source: Shape) -> Operator:
    if module.ceil_mode or module.divisor_override or not module.count_include_pad:
        raise BadInput(
            f"module '{name}': ceil_mode, divisor_override and count_include_pad=False are not "
            "supported"
        )
    if len(source) != 3:
        raise BadInput(f"module '{name}': it reads the shape {source}, expected (C, H, W)")
    kernel = pair(module.kernel_size)
    weight = torch.full((source[0], 1, *kernel), 1 / prod(kernel))
    stride = pair(kernel if module.stride is None else module.stride)
    return _shaped(
        name,
        Operator(
            source, source, weight, None, stride, pair(module.padding), (1, 1), source[0], True
        ),
    )


def _shaped(name: str, made: Operator) -> Operator:
    """The operator with the shape that it makes."""
    assert made.weight is not None
    channels = made.weight.shape[1] * made.groups
    if len(made.source) != 3 or made.source[0] != channels:
        raise BadInput(
            f"module '{name}': it reads the shape {made.source}, expected ({channels}, H, W)"
        )
    with torch.no_grad():
        image = torch.zeros(1, *made.source, device="meta")
        try:
            out = functional.conv2d(
                image, made.weight.to("meta"), None, made.stride, made.padding, made.dilation, made.groups
            )  # fmt: skip
        except RuntimeError as error:
            raise BadInput(
                f"module '{name}': its kernel {tuple(made.weight.shape[2:])} is larger than the padded "
                f"{made.source} before it"
            ) from error
    return replace(made, target=tuple(out.shape[1:]))


def _normalised(name: str, before: Operator, module: nn.BatchNorm1d | nn.BatchNorm2d) -> Operator:
    if before.weight is None:
        raise BadInput(
            f"module '{name}': {type(module).__name__} has no layer before it to fold into"
        )
    if module.running_mean is None or module.running_var is None:
        raise BadInput(f"module '{name}': it keeps no running statistics")
    channels = before.target[0]
    if module.num_features != channels:
        raise BadInput(f"module '{name}': {module.num_features} features, {channels} come in")
    gain = 1 / torch.sqrt(module.running_var + module.eps)
    shift = -module.running_mean * gain
    if module.affine:
        gain, shift = gain * module.weight, shift * module.weight + module.bias
    bias = torch.zeros(channels) if before.bias is None else before.bias
    weight = before.weight * gain.reshape(-1, *[1] * (before.weight.ndim - 1))
    return replace(before, weight=weight.detach(), bias=(bias * gain + shift).detach(), pools=False)


def _multiplied(name: str, before: Operator, module: nn.Linear) -> Operator:
    size = prod(before.target)
    if len(before.target) != 1 or size != module.in_features:
        raise BadInput(
            f"module '{name}': it reads the shape {before.target}, expected ({module.in_features},)"
        )
    weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
    target = (module.out_features,)
    if before.weight is None:
        return Operator(before.source, target, weight, bias)
    own = before.bias
    if own is not None:
        # One bias for every position of a channel.
        own = own.repeat_interleave(size // len(own))
        bias = weight @ own + (0 if bias is None else bias)
    if not before.convolves:
        return Operator(before.source, target, weight @ before.weight, bias)
    images = _shaped(name, replace(before, target=before.source)).target
    moved = [
        size - ((n - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, n, s, p, d, k in zip(
            before.source[1:], images[1:], before.stride, before.padding, before.dilation,
            before.weight.shape[2:], strict=True,
        )
    ]  # fmt: skip
    # What each output reads through the convolution: the transposed convolution of its row.
    rows = functional.conv_transpose2d(
        weight.unflatten(1, images), before.weight, None, before.stride, before.padding,
        tuple(moved), before.groups, before.dilation,
    )  # fmt: skip
    return Operator(before.source, target, rows.flatten(1), bias)


def _chained(name: str, before: Operator, after: Operator) -> Operator:
    """Two convolutions, one of which pools, as one."""
    if before.weight is None:
        return after
    if not before.convolves or not (before.pools or after.pools):
        raise BadInput(f"module '{name}': two layers without a neuron between them")
    assert after.weight is not None
    # Zeros that pad what lies between are zeros of the composed kernel only where every window
    # beyond the edge lies wholly beyond it.
    whole = all(
        k <= s and p == 0 and n % s == 0
        for k, s, p, n in zip(
            before.weight.shape[2:], before.stride, before.padding, before.source[1:], strict=True
        )
    )
    if after.padding != (0, 0) and (not whole or before.bias is not None):
        raise BadInput(
            f"module '{name}': its padding cannot be composed with the layer before it; put a neuron "
            "between them"
        )
    stride = _times(before.stride, after.stride)
    padding = (
        before.padding[0] + after.padding[0] * before.stride[0],
        (before.padding[1] + after.padding[1] * before.stride[1]),
    )
    if before.pools:
        box = before.weight[:1]
        flat = after.weight.flatten(0, 1)[:, None]
        steps = _times(before.stride, after.dilation)
        kernel = functional.conv_transpose2d(flat, box, None, steps)
        weight = kernel.unflatten(0, tuple(after.weight.shape[:2]))[:, :, 0]
        made = replace(after, source=before.source, weight=weight, dilation=(1, 1))
        made = replace(made, stride=stride, padding=padding, pools=after.pools)
    else:
        spread = _dilated(before.weight, before.dilation)
        box = after.weight[:1]
        kernel = functional.conv_transpose2d(box, spread.flatten(0, 1)[None], None, before.stride)
        weight = kernel[0].unflatten(0, tuple(spread.shape[:2]))
        made = replace(before, target=after.target, weight=weight, dilation=(1, 1))
        made = replace(made, stride=stride, padding=padding)
    return made


def _times(a: Pair, b: Pair) -> Pair:
    return a[0] * b[0], a[1] * b[1]


def _dilated(weight: Tensor, dilation: Pair) -> Tensor:
    if dilation == (1, 1):
        return weight
    size = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    spread = torch.zeros(*weight.shape[:2], *size)
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    return spread
