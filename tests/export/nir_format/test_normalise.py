"""NIR graphs of every shape against a node-by-node interpreter that composes nothing."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deploy.connections import Conv2d, Dense
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program
from export.lowering.exact import lower
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.normal.normalise import normalise

R = 1 / DEFAULT_DT
Edges = list[tuple[str, str]]


def plain(nodes: Mapping[str, Any], edges: Edges) -> nir.NIRGraph:
    return nir.NIRGraph(dict(nodes), list(edges), type_check=False)


def chain(*named: Any, **more: Any) -> nir.NIRGraph:
    nodes = dict(named, **more)
    return plain(nodes, list(pairwise(nodes)))


def linear(node: Any, x: np.ndarray) -> np.ndarray:
    """One linear node on x [samples, ...], by torch."""
    tensor = torch.from_numpy(np.ascontiguousarray(x))
    if isinstance(node, nir.Linear | nir.Affine):
        y = torch.nn.functional.linear(
            tensor.flatten(1),
            torch.from_numpy(node.weight),
            torch.from_numpy(node.bias) if isinstance(node, nir.Affine) else None,
        )
        return y.numpy()
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        call = torch.nn.functional.conv1d if x.ndim == 3 else torch.nn.functional.conv2d
        options = (node.stride, node.padding, node.dilation, node.groups)
        return call(
            tensor, torch.from_numpy(node.weight), torch.from_numpy(node.bias), *options
        ).numpy()
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        kernel, stride, padding = (
            tuple(int(n) for n in value) for value in (node.kernel_size, node.stride, node.padding)
        )
        padded = torch.nn.functional.pad(tensor, (padding[1],) * 2 + (padding[0],) * 2)
        mean = torch.nn.functional.avg_pool2d(padded, kernel, stride).numpy()
        return mean * np.prod(kernel) if isinstance(node, nir.SumPool2d) else mean
    if isinstance(node, nir.Scale):
        return x * node.scale
    assert isinstance(node, nir.Flatten)
    return tensor.flatten(node.start_dim + 1 if node.start_dim >= 0 else node.start_dim, -1).numpy()


def interpret(
    graph: nir.NIRGraph, order: list[str], back: set[tuple[str, str]], inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What comes out of every node of a flat graph, [samples, time, ...], node by node.

    order: in which nodes are computed within a step; edges of `back` carry the step before.
    """
    steps = next(iter(inputs.values())).shape[1]
    out: dict[str, list[np.ndarray]] = {name: [] for name in graph.nodes}
    v: dict[str, Any] = {}
    for t in range(steps):
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, nir.Input):
                out[name].append(inputs[name][:, t].astype(float))
                continue
            x: Any = 0
            for edge in graph.edges:
                if edge[1] == name:
                    come = out[edge[0]]
                    step = t - (edge in back)
                    x = x + (come[step] if step >= 0 else 0)
            if isinstance(node, nir.Output):
                out[name].append(x)
            elif isinstance(node, nir.Delay):
                late = round(float(node.delay.flat[0]) / DEFAULT_DT)
                out[name].append(x)
                x = out[name][t - late] if t >= late else 0 * x
                out.setdefault(f"{name} after", []).append(x)
            elif isinstance(node, nir.IF | nir.I):
                shape = np.shape(x)
                r = np.broadcast_to(
                    node.r if node.r.ndim == 0 else node.r.reshape(shape[1:]), shape
                )
                reset = node.v_reset.reshape(shape[1:]) if isinstance(node, nir.IF) else 0
                v[name] = v.get(name, reset + np.zeros(shape)) + DEFAULT_DT * r * x
                if isinstance(node, nir.IF):
                    s = v[name] > node.v_threshold.reshape(shape[1:])
                    v[name] = np.where(s, reset, v[name])
                    out[name].append(s.astype(float))
                else:
                    out[name].append(v[name].copy())
            else:
                out[name].append(linear(node, x))
    return {name: np.stack(values, axis=1) for name, values in out.items()}


