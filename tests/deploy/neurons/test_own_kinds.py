"""Kinds of neurons that the package does not have: registered, found, run, proven honestly, refused."""

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy import neurons
from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import IntArray
from deploy.connections import one_to_one
from deploy.count.operations import count
from deploy.emulate.edge_counts import observe
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.fast.emulate import Kernel
from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.map.core.costs import neuron_groups
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.neurons import Graded, Neurons, Population, kind_named, make_population, register
from deploy.neurons.base import VALUE, Bounds, State
from deploy.neurons.intervals import Interval
from deploy.program.file import load_program, save_program
from deploy.program.program import Conv2d, Dense, Output, Program, equal, make_input
from deploy.prove.proof import prove, require
from deploy.report.html import render
from deploy.report.inspect import inspect
from deploy.run.by_core import emulate_mapped

SHAPE = (2, 4, 3)


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "KINDS", dict(neurons.KINDS))


@dataclass(frozen=True, eq=False)
class Doubling(Neurons):
    """Sends twice its sum, whatever it says of its range; keeps the sum of all, which it records."""

    gain: IntArray
    top: int = 1

    kind: ClassVar[str] = "doubling"
    states: ClassVar[tuple[str, ...]] = ("total",)
    recorded: ClassVar[dict[str, str]] = {"v": "total"}

    @property
    def message_range(self) -> tuple[int, int]:
        return -self.top, self.top

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        return {"total": state["total"] + a}, 2 * a * self.gain


def doubling(shape: tuple[int, ...], top: int = 1) -> Doubling:
    return Doubling("n", shape, np.broadcast_to(np.int32(1), shape), top)


def driven(p: Neurons, high: int = 9) -> Program:
    """A population that sees its input unchanged, and integrators behind it."""
    return Program(
        (make_input("in", p.shape, -high, high),),
        (p, make_population("out", (p.size,), kind="integrator")),
        (
            one_to_one("w", "in", p.name, p.size, 2, exponent=-1),
            one_to_one("x", p.name, "out", p.size, 2),
        ),
        (Output("o", p.name, "v"),),
    )


def adaptive(module: Any, name: str, shape: tuple[int, ...], seed: int) -> Neurons:
    rng = np.random.default_rng(seed)
    dv, vth = rng.integers(0, 4096, shape), rng.integers(0, 60, shape)
    made: Neurons = module.Adaptive(name, shape, dv.astype(np.int32), vth.astype(np.int32), 900, 7)
    return made


