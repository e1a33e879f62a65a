"""A kind of a person's own, compiled: what its `step` does to each neuron, as the source of a loop.

`trace` calls `step` once with objects that note what is done to them, so that it goes through whatever
helpers the kind calls. It compiles what treats every neuron alike and by itself in integers and truth
values: NumPy's arithmetic, comparisons, shifts, bits, `where`, `clip` and assignments under a mask.
Whatever else is met has no compiled form, and the reason is said; NumPy takes the step then. For example

    step     v = state["v"] + (a << 6);  s = v > self.vth;  return {"v": np.where(s, 0, v)}, s.astype(int64)
    notes    n0 = a[j] << 6;  n1 = state[j] + n0;  n2 = n1 > registers[j];  n3 = 0 if n2 else n1;  n4 = n2
    written  state[j] = n3;  flags[j] = n4 != 0

A kind must be pure: the same step twice gives the same notes, else it is refused here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from deploy.neurons.base import Neurons

# Samples of the arrays that a step is tried on: what differs between them is no register, and what
# differs with their number has no compiled form.
_SAMPLES = 2, 3
_TYPES = (np.dtype(np.int64), np.dtype(np.bool_))
_BITS = 63
# Steps of a sample, at most, and lines of a loop, for which a compiler takes some ten seconds.
_STEPS, _LINES = 2**31, 400

_INTEGERS = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "negative": "-{}",
    "positive": "{}", "absolute": "abs({})", "sign": "int64({0} > 0) - int64({0} < 0)",
    "bitwise_and": "{} & {}", "bitwise_or": "{} | {}", "bitwise_xor": "{} ^ {}", "invert": "~{}",
    "left_shift": "{} << {}", "right_shift": "{} >> {}", "floor_divide": "{} // {}",
    "remainder": "{} % {}", "minimum": "min({}, {})", "maximum": "max({}, {})",
}  # fmt: skip
_COMPARES = {
    "greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "equal": "{} == {}", "not_equal": "{} != {}",
}  # fmt: skip
_TRUTHS = {
    "logical_and": "({} != 0) & ({} != 0)", "logical_or": "({} != 0) | ({} != 0)",
    "logical_xor": "({} != 0) ^ ({} != 0)", "logical_not": "{} == 0",
}  # fmt: skip
_OF_BOOLS = {
    "bitwise_and": "{} & {}", "bitwise_or": "{} | {}", "bitwise_xor": "{} ^ {}", "invert": "{} == 0",
}  # fmt: skip
# Their second operand decides whether NumPy and compiled code mean the same by them.
_SHIFTS, _DIVISIONS = ("left_shift", "right_shift"), ("floor_divide", "remainder")


class Untraceable(Exception):
    """Why a step has no compiled form."""


@dataclass(frozen=True, eq=False)
class Traced:
    """The source of a function `step` of `deploy.emulate.fast.neuron_kernels`, and its registers."""

    source: str
    constants: tuple[NDArray[np.int64], ...]


def trace(p: Neurons) -> Traced:
    """The compiled form of the step that a population's kind states. Raises Untraceable."""
    for method in ("cleared", "recording"):
        if getattr(type(p), method) is not getattr(Neurons, method):
            raise Untraceable(f"it has a `{method}` of its own")
    first, second = (_traced(p, samples) for samples in _SAMPLES)
    if first.source != second.source or not all(
        map(np.array_equal, first.constants, second.constants)
    ):
        raise Untraceable("it is not the same each time")
    return first


def _traced(p: Neurons, samples: int) -> Traced:
    shape = samples, *p.shape
    notes = _Notes(p, shape)
    a = _Value(notes, "a[j]", np.zeros(shape, np.int64))
    state = {
        name: _Value(notes, f"state[{i} * stride + j]", np.zeros(shape, np.int64))
        for i, name in enumerate(p.states)
    }
    t = _Value(notes, "t", np.zeros((), np.int64), _STEPS)
    try:
        after, s = p.step(state, a, t)  # type: ignore[arg-type]
        made = [(name, after.get(name)) for name in p.states]
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    for name, x in [*made, ("s", s)]:
        found = x.shown if isinstance(x, _Value) else np.asarray(x)
        if found.dtype != np.int64 or found.shape != shape:
            raise Untraceable(f"{name} is {found.dtype} {found.shape[1:]} after a step")
    ends = [(f"state[{i} * stride + j]", notes.read(x)) for i, (_, x) in enumerate(made)]
    return Traced(notes.source(ends, notes.read(s)), tuple(notes.constants))


