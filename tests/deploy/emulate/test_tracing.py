"""A kind of a person's own is compiled where it can be, and runs in NumPy where not: equal either way."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from deploy import neurons
from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import IntArray
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.errors import CheckFailed
from deploy.neurons import Neurons, register
from deploy.neurons.base import State
from deploy.neurons.tracing import Untraceable, trace
from deploy.program.program import Dense, Program, is_graded, make_input

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)
SHAPE = (3, 5)
Step = Callable[["Own", State, Int64, Any], tuple[dict[str, Any], Any]]


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "KINDS", dict(neurons.KINDS))


@dataclass(frozen=True, eq=False)
class Own(Neurons):
    """Any step; states x and y."""

    low: IntArray
    gain: int

    kind: ClassVar[str] = "any"
    states: ClassVar[tuple[str, ...]] = ("x", "y")
    recorded: ClassVar[dict[str, str]] = {"u": "y", "v": "x"}
    taken: ClassVar[Step]

    @property
    def message_range(self) -> tuple[int, int]:
        return -(2**20), 2**20

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        return type(self).taken(self, state, a, t)


def network(step: Step, seed: int = 0, **more: Any) -> tuple[Program, dict[str, Any]]:
    """Inputs → neurons of the step, heard by themselves two steps later. more: of the kind."""
    rng = np.random.default_rng(seed)
    stated = {"kind": f"any {seed}", "taken": step, "__module__": __name__, **more}
    of = register(type("Own", (Own,), stated))
    p = of("n", SHAPE, rng.integers(-(2**31), 2**31, SHAPE).astype(np.int32), 3)
    weight = (2 * rng.integers(-127, 128, (p.size, 7))).astype(np.int32)
    back = (2 * rng.integers(-9, 10, (p.size, p.size))).astype(np.int32)
    connections = Dense("w", "i", "n", weight), Dense("b", "n", "n", back, -7, 2)
    top = int(rng.choice([1, 2**23 - 1]))
    x = np.where(
        rng.random((3, 12, 7)) < 0.6, rng.integers(-(top > 1) * top, top + 1, (3, 12, 7)), 0
    )
    return Program((make_input("i", (7,), -(top > 1) * top, top),), (p,), connections, ()), {"i": x}


def agree(program: Program, x: dict[str, Any]) -> None:
    for record in ("all", "none"):
        expected = emulate(program, x, record)  # type: ignore[arg-type]
        for kernel in ("numba", "numpy"):
            found = emulate_fast(program, x, record, 1, kernel)  # type: ignore[arg-type]
            for part in ("s", "u", "v", "messages"):
                for name, array in getattr(expected, part).items():
                    assert np.array_equal(array, getattr(found, part)[name]), (part, name)


def random_step(seed: int) -> Step:
    """A step of two dozen random operations, whatever they overflow, its message clipped at the end."""
    two = [np.add, np.subtract, np.multiply, np.minimum, np.maximum, np.bitwise_xor, np.bitwise_and]
    compares = [np.greater, np.less_equal, np.equal, np.not_equal]

    def step(p: Own, state: State, a: Int64, t: Any) -> tuple[dict[str, Any], Any]:
        rng = np.random.default_rng(seed)
        held: list[Any] = [
            a,
            state["x"],
            state["y"],
            p.low,
            p.low.astype(np.int64) << 20,
            7,
            p.gain,
        ]
        truths: list[Any] = [a > 0, state["y"] < p.low]
        for _ in range(12):
            first, second = (held[i] for i in rng.integers(0, len(held), 2))
            first = first + 0 * a  # every value is one of all neurons
            made = [
                lambda f=first, s=second: two[rng.integers(len(two))](f, s),
                lambda f=first: f >> int(rng.integers(0, 64)),
                lambda f=first: f << int(rng.integers(0, 64)),
                lambda f=first: np.sign(f) * (np.abs(f) >> 12),
                lambda f=first, s=second: np.where(truths[rng.integers(len(truths))], f, s),
                lambda f=first, s=second: np.clip(f, -(2**23), s),
                lambda f=first: f // int(rng.integers(1, 99)) - f % int(rng.integers(1, 99)),
                lambda f=first: (~f).astype(np.bool_).astype(np.int64) + f * (t % 3 == 1),
            ][rng.integers(8)]()
            held.append(made)
            truth = compares[rng.integers(len(compares))](made, second)
            truths.append(truth & ~truths[-1] if rng.random() < 0.5 else np.logical_or(truth, a))
        x = held[-1].copy()
        x[truths[-1]] = 5
        x += state["y"]
        return {"x": x, "y": held[-2] + 0 * a}, np.clip(held[-3] + x, -900, 2**20)

    return step


@pytest.mark.parametrize("seed", range(8))
def test_random_steps_are_compiled_and_equal_the_reference(seed: int) -> None:
    program, x = network(random_step(seed), seed)
    assert not prepare(program).uncompiled
    agree(program, x)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8, 80))
def test_many_random_steps(seed: int) -> None:
    test_random_steps_are_compiled_and_equal_the_reference(seed)


def branches(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), a if (a > 5).any() else 0 * a


def places(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.clip(a - a[:, :1, :1], -9, 9)


def counts(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.clip(a + t if t % 2 else a, -9, 9)


def mixes(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.cumsum(np.sign(a), axis=2)


def floats(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.trunc(np.clip(a, -99, 99) * 0.7).astype(np.int64)


def varies(p: Own, state: State, a: Int64, t: Any) -> Any:
    global calls
    calls += 1
    return dict(state), np.clip(a + calls, -9, 9)


def shifts(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.clip(a << np.clip(a, 0, 3), -9, 9)


def by_samples(p: Own, state: State, a: Int64, t: Any) -> Any:
    return dict(state), np.clip(a, -len(a.shape), a.shape[0])


def not_true(p: Own, state: State, a: Int64, t: Any) -> Any:
    """~True is −2 of Python's truth values, and so is true."""
    return dict(state), np.where(~(t % 2 == 0), np.clip(a, -9, 9), 0)


