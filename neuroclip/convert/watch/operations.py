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
    Summed,
    Watch,
    tensors_in,
)
from neuroclip.convert.watch.layers import LAYERS, Arguments, Named, Rule, picked


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
        a, b = picked(args, named, 0, "input"), picked(args, named, 1, "other")
        factor = sign * float(picked(args, named, 2, "alpha", 1))
        return _summed(watch, made, [(a, 1.0), (b, factor)])

    return rule


def _rsub(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    return _summed(watch, made, [(args[1], 1.0), (args[0], -1.0)])


def _scaled(invert: bool) -> Rule:
    def rule(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
        a, b = picked(args, named, 0, "input"), picked(args, named, 1, "other")
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


def _where(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    first, second, third = (*args, *named.values())[:3]
    mask, yes, no = (first, second, third) if first.dtype == torch.bool else (second, first, third)
    return _chosen(watch, mask, yes, no, made)


def _masked(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    mask, value = picked(args, named, 1, "mask"), picked(args, named, 2, "value")
    return _chosen(watch, mask, value, args[0], made)


def _chosen(watch: Watch, mask: Tensor, yes: Any, no: Any, made: Tensor) -> bool:
    """Elements of one where a constant mask holds, of the other elsewhere."""
    if watch.labels(mask) is not None:
        return False
    labels = [
        watch.known(x if isinstance(x, Tensor) else torch.full((), float(x))) for x in (yes, no)
    ]
    watch.set_labels(made, torch.where(mask, labels[0], labels[1]).expand(made.shape).clone())
    return True


def _dropped(watch: Watch, args: Arguments, named: Named, made: Tensor) -> bool:
    if picked(args, named, 2, "training", True):
        return False
    watch.set_labels(made, watch.known(args[0]))
    return True


_RULES: Mapping[str, Rule] = {
    "add": _add(1.0), "radd": _add(1.0), "sub": _add(-1.0), "subtract": _add(-1.0), "rsub": _rsub,
    "mul": _scaled(False), "rmul": _scaled(False), "multiply": _scaled(False),
    "div": _scaled(True), "truediv": _scaled(True), "true_divide": _scaled(True), "divide": _scaled(True),
    "neg": _negated, "sum": _reduced(False), "mean": _reduced(True),
    "where": _where, "masked_fill": _masked, **LAYERS,
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout"), _dropped),
}  # fmt: skip