class _Notes:
    """The lines of a loop over neurons, each a value of one of them."""

    def __init__(self, p: Neurons, shape: tuple[int, ...]) -> None:
        self.population, self.shape = p, shape
        self.lines: list[str] = []
        self.constants: list[NDArray[np.int64]] = []

    def note(self, expression: str, shown: NDArray[Any], most: int = 0) -> "_Value":
        if shown.dtype not in _TYPES:
            raise Untraceable(f"it computes in {shown.dtype}")
        if len(self.lines) == _LINES:
            raise Untraceable(f"it takes more than {_LINES} operations")
        kind = "bool_" if shown.dtype == np.bool_ else "int64"
        self.lines.append(f"n{len(self.lines)} = {kind}({expression})")
        return _Value(self, f"n{len(self.lines) - 1}", shown, most)

    def read(self, x: Any) -> str:
        """An operand, as source: a value that was noted, a number, or a register."""
        if isinstance(x, _Value):
            if x.notes is not self:
                raise Untraceable("it keeps values of another step")
            return x.name
        held = np.asarray(x)
        if held.dtype.kind not in "biu":
            raise Untraceable(f"it computes in {held.dtype}")
        if held.size and not (int(held.min()) >= -(2**63) and int(held.max()) < 2**63):
            raise Untraceable("a number is beyond 64 bits")
        if held.size == 1:
            # The smallest number has no literal of its own.
            number = int(held.reshape(()))
            return f"({number})" if number > -(2**63) else "(-9223372036854775807 - 1)"
        try:
            whole = np.broadcast_to(held, self.shape).astype(np.int64)
        except ValueError:
            raise Untraceable(f"an array {held.shape} is not one number for each neuron") from None
        if not (whole == whole[:1]).all():
            raise Untraceable("an array differs between samples")
        known = (i for i, x in enumerate(self.constants) if np.array_equal(x, whole[0]))
        row = next(known, len(self.constants))
        if row == len(self.constants):
            self.constants.append(whole[0].copy())
        return f"registers[{row} * stride + j]"

    def source(self, ends: list[tuple[str, str]], s: str) -> str:
        low, high = self.population.message_range
        if not self.population.messages_hold:
            low, high = -(2**31) + 1, 2**31 - 1
        lines = [
            *self.lines, f"s = {s}",
            *(f"e{i} = {name}" for i, (_, name) in enumerate(ends)),
            *(f"{place} = e{i}" for i, (place, _) in enumerate(ends)),
            f"beyond |= (s < {max(low, -(2**31) + 1)}) | (s > {min(high, 2**31 - 1)})",
            "flags[j] = s != 0",
            *([] if self.population.binary else ["sent[j] = int32(s)"]),
        ]  # fmt: skip
        body = "\n".join(f"        {line}" for line in lines)
        return (
            "def step(t, n, a, state, stride, registers, settings, flags, sent):\n"
            f"    beyond = False\n    for j in range(n):\n{body}\n    return int64(beyond)\n"
        )


