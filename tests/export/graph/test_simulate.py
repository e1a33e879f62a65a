"""The float64 simulation of a normalised graph: by hand, by naive loops, and against the emulator."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("nir")

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from export.graph.graph import Graph, Neuron, Path, Readout, Source
from export.graph.simulate import _feed_forward, _pays, operator_sums, simulate
from export.lowering.exact import lower_graph
from neuroclip.linear.maps import Convolution, Dense, apply, diagonal


def neuron(name: str, shape: tuple[int, ...], threshold: float = np.inf, **more: Any) -> Neuron:
    values = {"du": 1.0, "dv": 0.0, "threshold": threshold, "bias": 0.0, "unit": 1.0, "rest": 0.0}
    filled = {field: np.full(shape, more.get(field, value)) for field, value in values.items()}
    return Neuron(name, shape, "integrator" if threshold == np.inf else "lif", **filled)


def graph(neurons: list[Neuron], paths: list[Path], shape: tuple[int, ...]) -> Graph:
    readouts = (Readout("output", neurons[-1].name),)
    return Graph((Source("input", shape),), tuple(neurons), tuple(paths), readouts)


def test_a_leaky_neuron_by_hand() -> None:
    """v: 0.5, 0.75, 0.875 fires, 0.5, 0.25, 0.625, 0.8125 fires; an integrator sums what it sends."""
    found = simulate(
        graph(
            [neuron("a", (1,), 0.8, dv=0.5), neuron("b", (1,), bias=0.25)],
            [
                Path("w", "input", "a", Dense(np.array([[0.5]]))),
                Path("x", "a", "b", Dense(np.array([[3.0]]))),
            ],
            (1,),
        ),
        {"input": np.array([1, 1, 1, 1, 0, 1, 1]).reshape(1, 7, 1)},
    )
    assert found.s["a"].ravel().tolist() == [0, 0, 1, 0, 0, 0, 1]
    assert found.readout["b"].tolist() == [[7 * 0.25 + 2 * 3.0]]


def test_a_filtered_current_a_delay_and_a_loop_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    w, r = rng.normal(0, 1, (4, 3)), rng.normal(0, 0.5, (4, 4))
    messages = rng.integers(0, 3, (5, 30, 3))
    found = simulate(
        graph(
            [neuron("n", (4,), 0.7, du=0.3, dv=0.1)],
            [
                Path("w", "input", "n", Dense(w), delay=2),
                Path("r", "n", "n", Dense(r), delay=1),
                Path("b", None, "n", Dense(np.full((4, 1), 0.05)), delay=1),
            ],
            (3,),
        ),
        {"input": messages},
    )
    for k in range(5):
        u, v, s = np.zeros(4), np.zeros(4), [np.zeros(4)]
        for t in range(30):
            a = (w @ messages[k, t - 2] if t >= 2 else 0) + r @ s[-1] + (0.05 if t >= 1 else 0)
            u = 0.7 * u + a
            v = 0.9 * v + u
            s.append((v > 0.7).astype(float))
            v = np.where(v > 0.7, 0, v)
        assert np.array_equal(found.s["n"][k], np.array(s[1:]))
    assert 0.1 < found.s["n"].mean() < 0.9


@pytest.mark.parametrize("seed", range(12))
def test_windows_give_the_sums_of_the_plain_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, 3))
    pairs = {
        "stride": rng.integers(1, 3, 2),
        "padding": rng.integers(0, 3, 2),
        "dilation": rng.integers(1, 3, 2),
    }
    op = Convolution(
        rng.normal(size=(4, 3, *rng.integers(1, 4, 2))),
        (7, 9),
        groups=groups,
        **{field: (int(y), int(x)) for field, (y, x) in pairs.items()},
    )
    x = rng.normal(size=(3, op.source_size))
    assert np.allclose(operator_sums(op)(x), apply(op, x), rtol=1e-12, atol=1e-12)


def test_without_leak_the_emulator_fires_alike() -> None:
    rng = np.random.default_rng(1)
    kernel = 2.0 * rng.integers(-20, 30, (4, 2, 3, 3))
    made = graph(
        [neuron("a", (4, 5, 6), 60.0, bias=1.25), neuron("b", (3,), 40.0)],
        [
            Path("conv", "input", "a", Convolution(kernel, (5, 6), padding=(1, 1))),
            Path("fc", "a", "b", Dense(2.0 * rng.integers(-9, 12, (3, 120)))),
        ],
        (2, 5, 6),
    )
    messages = rng.integers(0, 2, (3, 20, 2, 5, 6))
    found, exact = (
        simulate(made, {"input": messages}),
        emulate(lower_graph(made), {"input": messages}),
    )
    assert all(np.array_equal(found.s[name], exact.s[name]) for name in ("a", "b"))
    assert found.s["a"].any() and found.s["b"].any()


def test_what_does_not_fit_is_refused_by_name() -> None:
    made = graph([neuron("n", (1,), 1.0)], [Path("w", "input", "n", Dense(np.ones((1, 1))))], (1,))
    for inputs, message in [
        ({}, "input 'input' of the graph is missing"),
        ({"input": np.zeros((1, 2, 3))}, r"input 'input': data of shape \(1, 2, 3\), expected"),
    ]:
        with pytest.raises(BadInput, match=message):
            simulate(made, inputs)
    loop = graph([neuron("n", (1,), 1.0)], [Path("w", "n", "n", Dense(np.ones((1, 1))))], (1,))
    with pytest.raises(BadInput, match=r"nodes \['n'\]: a cycle without any delay"):
        simulate(loop, {"input": np.zeros((1, 2, 1))})


@pytest.mark.parametrize("seed", range(20))
def test_the_compiled_loops_give_what_numpy_gives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On values whose sums are exact in any order; with delays, branches, biases and convolutions."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)

    def dyadic(*shape: int) -> Any:
        return rng.integers(-40, 41, shape) / 16

    decays = (1.0, 0.5, 0.25)
    hidden = [
        neuron(
            name,
            shape,
            float(rng.integers(1, 9)) / 4,
            du=rng.choice(decays),
            dv=rng.choice((0, 0.5)),
        )
        for name, shape in (("a", (3, 4, 5)), ("b", (6,)), ("c", (6,)))
    ]
    delay = rng.integers(0, 4, 5).tolist()
    kernel, size = dyadic(3, 2, 3, 3), (4, 5)
    made = graph(
        [*hidden, neuron("end", (4,), bias=0.25, du=rng.choice(decays))],
        [
            Path("1", "input", "a", Convolution(kernel, size, padding=(1, 1)), delay[0]),
            Path("2", None, "a", Dense(dyadic(60, 1)), delay[1]),
            Path("3", "a", "b", Dense(dyadic(6, 60)), delay[2]),
            Path("4", "a", "c", Dense(dyadic(6, 60))),
            Path("5", "b", "c", diagonal(dyadic(6)), delay[3]),
            Path("6", "c", "end", Dense(dyadic(4, 6)), delay[4]),
            Path("7", "b", "end", Dense(dyadic(4, 6))),
        ],
        (2, 4, 5),
    )
    kind = rng.choice(["uint8", "bool", "int64"])
    seldom = rng.random((3, 25, 2, 4, 5)) < 0.06
    inputs = {"input": (seldom * rng.integers(1, 4, seldom.shape)).astype(kind)}
    stepped, compiled = [], []
    for small, kept in ((np.inf, stepped), (0, compiled)):
        monkeypatch.setattr("export.graph.simulate._SMALL", small)
        monkeypatch.setattr("export.graph.simulate._KERNEL", "nowhere")
        assert _pays(made, inputs, 1) == (kept is compiled)
        kept.append(simulate(made, inputs))
    (one,), (other,) = stepped, compiled
    assert one.s.keys() == other.s.keys() and one.readout.keys() == other.readout.keys()
    for name, spikes in one.s.items():
        assert np.array_equal(spikes, other.s[name]) and spikes.dtype == other.s[name].dtype
        assert np.array_equal(one.messages[name], other.messages[name])
    assert np.array_equal(one.readout["end"], other.readout["end"])
    assert one.s["a"].any()
    shared = simulate(made, inputs, threads=2)
    assert all(np.array_equal(spikes, shared.s[name]) for name, spikes in other.s.items())
    assert np.array_equal(shared.readout["end"], other.readout["end"])


def test_loops_and_what_is_busy_stay_with_numpy() -> None:
    pytest.importorskip("numba")
    loop = Path("r", "n", "n", Dense(np.ones((1, 1))), delay=1)
    made = graph(
        [neuron("n", (1,), 1.0)], [Path("w", "input", "n", Dense(np.ones((1, 1)))), loop], (1,)
    )
    assert _feed_forward(made) is None
    seldom, busy = np.zeros((1, 10, 1)), np.ones((1, 10, 1))
    assert _pays(made, {"input": seldom}, 1 << 40)
    assert not _pays(made, {"input": busy}, 1 << 40)