def mixed(module: Any, seed: int, loop: bool) -> Program:
    """in → convolution → own kind → LIF → own kind → integrators, with a loop of own kind and LIF."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return (2 * rng.integers(-40, 100, shape)).astype(np.int32)

    kernel = Conv2d("c1", "in", "own1", weight(2, 2, 3, 3), (4, 3), (1, 1), (1, 1))
    back = (Dense("back", "lif", "own1", weight(24, 7), 0, 2),) if loop else ()
    return Program(
        (make_input("in", SHAPE),),
        (
            adaptive(module, "own1", SHAPE, seed),
            make_population("lif", (7,), dv=300, vth=90),
            adaptive(module, "own2", (5,), seed + 1),
            make_population("out", (3,), kind="integrator"),
        ),
        (
            kernel,
            Dense("c2", "own1", "lif", weight(7, 24)),
            Dense("c3", "lif", "own2", weight(5, 7), 1, 3),
            Dense("c4", "own2", "out", weight(3, 5)),
            *back,
        ),
        (Output("o", "out", "v"), Output("s", "own2", "s")),
    )


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize("loop", [False, True])
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32 - 1))
def test_the_fast_emulator_takes_the_step_that_a_kind_states(
    own_neuron: Any, loop: bool, kernel: Kernel, seed: int
) -> None:
    program = mixed(own_neuron, seed, loop)
    x = {"in": np.random.default_rng(seed).integers(0, 2, (5, 9, *SHAPE))}
    a, b = emulate(program, x, observe=True), emulate_fast(program, x, kernel=kernel)
    for name, quantity, array in a.recorded():
        assert np.array_equal(array, getattr(b, quantity)[name]), (name, quantity)
    assert np.array_equal(a.readout["out"], b.readout["out"])
    assert observe(program, x, b) == a.observed
    assert a.s["own1"].any() and a.s["own2"].any() and a.s["own1"].dtype == np.uint8
    assert not prepare(program).uncompiled


def test_it_goes_through_the_whole_of_deploy(own_neuron: Any, tmp_path: Path) -> None:
    program = mixed(own_neuron, 3, True)
    save_program(tmp_path / "p.npz", program)
    assert equal(load_program(tmp_path / "p.npz"), program)
    x = {"in": np.random.default_rng(0).integers(0, 2, (4, 8, *SHAPE))}
    trace = emulate(program, x)
    chip = load_chip("loihi2")
    mapping = partition(program, chip)
    assert validate(program, chip, mapping) == []
    halves = Mapping(
        "loihi2",
        tuple(
            Core(
                k,
                tuple(
                    Slice(p.name, *(n * p.size // 2 for n in (k, k + 1)))
                    for p in program.populations
                ),
            )
            for k in range(2)
        ),
    )
    mapped = emulate_mapped(program, halves, x).trace
    for name, quantity, array in trace.recorded():
        assert np.array_equal(array, getattr(mapped, quantity)[name])
    counts = count(program, trace.messages, 4, 8, mapping)
    assert counts.neuron_updates["own1"] == 4 * 8 * 24
    # dv and vth differ from neuron to neuron, so each has a parameter group of its own.
    assert len(np.unique(neuron_groups(program)["own1"])) == 24
    assert "dw 900, jump 7" in inspect(program, 8)


def test_what_is_not_stated_is_never_proven(own_neuron: Any) -> None:
    program = mixed(own_neuron, 3, False)
    proof = prove(program, 8)
    assert {name: e.verdict for name, e in proof.edges["own1"].items()} == {
        VALUE: "no bounds known"
    }
    # Its messages are held to 0..1 by the emulator, so what follows rests on something.
    assert proof.edges["lif"]["synaptic sum beyond 21 bits"].proven
    assert not proof.portable and ("own1", VALUE) in {(n, e) for n, e, _ in proof.reachable}
    assert "no bounds known" in proof.warnings[0] and "node 'own1'" in proof.warnings[0]
    assert proof.to_json()["nodes"]["own1"][VALUE] == {
        "verdict": "no bounds known", "range": None, "limit": [-(2**31), 2**31 - 1], "margin": None,
    }  # fmt: skip
    with pytest.raises(CheckFailed, match="node 'own1': value beyond 32 bits: no bounds are known"):
        require(proof)
    page = render({"proof": proof.to_json()}, {}, program)
    assert "no bounds known" in page and "a kind of neurons states no bounds" in page
    # Neither its range nor its margin was ever to be "measured".
    assert page.count("not known") == 2 * page.count("? no bounds known") > 0


def test_bounds_that_are_stated_are_used() -> None:
    @register
    @dataclass(frozen=True, eq=False)
    class Bounded(Doubling):
        kind: ClassVar[str] = "bounded"

        def limits(self) -> dict[str, tuple[int, int]]:
            return {"total": (-100, 100), "unknown": (0, 1)}

        def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
            return {"total": state["total"] + a, "unknown": a}

        def bounds(self, a: Interval, timesteps: int) -> Bounds:
            most = int(a[1].max()) * timesteps
            return Bounds({"total": (-most, most)}, (2 * a[0], 2 * a[1]))

    program = driven(Bounded("n", (2,), np.ones(2, np.int32), 50))
    found = prove(program, 11).edges
    assert found["n"]["total"].verdict == "proven for the stated input range"
    assert found["n"]["unknown"].verdict == "no bounds known"
    assert found["out"]["synaptic sum beyond 21 bits"].range == (-36, 36)
    assert prove(program, 12).edges["n"]["total"].verdict == "observed only"
    x = {"in": np.full((1, 12, 2), 9)}
    assert emulate(program, x, observe=True).observed["n"] == {"total": 2, "unknown": 24}


def test_a_kind_derived_of_a_bundled_one_keeps_its_own_step() -> None:
    @register
    @dataclass(frozen=True, eq=False)
    class Silent(Population):
        kind: ClassVar[str] = "silent"

        def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
            return state, np.zeros_like(a)

    plain = make_population("n", (3,), vth=1)
    silent = Silent("n", (3,), *plain.registers.values())
    x = {"in": np.full((2, 5, 3), 9)}
    for p, spikes in ((plain, 30), (silent, 0)):
        program = driven(p)
        assert emulate(program, x).s["n"].sum() == spikes
        assert emulate_fast(program, x, kernel="numba").s["n"].sum() == spikes
    assert not prove(driven(silent), 5).portable


@pytest.mark.parametrize(
    "run",
    [
        emulate,
        lambda p, x: emulate_fast(p, x, kernel="numpy"),
        lambda p, x: emulate_mapped(p, ONE, x),
    ],
)
def test_a_message_outside_the_stated_range_stops_the_run(run: Callable[..., Any]) -> None:
    register(Doubling)
    program = driven(doubling((2,), 8))
    run(program, {"in": np.full((1, 3, 2), 4)})
    x = np.full((1, 3, 2), 4)
    x[0, 2, 1] = 5
    with pytest.raises(CheckFailed, match=r"a message of 10 at step 2 is outside -8\.\.8"):
        run(program, {"in": x})


ONE = Mapping("loihi2", (Core(0, (Slice("n", 0, 2), Slice("out", 0, 2))),))


def test_messages_of_another_type_or_shape_are_refused_by_name() -> None:
    @register
    @dataclass(frozen=True, eq=False)
    class Wrong(Neurons):
        flat: bool = False
        kind: ClassVar[str] = "wrong"

        def step(self, state: State, a: Int64, t: int) -> tuple[State, Any]:
            return state, a[:, :1] if self.flat else a > 0

    for flat, said in ((False, "bool"), (True, r"int64 \(1,\)")):
        program = Program(
            (make_input("in", (2,)),), (Wrong("n", (2,), flat),),
            (one_to_one("w", "in", "n", 2),), (Output("o", "n", "s"),),
        )  # fmt: skip
        for run in (emulate, lambda p, x: emulate_fast(p, x, kernel="numpy")):
            with pytest.raises(BadInput, match=f"node 'n': kind 'wrong' sends messages {said}"):
                run(program, {"in": np.ones((1, 2, 2), int)})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"w": 0.5 * np.ones((1, 2))}, r"state w of kind 'forgets' is float64 \(2,\) after a step"),
        ({"w": np.zeros(2, int)}, r"state w of kind 'forgets' is int64 \(\) after a step"),
        ({}, "state w of kind 'forgets' is missing after a step"),
    ],
)
def test_states_that_are_no_integers_are_refused_by_name(after: Any, said: str) -> None:
    @register
    @dataclass(frozen=True, eq=False)
    class Forgets(Neurons):
        kind: ClassVar[str] = "forgets"
        states: ClassVar[tuple[str, ...]] = ("w",)

        def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
            return after, np.zeros_like(a)

    program = driven_by(Forgets("n", (2,)))
    for run in (emulate, lambda p, x: emulate_fast(p, x, kernel="numpy")):
        with pytest.raises(BadInput, match=f"node 'n': {said}"):
            run(program, {"in": np.ones((1, 2, 2), int)})


def test_a_state_beyond_32_bits_is_counted() -> None:
    register(Doubling)
    program = driven(doubling((1,), 2**30), 2**22)
    x = {"in": np.full((1, 600, 1), 2**22)}
    assert emulate(program, x, "none", observe=True).observed["n"] == {VALUE: 600 - 511}


def test_a_file_of_an_unknown_kind_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(Doubling)
    save_program(tmp_path / "p.npz", driven(doubling((2,))))
    monkeypatch.delitem(neurons.KINDS, "doubling")
    with pytest.raises(BadInput, match=r"p\.npz: node 'n': unknown kind of population 'doubling'"):
        load_program(tmp_path / "p.npz")
    with pytest.raises(BadInput, match="node 'n': Doubling is not registered as a kind"):
        driven(doubling((2,)))


def installed(folder: Path, entry: str, source: str) -> None:
    """A distribution as pip leaves it: a module, and its metadata beside it."""
    (folder / "their_neurons.py").write_text(source)
    info = folder / "their_neurons-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-neurons\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[neuroclip.neurons]\n{entry}\n")


THEIRS = """
from dataclasses import dataclass
from typing import ClassVar
from deploy.neurons import Neurons