class _Value(NDArrayOperatorsMixin):
    """What a step holds of every neuron: its name in the loop, and an array of its type and shape.

    most: the largest magnitude of what only the number of the step is in, a Python int without bounds.
    """

    def __init__(self, notes: _Notes, name: str, shown: NDArray[Any], most: int = 0) -> None:
        self.notes, self.name, self.shown, self.most = notes, name, shown, most
        self.given = not name.startswith("n")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shown.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.shown.dtype

    @property
    def ndim(self) -> int:
        return self.shown.ndim

    @property
    def size(self) -> int:
        return self.shown.size

    def astype(self, dtype: Any, *, copy: bool = True, **_: Any) -> "_Value":
        found = self.shown.astype(dtype)
        if not copy and found.dtype == self.dtype:
            return self  # the same memory: what is assigned to one is seen in the other
        name = f"{self.name} != 0" if found.dtype == np.bool_ else self.name
        return self.notes.note(name, found, self.most)

    def copy(self) -> "_Value":
        return self.notes.note(self.name, self.shown, self.most)

    def clip(self, low: Any = None, high: Any = None) -> "_Value":
        return _clip(self, low, high)

    def __setitem__(self, mask: Any, value: Any) -> None:
        whole = isinstance(mask, _Value) and mask.dtype == np.bool_ and mask.shape == self.shape
        if not (whole or mask is Ellipsis) or np.ndim(value) > 0:
            raise Untraceable("it assigns to some neurons by their place")
        found = value if mask is Ellipsis else _where(mask, value, self)
        self._become(self.notes.note(self.notes.read(found), self.shown))

    def _become(self, other: "_Value") -> None:
        if self.given:
            raise Untraceable("it changes what it was given")
        if not self.ndim:
            raise Untraceable("it changes a number of the step in place")
        if other.dtype != self.dtype or other.shape != self.shape:
            raise Untraceable(f"it puts {other.dtype} {other.shape} into {self.dtype} {self.shape}")
        self.name = other.name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        (out,) = options.pop("out", (None,))
        if method != "__call__" or options:
            raise Untraceable(f"it calls numpy.{ufunc.__name__}.{method} with {sorted(options)}")
        shown = np.asarray(ufunc(*map(_shown, inputs)))
        most = 0 if shown.ndim else _most_of_step(ufunc.__name__, inputs, shown)
        made = self.notes.note(_expression(self.notes, ufunc.__name__, inputs, shown), shown, most)
        if out is None:
            return made
        if not isinstance(out, _Value):
            raise Untraceable("it writes to an array of its own")
        out._become(made)
        return out

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Any:
        made = _FUNCTIONS.get(function)
        if made is None:
            raise Untraceable(f"it calls numpy.{function.__name__}")
        return made(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f"it reads .{name} of an array")

    def _refused(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("it looks at single neurons, or decides by their values or the step")

    __bool__ = __int__ = __index__ = __float__ = __len__ = __iter__ = __getitem__ = __array__ = (
        _refused
    )


def _expression(notes: _Notes, name: str, inputs: tuple[Any, ...], shown: NDArray[Any]) -> str:
    types = [x.dtype if isinstance(x, _Value) else np.asarray(x).dtype for x in inputs]
    bools = all(of == np.bool_ for of in types)
    table = _OF_BOOLS if bools and shown.dtype == np.bool_ else _INTEGERS
    found = {**table, **_COMPARES, **_TRUTHS}.get(name)
    if found is None or any(of.kind not in "bi" for of in types):
        said = ", ".join(str(of) for of in types)
        raise Untraceable(f"it calls numpy.{name} of {said}")
    if name in _SHIFTS + _DIVISIONS:
        by = inputs[1]
        if isinstance(by, _Value):
            raise Untraceable(f"it calls numpy.{name} by a value that changes")
        low, high = int(np.min(by)), int(np.max(by))
        if low < (0 if name in _SHIFTS else 1) or (name in _SHIFTS and high > _BITS):
            raise Untraceable(f"it calls numpy.{name} by {low if low < 1 else high}")
    return found.format(*(f"int64({notes.read(x)})" for x in inputs))


def _most_of_step(name: str, inputs: tuple[Any, ...], shown: NDArray[Any]) -> int:
    """The largest magnitude of what is made of the number of the step, in which nothing may overflow.

    There Python's own integers and truth values are: exact, and with ~True = −2.
    """
    if name == "invert" and shown.dtype == np.bool_:
        raise Untraceable("it inverts a truth value of Python's")
    first, *others = (x.most if isinstance(x, _Value) else abs(int(x)) for x in inputs)
    second = others[0] if others else 0
    made = {"add": first + second, "subtract": first + second, "multiply": first * second}
    # Of any other no more bits than of the larger operand.
    found = (
        first << min(second, 64)
        if name == "left_shift"
        else made.get(name, 2 * max(first, second) + 1)
    )
    if found >= 2**63:
        raise Untraceable("it takes the number of the step beyond 64 bits")
    return found


def _notes_of(*values: Any) -> _Notes:
    return next(x.notes for x in values if isinstance(x, _Value))


def _shown(x: Any) -> Any:
    if not isinstance(x, _Value):
        return x
    return x.shown if x.ndim else x.shown.item()  # as NumPy takes a number of Python's


def _where(condition: Any, *choices: Any) -> _Value:
    if len(choices) != 2:
        raise Untraceable("it asks numpy.where for places")
    notes = _notes_of(condition, *choices)
    chosen, other = (notes.read(x) for x in choices)
    shown = np.where(_shown(condition), _shown(choices[0]), _shown(choices[1]))
    return notes.note(
        f"int64({chosen}) if {notes.read(condition)} != 0 else int64({other})", shown,
        0 if shown.ndim else _most_of_step("where", choices, shown),
    )  # fmt: skip


def _clip(x: Any, low: Any = None, high: Any = None, **options: Any) -> Any:
    if options:
        raise Untraceable(f"it calls numpy.clip with {sorted(options)}")
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


_FUNCTIONS: dict[Any, Any] = {
    np.where: _where,
    np.clip: _clip,
    np.copy: lambda x: x.copy(),
    np.shape: lambda x: x.shape,
    np.zeros_like: lambda x, dtype=None: np.zeros(x.shape, dtype or x.dtype),
    np.ones_like: lambda x, dtype=None: np.ones(x.shape, dtype or x.dtype),
    np.full_like: lambda x, value, dtype=None: np.full(x.shape, value, dtype or x.dtype),
}