def draws(p: Own, state: State, a: Int64, t: Any) -> Any:
    """A generator of random numbers, beyond 64 bits in Python's integers."""
    return dict(state), np.clip(a, -9, 9) + ((t * 6364136223846793005 + 1) >> 33) % 999


def counts_on(p: Own, state: State, a: Int64, t: Any) -> Any:
    """Numbers of Python do not change in place."""
    phase = before = t % 3
    phase += 1
    return dict(state), np.clip(a, -9, 9) * before + phase


def repeats(p: Own, state: State, a: Int64, t: Any) -> Any:
    x = a
    for i in range(150):
        x = np.where(x > p.low, x + i, x - 1)
    return {"x": x, "y": 1 * x}, np.clip(x, -9, 9)


calls = 0


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (branches, "reads .any of an array"),
        (places, "looks at single neurons"), (counts, "or the step"), (mixes, "numpy.cumsum"),
        (floats, "float64"), (varies, "not the same each time"), (shifts, "by a value that changes"),
        (by_samples, "not the same each time"), (not_true, "a truth value of Python's"),
        (draws, "the step beyond 64 bits"), (counts_on, "the step in place"),
        (repeats, "more than 400 operations"),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_runs_in_numpy_and_says_why(step: Step, why: str) -> None:
    program, x = network(step)
    with pytest.raises(Untraceable, match=why):
        trace(program.populations[0])
    assert why in prepare(program).uncompiled["n"]
    if step is not varies:
        agree(program, x)


def test_a_compiled_kind_that_breaks_its_word_is_stopped_in_the_same_words() -> None:
    def leaves(p: Own, state: State, a: Int64, t: Any) -> Any:
        return dict(state), a + 2**20

    program, x = network(leaves)
    assert not prepare(program).uncompiled
    with pytest.raises(CheckFailed) as expected:
        emulate(program, x)
    with pytest.raises(CheckFailed) as found:
        emulate_fast(program, x, kernel="numba")
    assert str(found.value) == str(expected.value)


def kept(p: Own, state: State, a: Int64, t: Any) -> Any:
    return {"x": state["x"] + a, "y": 1 * state["y"]}, np.clip(state["x"], -9, 9)


def begins_at_seven(p: Own, samples: int) -> State:
    return {name: np.full((samples, *p.shape), 7, np.int64) for name in p.states}


def shows_twice_x(p: Own, state: State) -> dict[str, Any]:
    return {"u": 2 * state["x"], "v": state["y"]}


@pytest.mark.parametrize(
    "more",
    [{"cleared": begins_at_seven}, {"recording": shows_twice_x}],
    ids=["cleared", "recording"],
)
def test_a_kind_that_begins_or_is_recorded_in_its_own_way_runs_in_numpy(more: Any) -> None:
    program, x = network(kept, 1, **more)
    assert "of its own" in prepare(program).uncompiled["n"]
    agree(program, x)


def test_an_array_that_is_not_copied_is_the_same_array() -> None:
    def same(p: Own, state: State, a: Int64, t: Any) -> Any:
        x = 1 * a
        y = x.astype(np.int64, copy=False)
        y += 1
        return {"x": x, "y": 1 * y}, np.clip(x, -9, 9)

    program, x = network(same)
    assert not prepare(program).uncompiled
    agree(program, x)


def test_the_number_of_the_step_is_compiled_and_a_register_that_is_read_often_is_held_once() -> (
    None
):
    def often(p: Own, state: State, a: Int64, t: Any) -> Any:
        x = (a * p.low + p.low) * (t % 2 == 0) + np.where(t > 3, t - 9, t * 7 % 5)
        return {"x": x, "y": 1 * x}, np.clip(x, -9, 9)

    program, x = network(often)
    assert len(trace(program.populations[0]).constants) == 1
    agree(program, x)


def test_messages_beyond_a_range_that_is_only_stated_are_sent_as_they_are() -> None:
    """Spikes by what the kind says of itself, but not for sure: no bit holds a 5, no byte a −300."""

    def five(p: Own, state: State, a: Int64, t: Any) -> Any:
        return {"x": 1 * a, "y": 1 * a}, np.clip(a, -300, 5)

    stated = {"message_range": property(lambda _: (0, 1)), "messages_hold": False}
    program, x = network(five, 1, **stated)
    assert not prepare(program).uncompiled
    assert not program.populations[0].binary and is_graded(program.populations[0])
    assert emulate(program, x).s["n"].min() == -300
    agree(program, x)
