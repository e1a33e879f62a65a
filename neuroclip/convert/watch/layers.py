"""The linear layers of torch: what rows they read, and with which weights.

A layer's call is labelled as `Layered`: rows of inputs, each of which gives a row of sums. A product with
a constant matrix is one too, in whatever order of axes it is written.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroclip.convert.watch.labels import Layered, Watch

Arguments = tuple[Any, ...]
Named = dict[str, Any]
Rule = Callable[[Watch, Arguments, Named, Tensor], bool]
"""Labels what an operation made of its arguments; False where it cannot."""


def picked(
    args: Arguments, named: Mapping[str, Any], place: int, name: str, default: Any = None
) -> Any:
    """An argument by place or by name."""
    return args[place] if len(args) > place else named.get(name, default)


def layer(
    watch: Watch, made: Tensor, kind: str, source: Tensor, axes: int, weights: tuple[Tensor | None, ...],
    **arguments: Any,
) -> bool:  # fmt: skip
    """Label a tensor as a layer's sums; the last `axes` of its input are what one row holds."""
    labels = watch.labels(source)
    if labels is None or any(w is not None and watch.labels(w) is not None for w in weights):
        return False
    name = watch.place(kind)
    arrays = [None if w is None else w.detach().cpu().double().numpy() for w in weights]
    key = (
        name,
        kind,
        *(watch.digest(w) for w in weights),
        *sorted((k, str(v)) for k, v in arguments.items()),
    )
    # A pool of three axes has no channels: each row of the first is an image of its own.
    plane = (1,) if "pool" in kind and source.ndim == 3 else ()
    axes -= len(plane)
    watch.made(
        made, Layered, name, kind=kind, source=(*plane, *source.shape[source.ndim - axes :]),
        target=(*plane, *made.shape[made.ndim - axes :]), inputs=np.array(labels.numpy()),
        arguments={"weights": arrays, **arguments}, key=key,
    )  # fmt: skip
    return True