@dataclass(frozen=True, eq=False)
class Theirs(Neurons):
    kind: ClassVar[str] = "theirs"
    def step(self, state, a, t):
        return state, (a > 0).astype(int)
"""


def test_an_installed_distribution_brings_its_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "theirs = their_neurons:Theirs", THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    theirs = kind_named("theirs")
    save_program(tmp_path / "p.npz", driven_by(theirs("n", (2,))))
    monkeypatch.delitem(neurons.KINDS, "theirs")
    loaded = load_program(tmp_path / "p.npz")
    assert type(loaded.populations[0]) is theirs
    assert emulate(loaded, {"in": np.ones((1, 2, 2), int)}).s["n"].all()


def driven_by(p: Neurons) -> Program:
    connections = (one_to_one("w", "in", "n", p.size),)
    return Program((make_input("in", p.shape),), (p,), connections, (Output("o", "n", "s"),))


@pytest.mark.parametrize(
    ("entry", "source", "said"),
    [
        (
            "theirs = their_neurons:Theirs",
            "import nothing_of_this_name",
            "cannot be loaded: No module",
        ),
        ("theirs = their_neurons:Other", THEIRS, "cannot be loaded: .*Other"),
        ("other = their_neurons:Theirs", THEIRS, "unknown kind of population 'theirs'"),
        ("theirs = their_neurons:dataclass", THEIRS, "not a dataclass that inherits"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, source: str, said: str
) -> None:
    installed(tmp_path, entry, source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_neurons", raising=False)
    with pytest.raises(BadInput, match=said):
        kind_named("theirs")


def test_known_kinds_need_no_look_at_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: pytest.fail("looked"))
    assert kind_named("graded") is Graded


def test_what_is_no_kind_is_not_registered() -> None:
    @dataclass(frozen=True, eq=False)
    class Taken(Neurons):
        kind: ClassVar[str] = "lif"

    @dataclass(frozen=True, eq=False)
    class Fraction(Neurons):
        leak: float = 0.5
        kind: ClassVar[str] = "fraction"

    @dataclass(frozen=True, eq=False)
    class Shadow(Neurons):
        bounds: int = 0  # type: ignore[assignment]
        kind: ClassVar[str] = "shadow"

    @dataclass(frozen=True, eq=False)
    class Nameless(Population):
        pass

    @dataclass(frozen=True, eq=False)
    class Records(Neurons):
        kind: ClassVar[str] = "records"
        recorded: ClassVar[dict[str, str]] = {"u": "w"}

    for of, said in (
        (Taken, "is registered so"),
        (Fraction, "field 'leak' is neither IntArray nor int nor bool"),
        (Shadow, "'bounds' of all neurons cannot be a field"),
        (Nameless, "kind Nameless: its own `kind`"),
        (Records, "it records ['w']"),
        (int, "not a dataclass"),
    ):
        before = dict(neurons.KINDS)
        with pytest.raises(BadInput) as refused:
            register(of)
        assert said in str(refused.value) and before == neurons.KINDS
    assert register(Doubling) is register(Doubling)


def test_a_setting_that_no_file_holds_is_refused() -> None:
    register(Doubling)
    with pytest.raises(BadInput, match=r"node 'n': top is 0\.5, expected a whole number"):
        driven(Doubling("n", (2,), np.ones(2, np.int32), 0.5))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"node 'n': gain is list \(2,\), expected int32 \(2,\)"):
        driven(Doubling("n", (2,), [1, 1]))  # type: ignore[arg-type]