class Build:
    """A random flat graph of integer values, with what the interpreter needs to know of it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: dict[str, Any] = {}
        self.edges: Edges = []
        self.back: set[tuple[str, str]] = set()

    def add(self, name: str, node: Any, *before: str) -> str:
        self.nodes[name] = node
        self.edges += [(a, name) for a in before]
        return name

    def fire(self, name: str, shape: tuple[int, ...], *before: str) -> str:
        """Some with a resistance and a reset of their own, whose powers of two are exact."""
        gain = 2.0 ** self.rng.integers(-1, 2, shape)
        reset = 2.0 * self.rng.integers(-1, 2, shape)
        threshold = reset + self.rng.integers(0, 12, shape)
        return self.add(name, nir.IF(r=R * gain, v_threshold=threshold, v_reset=reset), *before)

    def weights(self, *shape: int) -> np.ndarray:
        return 2.0 * self.rng.integers(-3, 5, shape)

    def image_layer(self, name: str, shape: tuple[int, ...], before: str) -> tuple[int, ...]:
        """A convolution, a pool or a scale after an image; returns the shape after it."""
        rng, (channels, height, width) = self.rng, shape
        kind = rng.choice(["conv", "conv", "sum", "mean", "scale"])
        if kind == "scale":
            each = 2.0 ** rng.integers(0, 2, shape if rng.random() < 0.5 else ())
            self.add(name, nir.Scale(np.asarray(each)), before)
            return shape
        kernel = np.array([rng.integers(1, min(4, n + 1)) for n in (height, width)])
        stride, padding = rng.integers(1, 3, 2), rng.integers(0, 2, 2)
        if kind == "conv":
            groups = int(rng.choice([1, channels]))
            out = groups * int(rng.integers(1, 3))
            weight = self.weights(out, channels // groups, *kernel)
            bias = rng.integers(-2, 3, out).astype(float)
            options = [tuple(int(n) for n in pair) for pair in (stride, padding)]
            node: Any = nir.Conv2d(None, weight, *options, 1, groups, bias)
        else:
            kernel = np.array([1, 2]) if kind == "mean" and width > 1 else kernel
            if kind == "mean" and width == 1:
                kernel = np.array([1, 1])
            node = (nir.SumPool2d if kind == "sum" else nir.AvgPool2d)(kernel, stride, padding)
        self.add(name, node, before)
        return linear(node, np.zeros((1, *shape))).shape[1:]


def random_graph(seed: int) -> tuple[Build, tuple[int, ...]]:
    """Images → chains of layers → neurons → … → dense, with branches, loops, delays, two outputs."""
    b = Build(seed)
    rng = b.rng
    first: tuple[int, ...] = tuple(int(n) for n in (rng.integers(1, 3), *rng.integers(3, 8, 2)))
    before, shape = b.add("in", nir.Input(np.array(first))), first
    for i in range(int(rng.integers(1, 3))):
        for j in range(int(rng.integers(1, 4))):
            name = f"layer{i}{j}"
            shape = b.image_layer(name, shape, before)
            before = name
        before = b.fire(f"n{i}", shape, before)
    if rng.random() < 0.5:
        shape = b.image_layer("last", shape, before)
        before = "last"
    before = b.add("flat", nir.Flatten({"input": None}, 0), before)
    size = int(np.prod(shape))
    if rng.random() < 0.5:
        late = np.full(size, rng.integers(0, 4) * DEFAULT_DT)
        before = b.add("late", nir.Delay(late), before)
    hidden = int(rng.integers(2, 6))
    weight, bias = b.weights(hidden, size), rng.integers(-2, 3, hidden).astype(float)
    b.add("dense", nir.Affine(weight, bias) if rng.random() < 0.5 else nir.Linear(weight), before)
    b.fire("hidden", (hidden,), "dense")
    if rng.random() < 0.6:
        b.add("again", nir.Linear(b.weights(hidden, hidden)))
        b.edges += [("hidden", "again"), ("again", "hidden")]
        b.back.add(("again", "hidden"))
    b.add("skip", nir.Linear(b.weights(3, int(np.prod(first)))), "in")
    b.add("scores", nir.Linear(b.weights(3, hidden)), "hidden")
    b.add("sum", nir.I(r=np.full(3, R)), "scores", "skip")
    b.add("spikes", nir.Output(np.array([hidden])), "hidden")
    b.add("values", nir.Output(np.array([3])), "sum")
    return b, first


def reordered(b: Build) -> list[str]:
    """`again` is computed with the step before, so that it comes after `hidden`."""
    names = list(b.nodes)
    if "again" in names:
        names.remove("again")
        names.insert(names.index("hidden") + 1, "again")
    return names


def with_delays(b: Build) -> Build:
    """For the interpreter, in which what comes out of a delay has a name of its own."""
    for index, (a, name) in enumerate(b.edges):
        if isinstance(b.nodes.get(a), nir.Delay):
            b.edges[index] = (f"{a} after", name)
    return b


def lowerable(seed: int) -> tuple[Build, tuple[int, ...], Program]:
    """Products of weights may leave the eight bits of a synapse: the next graph of a seed is taken."""
    for attempt in range(5):
        b, shape = random_graph(100 * seed + attempt)
        try:
            return b, shape, lower(plain(b.nodes, b.edges))
        except BadInput as error:
            assert "not integers of the chip" in str(error)
    raise AssertionError("five graphs in a row do not fit the chip")


@pytest.mark.parametrize("seed", range(120))
def test_a_random_graph_fires_as_it_does_node_by_node(seed: int) -> None:
    b, shape, program = lowerable(seed)
    x = np.random.default_rng(seed).integers(0, 2, (3, 9, *shape))
    trace = emulate(program, {"in": x}, record="all")
    scores = next(p for p in normalise(plain(b.nodes, b.edges)).paths if p.name == "scores")
    reference = interpret(plain(b.nodes, with_delays(b).edges), reordered(b), b.back, {"in": x})
    fires = [p.name for p in program.populations if p.kind == "lif" and p.name in b.nodes]
    assert {"hidden", "n0"} <= set(fires)
    for name in fires:
        assert np.array_equal(trace.s[name], reference[name]), name
    assert [(o.name, o.source, o.quantity) for o in program.outputs] == [
        ("spikes", "hidden", "s"),
        ("values", "sum", "v"),
    ]
    held = next(c for c in program.connections if c.name == "scores").weight
    most = np.abs(scores.operator.weight).argmax()
    scale = held.flat[most] / scores.operator.weight.flat[most] if held.any() else 0
    assert np.array_equal(trace.v["sum"], 64 * scale * reference["sum"]) or not held.any()


# ---------------------------------------------------------------- single constructs


def fire(*shape: int, vth: float = 5.0) -> nir.IF:
    return nir.IF(r=np.full(shape, R), v_threshold=np.full(shape, vth), v_reset=np.zeros(shape))


def dense(*rows: list[float]) -> nir.Linear:
    return nir.Linear(np.array(rows, float))


def test_pooling_and_the_convolution_after_it_are_one_connection() -> None:
    rng = np.random.default_rng(1)
    graph = chain(
        ("in", nir.Input(np.array([2, 8, 8]))),
        ("pool", nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))),
        (
            "conv",
            nir.Conv2d(None, 2.0 * rng.integers(-9, 9, (3, 2, 3, 3)), 1, (1, 1), 1, 1, np.zeros(3)),
        ),
        ("n", fire(3, 4, 4)),
        ("out", nir.Output(np.array([3, 4, 4]))),
    )
    (connection,) = lower(graph).connections
    assert isinstance(connection, Conv2d)
    assert connection.name == "conv" and connection.weight.shape == (3, 2, 6, 6)
    assert (connection.stride, connection.padding) == ((2, 2), (2, 2))


@pytest.mark.parametrize("mean", [False, True])
def test_pooling_flattening_and_a_dense_layer_are_one_connection(mean: bool) -> None:
    pool = nir.AvgPool2d if mean else nir.SumPool2d
    graph = chain(
        ("in", nir.Input(np.array([1, 4, 4]))),
        ("pool", pool(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))),
        ("flat", nir.Flatten({"input": None}, 0, -1)),
        ("fc", nir.Affine(np.array([[8.0, 16.0, 24.0, 32.0]]), np.array([1.0]))),
        ("n", fire(1)),
        ("out", nir.Output(np.array([1]))),
    )
    program = lower(graph)
    (connection,) = program.connections
    assert isinstance(connection, Dense)
    share = 4 if mean else 1
    expected = np.array([[8, 8, 16, 16, 8, 8, 16, 16, 24, 24, 32, 32, 24, 24, 32, 32]]) // share
    assert np.array_equal(connection.weight, expected)
    assert program.population("n").bias.tolist() == [64]


def recurrent(delay: float | None = None) -> nir.NIRGraph:
    """in → fc → a nested graph of a neuron with a loop → fc2 → scores, as snnTorch exports it."""
    nodes = {
        "input": nir.Input(np.array([2])),
        "lif": fire(2, vth=3.0),
        "w_rec": dense([2, -2], [4, 2]),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    if delay is not None:
        nodes["late"] = nir.Delay(np.full(2, delay))
        edges = [*edges[:2], ("w_rec", "late"), ("late", "lif"), edges[3]]
    return chain(
        ("in", nir.Input(np.array([3]))),
        ("fc1", dense([2, 2, 0], [0, 2, 4])),
        ("lif1", plain(nodes, edges)),
        ("fc2", dense([2, 4])),
        ("sum", nir.I(r=np.array([R]))),
        ("out", nir.Output(np.array([1]))),
    )


@pytest.mark.parametrize(("delay", "steps"), [(None, 1), (DEFAULT_DT, 1), (3 * DEFAULT_DT, 3)])
def test_a_nested_recurrent_graph(delay: float | None, steps: int) -> None:
    program = lower(recurrent(delay=delay))
    assert [p.name for p in program.populations] == ["lif1.lif", "sum"]
    assert {(c.name, c.source, c.target, c.delay) for c in program.connections} == {
        ("fc1", "in", "lif1.lif", 0),
        ("lif1.w_rec", "lif1.lif", "lif1.lif", steps),
        ("fc2", "lif1.lif", "sum", 0),
    }


def test_two_neurons_in_a_cycle_have_one_step_on_the_way_back() -> None:
    nodes = {
        "in": nir.Input(np.array([1])),
        "w": dense([2]),
        "a": fire(1),
        "ab": dense([4]),
        "b": fire(1),
        "ba": dense([6]),
        "out": nir.Output(np.array([1])),
    }
    edges = [
        ("in", "w"),
        ("w", "a"),
        ("a", "ab"),
        ("ab", "b"),
        ("b", "ba"),
        ("ba", "a"),
        ("b", "out"),
    ]
    program = lower(plain(nodes, edges))
    assert {c.name: c.delay for c in program.connections} == {"w": 0, "ab": 0, "ba": 1}


def test_delays_that_differ_are_connections_of_their_own() -> None:
    graph = chain(
        ("in", nir.Input(np.array([3]))),
        ("late", nir.Delay(np.array([0.0, 2e-4, 2e-4]))),
        ("w", dense([2, 4, 6])),
        ("later", nir.Delay(np.array([1e-4]))),
        ("n", fire(1)),
        ("out", nir.Output(np.array([1]))),
    )
    first, second = lower(graph).connections
    assert (first.delay, first.weight.tolist()) == (1, [[2, 0, 0]])
    assert (second.delay, second.weight.tolist()) == (3, [[0, 4, 6]])


def test_a_bias_before_a_synaptic_filter_is_a_neuron_that_always_fires() -> None:
    n = 2
    cuba = nir.CubaLIF(
        tau_syn=np.full(n, 4e-4),
        tau_mem=np.full(n, 2e-4),
        r=np.full(n, 2.0),
        v_leak=np.zeros(n),
        v_threshold=np.full(n, 30.0),
        w_in=np.full(n, 4.0),
    )
    graph = chain(
        ("in", nir.Input(np.array([1]))),
        ("fc", nir.Affine(np.array([[2.0], [4.0]]), np.array([6.0, -8.0]))),
        ("n", cuba),
        ("out", nir.Output(np.array([n]))),
    )
    program = lower(graph)
    x = np.random.default_rng(0).integers(0, 2, (3, 12, 1))
    trace = emulate(program, {"in": x}, record="all")
    u, v = np.zeros((3, n), int), np.zeros((3, n), int)

    def truncated(value: np.ndarray) -> np.ndarray:
        return np.sign(value) * (np.abs(value) >> 12)

    for t in range(12):
        a = x[:, t] * np.array([2, 4]) + np.array([6, -8])
        u = truncated(u * 3072) + 64 * a
        v = truncated(v * 2048) + u
        s = v > 30 * 64
        v = np.where(s, 0, v)
        assert np.array_equal(trace.u["n"][:, t], u) and np.array_equal(trace.v["n"][:, t], v)
        assert np.array_equal(trace.s["n"][:, t], s)


def test_a_convolution_over_a_line() -> None:
    rng = np.random.default_rng(2)
    conv = nir.Conv1d(9, 2.0 * rng.integers(-4, 5, (4, 2, 3)), 2, 1, 1, 2, np.arange(4.0))
    with pytest.raises(BadInput, match="node 'conv': it reads 4 channels"):
        lower(line(conv, 2))
    program = lower(line(conv, 4))
    x = rng.integers(0, 2, (5, 6, 4, 9))
    s = emulate(program, {"in": x}).s["n"]
    assert s.shape == (5, 6, 4, 5)
    v = np.zeros((5, 4, 5))
    for t in range(6):
        v += linear(conv, x[:, t].astype(float))
        assert np.array_equal(s[:, t], v > 5)
        v[v > 5] = 0


def line(conv: nir.Conv1d, channels: int) -> nir.NIRGraph:
    return chain(
        ("in", nir.Input(np.array([channels, 9]))),
        ("conv", conv),
        ("n", fire(4, 5)),
        ("out", nir.Output(np.array([4, 5]))),
    )


def test_scalar_parameters_take_the_shape_of_the_layer_before() -> None:
    """nir gives such a neuron the type []; the kernel is one whose type nir infers wrongly."""
    conv = nir.Conv2d(None, np.full((2, 1, 3, 5), 2.0), 1, 0, 1, 1, np.zeros(2))
    neuron = nir.LIF(*(np.array(x) for x in (2e-4, 2.0, 0.0, 7.0, 0.0)))
    graph = chain(
        ("in", nir.Input(np.array([1, 10, 10]))),
        ("conv", conv),
        ("n", neuron),
        ("out", nir.Output(np.array([2, 8, 6]))),
    )
    population = lower(graph).population("n")
    assert population.shape == (2, 8, 6) and (population.vth == 7).all()


def test_a_resting_and_a_reset_potential_are_a_bias_and_a_shift() -> None:
    node = nir.LIF(*(np.array([x]) for x in (4e-4, 4.0, 6.0, 20.0, 2.0)))
    graph = chain(
        ("in", nir.Input(np.array([1]))),
        ("w", dense([2])),
        ("n", node),
        ("out", nir.Output(np.array([1]))),
    )
    (n,) = normalise(graph).neurons
    assert (n.threshold, n.bias, n.rest, n.dv, n.unit) == (18, 1, 2, 0.25, 1)
    population = lower(graph).population("n")
    assert population.vth.tolist() == [18] and population.bias.tolist() == [64]


@pytest.mark.parametrize(
    ("discretisation", "kept"), [("euler", 0.5), ("exp", np.exp(-0.5)), ("zoh", np.exp(-0.5))]
)
def test_discretisations(discretisation: Any, kept: float) -> None:
    node = nir.LIF(*(np.array([x]) for x in (2e-4, 3.0, 0.0, 20.0, 0.0)))
    graph = chain(
        ("in", nir.Input(np.array([1]))),
        ("w", dense([2])),
        ("n", node),
        ("out", nir.Output(np.array([1]))),
    )
    (n,) = normalise(graph, discretisation=discretisation).neurons
    assert np.allclose(n.dv, 1 - kept, rtol=1e-14)
    assert np.allclose(n.unit * n.threshold, 20) and np.allclose(n.unit, 3 * (1 - kept))


def replaced(name: str, node: Any) -> nir.NIRGraph:
    graph = chain(
        ("in", nir.Input(np.array([2]))),
        ("w", dense([2, 2])),
        ("n", fire(1)),
        ("out", nir.Output(np.array([1]))),
    )
    graph.nodes[name] = node
    return graph


def extended(nodes: dict[str, Any], edges: Edges) -> nir.NIRGraph:
    graph = replaced("n", fire(1))
    graph.nodes.update(nodes)
    graph.edges += edges
    return graph


def late(*delays: float) -> nir.NIRGraph:
    nodes = {"d": nir.Delay(np.array(delays)), "w2": dense([2, 2])}
    return extended(nodes, [("in", "d"), ("d", "w2"), ("w2", "n")])


CYCLE = {"a": dense([1]), "b": nir.Scale(np.array([2.0]))}
SQUARE = dense([2, 2], [2, 2])


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            extended(CYCLE, [("w", "a"), ("a", "b"), ("b", "a"), ("b", "n")]),
            "nodes 'a', 'b': a cycle without a neuron",
        ),
        (extended({"a": SQUARE}, [("in", "a"), ("a", "a")]), "nodes 'a': a cycle without a neuron"),
        (extended({}, [("w", "x")]), "edge 'w' → 'x': there is no node 'x'"),
        (extended({}, [("w", "n")]), "edge 'w' → 'n': it is there twice"),
        (extended({"x": fire(1)}, []), "node 'x': no input reaches it"),
        (extended({}, [("out", "n")]), "node 'out': an output has no node after it"),
        (
            extended({"i": nir.I(np.array([R]))}, [("w", "i"), ("i", "n")]),
            "node 'i': I does not fire",
        ),
        (replaced("w", dense([2, 2, 2])), r"node 'w': weight of shape (1, 3) reads 3 values"),
        (replaced("w", nir.Linear(np.ones((1, 1, 2)))), "node 'w': weight of shape (1, 1, 2)"),
        (late(1e-4, 1.5e-4), "node 'd': delay 0.00015 is no whole"),
        (late(1e-4, -1e-4), "node 'd': delay -0.0001 is no whole"),
        (late(1e-4, 63e-4), "node 'd': a delay of 63 steps in all"),
        (replaced("w", nir.Scale(np.ones(3))), "node 'w': scale has 3 values for 2 neurons"),
        (
            replaced("out", nir.Output(np.array([3]))),
            "node 'out': shape [3], the node before it has",
        ),
        (replaced("n", nir.IF(*(np.array([x]) for x in (-R, 1.0, 0.0)))), "node 'n': its gain"),
        (replaced("n", fire(3)), "node 'n': its parameters have 3 values for 1 neurons"),
        (
            replaced("w", nir.Flatten({"input": None}, 2)),
            "node 'w': dimensions 2..-1 of the shape (2,)",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_by_name(graph: nir.NIRGraph, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        normalise(graph)
    assert str(refused.value).startswith(message)