def _linear(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    weights = picked(args, named, 1, "weight"), picked(args, named, 2, "bias")
    return layer(watch, made, "linear", picked(args, named, 0, "input"), 1, weights)


def _convolved(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    source, weight, bias, stride, padding, dilation, groups = (
        picked(args, named, i, n, d)
        for i, (n, d) in enumerate(zip(names, (None, None, None, 1, 0, 1, 1), strict=True))
    )
    return layer(
        watch, made, "conv2d", source, 3, (weight, bias), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip


def _averaged(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    names = (
        "input",
        "kernel",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    )
    defaults = (None, named.get("kernel_size"), None, 0, False, True, None)
    source, kernel, stride, padding, ceil, include, divisor = (
        picked(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    return layer(
        watch, made, "avg_pool2d", source, 3, (), kernel=kernel,
        stride=kernel if stride in (None, []) else stride,
        padding=padding, plain=not ceil and include and divisor is None,
    )  # fmt: skip


def _adapted(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    source = picked(args, named, 0, "input")
    sizes = list(zip(source.shape[-2:], made.shape[-2:], strict=True))
    if any(n % k for n, k in sizes):
        return False
    kernel = tuple(n // k for n, k in sizes)
    return layer(
        watch,
        made,
        "avg_pool2d",
        source,
        3,
        (),
        kernel=kernel,
        stride=kernel,
        padding=0,
        plain=True,
    )


def _largest(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    names = ("input", "kernel", "stride", "padding", "dilation", "ceil_mode")
    defaults = (None, named.get("kernel_size"), None, 0, 1, False)
    source, kernel, stride, padding, dilation, ceil = (
        picked(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    return layer(
        watch, made, "max_pool2d", source, 3, (), kernel=kernel,
        stride=kernel if stride in (None, []) else stride, padding=padding,
        plain=not ceil and dilation in (1, (1, 1), [1, 1]),
    )  # fmt: skip


def _normalised(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    names = (
        "input",
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "training",
        "momentum",
        "eps",
    )
    defaults = (None, None, None, None, None, False, 0.1, 1e-5)
    source, mean, variance, weight, bias, training, _, eps = (
        picked(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    if training or mean is None:
        return False
    return layer(
        watch, made, "batch_norm", source, source.ndim - 1, (weight, bias, mean, variance), eps=eps
    )


def _rows(watch: Watch, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """Labels [..., out] of weight [out, in] on rows of labels [..., in]."""
    source, made = torch.empty(rows.shape), torch.empty(*rows.shape[:-1], len(weight))
    watch.set_labels(source, rows.contiguous())
    if not layer(watch, made, "linear", source, 1, (weight, bias)):
        return None
    return watch.labels(made)


def _product(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    a, b = args[0], picked(args, named, 1, "other", named.get("mat2"))
    return _multiplied(watch, a, b, None, made)


def _reflected(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    return _multiplied(watch, args[1], args[0], None, made)


def _added_product(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    bias, a, b = args[:3]
    plain = named.get("beta", 1) == 1 == named.get("alpha", 1) and len(args) == 3
    if not plain or watch.labels(bias) is not None or bias.numel() != made.shape[-1]:
        return False
    return _multiplied(watch, a, b, bias.reshape(-1), made)


def _multiplied(watch: Watch, a: Tensor, b: Tensor, bias: Tensor | None, made: Tensor) -> bool:
    """a @ b, one of which is constant and the same for all samples."""
    left = watch.labels(a) is not None
    values, matrix = (a, b) if left else (b, a)
    labels = watch.labels(values)
    if labels is None or watch.labels(matrix) is not None or min(values.ndim, matrix.ndim) < 2:
        return False
    matrices = matrix.detach().reshape(-1, *matrix.shape[-2:])
    if not bool((matrices == matrices[:1]).all()) or (bias is not None and not left):
        return False
    weight = matrices[0].T if left else matrices[0]
    found = _rows(watch, labels if left else labels.transpose(-1, -2), weight, bias)
    if found is None:
        return False
    found = found if left else found.transpose(-1, -2)
    watch.set_labels(made, found.expand(made.shape).clone())
    return True


def _contracted(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    """einsum of one value and one constant: axes of both are summed, each has others of its own."""
    equation, *operands = args
    operands = list(operands[0]) if operands and isinstance(operands[0], tuple | list) else operands
    if len(operands) != 2 or "->" not in equation or "." in equation:
        return False
    given, out = equation.replace(" ", "").split("->")
    letters = given.split(",")
    tracked = [watch.labels(x) is not None for x in operands]
    if sum(tracked) != 1:
        return False
    value, constant = (0, 1) if tracked[0] else (1, 0)
    mine, its = letters[value], letters[constant]
    both = [c for c in mine if c in its]
    own, others = [c for c in mine if c not in its], [c for c in its if c not in mine]
    once = len(set(mine)) == len(mine) and len(set(its)) == len(its)
    if not once or set(both) & set(out) or not both or {*own, *others} != set(out):
        return False
    labels = watch.labels(operands[value])
    assert labels is not None
    size = prod(labels.shape[mine.index(c)] for c in both)
    rows = labels.permute([mine.index(c) for c in (*own, *both)])
    weight = operands[constant].detach().permute([its.index(c) for c in (*others, *both)])
    found = _rows(
        watch, rows.reshape(*rows.shape[: len(own)], size), weight.reshape(-1, size), None
    )
    if found is None:
        return False
    found = found.reshape(*rows.shape[: len(own)], *weight.shape[: len(others)])
    order = [*own, *others]
    watch.set_labels(made, found.permute([order.index(c) for c in out]).clone())
    return True


LAYERS: Mapping[str, Rule] = {
    "linear": _linear, "matmul": _product, "rmatmul": _reflected, "mm": _product, "bmm": _product,
    "addmm": _added_product, "einsum": _contracted,
    "conv2d": _convolved, "avg_pool2d": _averaged, "adaptive_avg_pool2d": _adapted,
    "max_pool2d": _largest, "batch_norm": _normalised,
}  # fmt: skip
