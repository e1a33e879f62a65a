"""Torch's linear layers as maps of `neuroclip.linear`: what a module does after what lies before it."""

from math import prod

import numpy as np
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.linear.affine import (
    Affine,
    Pair,
    average,
    channelwise,
    convolution,
    followed,
    matrix,
    pair,
)
from neuroclip.linear.batch_norm import affine
from neuroclip.linear.maps import Float


def applied(name: str, before: Affine, module: nn.Module) -> Affine:
    """`module` after `before`. Raises BadInput naming what cannot be one set of synapses."""
    return followed(name, before, _layer(name, module, before.target))


def _layer(name: str, module: nn.Module, source: Shape) -> Affine:
    if isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            raise BadInput(
                f"module '{name}': Flatten({module.start_dim}, {module.end_dim}) is not supported; "
                "expected Flatten(1, -1)"
            )
        return Affine(source, (prod(source),))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.running_mean is None or module.running_var is None:
            raise BadInput(f"module '{name}': it keeps no running statistics")
        mean, variance = array(module.running_mean), array(module.running_var)
        weight = array(module.weight) if module.affine else np.ones_like(mean)
        bias = array(module.bias) if module.affine else np.zeros_like(mean)
        return channelwise(name, *affine(weight, bias, mean, variance, module.eps), source)
    if isinstance(module, nn.Linear):
        return matrix(name, array(module.weight), _bias(module.bias), source)
    if isinstance(module, nn.AvgPool2d):
        if module.ceil_mode or module.divisor_override or not module.count_include_pad:
            raise BadInput(
                f"module '{name}': ceil_mode, divisor_override and count_include_pad=False are not "
                "supported"
            )
        kernel = pair(module.kernel_size)
        stride = kernel if module.stride is None else pair(module.stride)
        return average(name, source, kernel, stride, pair(module.padding))
    if isinstance(module, nn.Conv2d):
        return convolution(
            name, array(module.weight), _bias(module.bias), source, pair(module.stride),
            _padding(name, module), pair(module.dilation), module.groups,
        )  # fmt: skip
    raise BadInput(
        f"module '{name}': {type(module).__name__} is not supported; expected Linear, Conv2d, "
        "AvgPool2d, MaxPool2d after a neuron, BatchNorm, Flatten, Dropout, Identity or a neuron"
    )


def array(values: Tensor) -> Float:
    """A tensor in float64."""
    return values.detach().cpu().numpy().astype(np.float64)


def _bias(values: Tensor | None) -> Float | None:
    return None if values is None else array(values)


def _padding(name: str, module: nn.Conv2d) -> Pair:
    if isinstance(module.padding, str):
        extra = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if module.padding == "same" and any(n % 2 for n in extra):
            raise BadInput(f"module '{name}': padding 'same' differs between the two sides")
        padding = (0, 0) if module.padding == "valid" else (extra[0] // 2, extra[1] // 2)
    else:
        padding = pair(module.padding)
    if module.padding_mode != "zeros" and padding != (0, 0):
        raise BadInput(f"module '{name}': padding_mode '{module.padding_mode}'; only zeros exist")
    return padding
