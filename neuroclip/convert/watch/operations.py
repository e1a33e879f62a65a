"""What each operation of torch does to the labels of its tensors.

Three kinds have a meaning between two populations: moves of elements, sums with constant factors, and
linear layers. What is none of them leaves `Foreign` labels, which nothing on a chip may read.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroclip.convert.watch.labels import (
    BLIND,
    CASTS,
    JOINS,
    MOVES,
    READS,
    WRITES,
    Layered,
    Summed,
    Watch,
    tensors_in,
)

Arguments = tuple[Any, ...]
Named = dict[str, Any]


def watched(watch: Watch, func: Any, args: Arguments, named: Named) -> Any:
    """Run an operation of torch, and label what it gives."""
    name = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__"):
        name = getattr(func.__self__, "__name__", name)
    taken = [t for t in tensors_in((args, named)) if watch.labels(t) is not None]
    if not taken or name in BLIND:
        return func(*args, **named)
    if name in READS:
        watch.decided = watch.decided or watch.place(name.strip("_"))
        return func(*args, **named)
    changes = name in WRITES or (name.endswith("_") and name[0] != "_") or name.startswith("__i")
    if changes and isinstance(args[0], Tensor) and watch.labels(args[0]) is None:
        watch.set_labels(args[0], watch.known(args[0]))
        taken.append(args[0])
    before = [watch.labels(t) for t in taken]
    given = func(*args, **named)
    made = list(tensors_in(given))
    if name in WRITES:
        _write(watch, func, args, named)
    elif not made:
        return given
    elif name in CASTS and (watch.labels(args[0]) is None or made[0].dtype.is_floating_point):
        _same(watch, args[0], made[0])
    elif name in MOVES:
        _move(watch, func, name, args, named, given)
    else:
        rule = _RULES.get(name.strip("_")) or _RULES.get(name.strip("_").removeprefix("i"))
        if rule is None or len(made) != 1 or not rule(watch, args, named, made[0]):
            for tensor in made:
                watch.foreign(tensor, name.strip("_"))
    if made and any(made[0] is t for t in taken):
        _in_place(watch, made[0], before[[made[0] is t for t in taken].index(True)])
    return given


def _same(watch: Watch, source: Tensor, made: Tensor) -> None:
    labels = watch.labels(source)
    if labels is not None:
        watch.set_labels(made, labels)


def _in_place(watch: Watch, tensor: Tensor, before: Tensor | None) -> None:
    """A tensor changed where it stands: so do the numbers that its views share."""
    after = watch.labels(tensor)
    if before is None or after is None or before is after or before.shape != after.shape:
        return
    before.copy_(after)
    watch.set_labels(tensor, before)


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(part, change) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(part, change) for part in value)
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    return value


def _move(watch: Watch, func: Any, name: str, args: Arguments, named: Named, given: Any) -> None:
    def numbers(tensor: Tensor) -> Tensor:
        found = watch.labels(tensor)
        if found is not None:
            return found
        index = not tensor.dtype.is_floating_point and name not in JOINS
        return tensor if index else watch.known(tensor)

    indices = any(
        watch.labels(t) is not None for t in tensors_in((args[1:], named))
    ) and name not in JOINS | {"broadcast_tensors", "expand_as", "view_as", "reshape_as"}
    try:
        if indices:
            raise RuntimeError("it is indexed by what comes from the input")
        moved = func(*_mapped(args, numbers), **_mapped(named, numbers))
    except (RuntimeError, TypeError, NotImplementedError):
        moved = None
    made = list(tensors_in(given))
    found = [] if moved is None else list(tensors_in(moved))
    if [t.shape for t in found] != [t.shape for t in made]:
        for tensor in made:
            watch.foreign(tensor, name.strip("_"))
        return
    for tensor, labels in zip(made, found, strict=True):
        watch.set_labels(tensor, labels)


def _write(watch: Watch, func: Any, args: Arguments, named: Named) -> None:
    """Values written into a tensor, whose numbers are kept from then on."""
    target = args[0]
    numbers = [
        watch.known(a) if isinstance(a, Tensor) and (a.dtype.is_floating_point or watch.labels(a) is not None)
        else a for a in args[1:]
    ]  # fmt: skip
    try:
        scalar = [a for a in args[1:] if isinstance(a, int | float) and not isinstance(a, bool)]
        if func.__name__ in ("__setitem__", "fill_") and scalar and args[-1] is scalar[-1]:
            if scalar[-1] != 0:
                raise RuntimeError("a constant")
            numbers[-1] = 0
        func(watch.labels(target), *numbers, **named)
    except (RuntimeError, TypeError, IndexError):
        before = watch.labels(target)
        watch.foreign(target, "setitem")
        _in_place(watch, target, before)


def _pick(
    args: Arguments, named: Mapping[str, Any], place: int, name: str, default: Any = None
) -> Any:
    return args[place] if len(args) > place else named.get(name, default)


Rule = Callable[[Watch, Arguments, Named, Tensor], bool]


def _array(labels: Tensor, shape: torch.Size) -> np.ndarray:
    return np.array(labels.expand(shape).numpy())


def _summed(watch: Watch, made: Tensor, parts: list[tuple[Any, float]]) -> bool:
    """Label a tensor as the sum of (tensor or number, factor)."""
    terms = []
    for part, factor in parts:
        if not isinstance(part, Tensor):
            if part == 0:
                continue
            part = torch.full((), float(part))
        labels = watch.known(part)
        terms.append((_array(labels, made.shape), np.full(made.shape, factor)))
    kept = [t for t in terms if t[0].any()]
    if len(kept) == 1 and (kept[0][1] == 1).all():
        watch.set_labels(made, torch.from_numpy(kept[0][0]))
    else:
        watch.made(made, Summed, "sum", terms=tuple(kept))
    return True


def _add(sign: float) -> Rule:
    def rule(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
        a, b = _pick(args, named, 0, "input"), _pick(args, named, 1, "other")
        factor = sign * float(_pick(args, named, 2, "alpha", 1))
        return _summed(watch, made, [(a, 1.0), (b, factor)])

    return rule


def _rsub(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    return _summed(watch, made, [(args[1], 1.0), (args[0], -1.0)])


def _scaled(invert: bool) -> Rule:
    def rule(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
        a, b = _pick(args, named, 0, "input"), _pick(args, named, 1, "other")
        if len(args) > 2 or "rounding_mode" in named:
            return False
        tracked = [isinstance(x, Tensor) and watch.labels(x) is not None for x in (a, b)]
        if all(tracked) or (invert and tracked[1]):
            return False
        value, factor = (a, b) if tracked[0] else (b, a)
        with watch.pause():
            factors = torch.as_tensor(factor, dtype=torch.float64).detach().cpu().expand(made.shape)
        if invert and bool((factors == 0).any()):
            return False
        factors = 1 / factors if invert else factors
        labels = watch.labels(value)
        assert labels is not None
        if bool((factors == 1).all()):
            watch.set_labels(made, labels.expand(made.shape).clone())
        else:
            watch.made(
                made, Summed, "sum", terms=((_array(labels, made.shape), factors.numpy().copy()),)
            )
        return True

    return rule


def _negated(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    return _summed(watch, made, [(args[0], -1.0)])


def _reduced(mean: bool) -> Rule:
    def rule(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
        source = args[0]
        dims = named.get("dim", named.get("axis", args[1] if len(args) > 1 else None))
        if dims is None:
            dims = tuple(range(source.ndim))
        dims = sorted({d % source.ndim for d in ([dims] if isinstance(dims, int) else dims)})
        labels = watch.labels(source)
        assert labels is not None
        rest = [d for d in range(source.ndim) if d not in dims]
        flat = labels.permute(*dims, *rest).reshape(-1, *[source.shape[d] for d in rest]).numpy()
        factor = 1 / len(flat) if mean else 1.0
        terms = tuple(
            (np.array(part).reshape(made.shape), np.full(made.shape, factor)) for part in flat
        )
        watch.made(made, Summed, "mean" if mean else "sum", terms=terms)
        return True

    return rule


def _layer(
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
    weights = _pick(args, named, 1, "weight"), _pick(args, named, 2, "bias")
    return _layer(watch, made, "linear", _pick(args, named, 0, "input"), 1, weights)


def _product(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    source, weight = args[0], _pick(args, named, 1, "other", named.get("mat2"))
    if watch.labels(source) is None or weight.ndim != 2:
        return False
    with watch.pause():
        turned = weight.detach().T
    return _layer(watch, made, "linear", source, 1, (turned, None))


def _convolved(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    source, weight, bias, stride, padding, dilation, groups = (
        _pick(args, named, i, n, d)
        for i, (n, d) in enumerate(zip(names, (None, None, None, 1, 0, 1, 1), strict=True))
    )
    return _layer(
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
        _pick(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    return _layer(
        watch, made, "avg_pool2d", source, 3, (), kernel=kernel,
        stride=kernel if stride in (None, []) else stride,
        padding=padding, plain=not ceil and include and divisor is None,
    )  # fmt: skip


def _adapted(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    source = _pick(args, named, 0, "input")
    sizes = list(zip(source.shape[-2:], made.shape[-2:], strict=True))
    if any(n % k for n, k in sizes):
        return False
    kernel = tuple(n // k for n, k in sizes)
    return _layer(
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
        _pick(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    return _layer(
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
        _pick(args, named, i, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))
    )
    if training or mean is None:
        return False
    return _layer(
        watch, made, "batch_norm", source, source.ndim - 1, (weight, bias, mean, variance), eps=eps
    )


def _dropped(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    if _pick(args, named, 2, "training", True):
        return False
    watch.set_labels(made, watch.known(args[0]))
    return True


_RULES: Mapping[str, Rule] = {
    "add": _add(1.0), "radd": _add(1.0), "sub": _add(-1.0), "subtract": _add(-1.0), "rsub": _rsub,
    "mul": _scaled(False), "rmul": _scaled(False), "multiply": _scaled(False),
    "div": _scaled(True), "truediv": _scaled(True), "true_divide": _scaled(True), "divide": _scaled(True),
    "neg": _negated, "sum": _reduced(False), "mean": _reduced(True),
    "linear": _linear, "matmul": _product, "mm": _product,
    "conv2d": _convolved, "avg_pool2d": _averaged, "adaptive_avg_pool2d": _adapted,
    "max_pool2d": _largest, "batch_norm": _normalised,
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout"), _dropped),
}  # fmt: skip
