"""Our graphs in snnTorch, Norse and Sinabs: equal spikes without leak, and what makes the others differ.

The second half pins every misreading that a dialect steps around: such a test fails when the reader is
mended, and then the dialect may lose a line.
"""

import importlib.util
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
nir = pytest.importorskip("nir")

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import registers
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.dialects import DIALECTS, for_norse, for_sinabs, for_snntorch
from export.nir_format.write.file import write_nir
from export.peers.nir_readers import READERS, run_graph

DT = 1e-4


def needs(package):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed"
    )


ALL = [pytest.param(reader, marks=needs(reader)) for reader in READERS]
snntorch, norse, sinabs = (needs(reader) for reader in READERS)


def neurons(kind, shape, threshold, dv=700, du=1400, v_leak=0.0):
    """Nodes as we write them: r·dt = 1, r·dt/τ = 1, w_in·dt/τ_syn = 1."""
    one = np.ones(shape)
    ends = {"v_threshold": one * threshold, "v_reset": 0 * one}
    tau, tau_syn = 4096 * DT / dv * one, 4096 * DT / (du + 1) * one
    if kind == "IF":
        return nir.IF(r=one / DT, **ends)
    if kind == "LIF":
        return nir.LIF(tau=tau, r=tau / DT, v_leak=0 * one, **ends)
    return nir.CubaLIF(
        tau_syn=tau_syn, tau_mem=tau, r=tau / DT, v_leak=v_leak * one, w_in=tau_syn / DT, **ends
    )


def chain(size, *nodes):
    """A graph of nodes in a row, named by their number in it."""
    names = [f"{type(node).__name__.lower()}.{i}" for i, node in enumerate(nodes)]
    found = dict(zip(names, nodes, strict=True))
    shape = np.array(nodes[-1].r.shape)
    ends = {"in": nir.Input(np.array(size)), "out": nir.Output(shape)}
    order = ["in", *names, "out"]
    return nir.NIRGraph({**ends, **found}, list(pairwise(order)), type_check=False)


def even(rng, *shape):
    return 2.0 * rng.integers(-9, 12, shape)


def dense(rng, kind, thresholds=(13, 9)):
    # Even sums and odd thresholds: without truncation none is exactly met.
    bias = 2.0 * rng.integers(-2, 3, 5) * (kind != "CubaLIF")
    return chain(
        [6],
        nir.Affine(even(rng, 5, 6), bias),
        neurons(kind, 5, thresholds[0]),
        nir.Linear(even(rng, 4, 5)),
        neurons(kind, 4, thresholds[1]),
    )


def convolutional(rng, kind):
    """A convolution of two groups, a strided one, pools with padding and without, and Flatten."""

    def conv(size, outputs, inputs, groups, stride):
        return nir.Conv2d(
            input_shape=size, weight=even(rng, outputs, inputs // groups, 3, 3), stride=stride,
            padding=(1, 1), dilation=(1, 1), groups=groups, bias=np.zeros(outputs),
        )  # fmt: skip

    pool = nir.SumPool2d(
        kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([1, 1])
    )
    return chain(
        [2, 7, 6],
        conv((7, 6), 4, 2, 2, (1, 1)), neurons(kind, (4, 7, 6), int(rng.integers(4, 30))),
        pool, neurons(kind, (4, 4, 4), 1),
        conv((4, 4), 3, 4, 1, (2, 2)), neurons(kind, (3, 2, 2), int(rng.integers(4, 30))),
        nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array([3, 2, 2])}),
        nir.Linear(even(rng, 5, 12)), neurons(kind, 5, int(rng.integers(4, 30))),
    )  # fmt: skip


def spikes(graph, rng, samples=3, timesteps=20):
    size = graph.nodes["in"].input_type["input"]
    return (rng.random((samples, timesteps, *size)) < 0.4).astype(np.int8)


def on_chip(graph, data):
    program = lower(graph, input_ranges={"in": (0, 1)})
    found = emulate(program, {"in": data}, "spikes").s
    assert all(0.01 < s.mean() < 0.99 for s in found.values()) or data.size < 100
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name], name)


@pytest.mark.parametrize("reader", ALL)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), convolutions=st.booleans())
def test_integrate_and_fire_networks_are_equal_everywhere(reader, seed, convolutions):
    rng = np.random.default_rng(seed)
    graph = (convolutional if convolutions else dense)(rng, "IF")
    data = spikes(graph, rng)
    expected = emulate(lower(graph), {"in": data}, "spikes").s
    assert_same(run_graph(reader, graph, data), expected)


@pytest.mark.parametrize("reader", ALL)
@pytest.mark.parametrize("make", [dense, convolutional])
def test_what_is_compared_fires(reader, make):
    rng = np.random.default_rng(2)
    graph = make(rng, "IF")
    data = spikes(graph, rng)
    assert_same(run_graph(reader, graph, data), on_chip(graph, data))


def attention(rng, kind="IF"):
    """A join of three branches of different depth: an AND, its sum over pixels, broadcast, and skips."""

    def conv(size, weight, padding=0, groups=1):
        return nir.Conv2d(
            input_shape=size, weight=weight, stride=(1, 1), padding=(padding, padding),
            dilation=(1, 1), groups=groups, bias=np.zeros(len(weight)),
        )  # fmt: skip

    def ones(size, k=1, padding=0):
        return conv(size, np.full((2, 1, k, k), 2.0), padding, groups=2)

    big, small = (3, 3), (1, 1)
    nodes = {"in": nir.Input(np.array([1, 3, 3])), "out": nir.Output(np.array([2, 3, 3]))}
    edges = []

    def add(name, shape, threshold, *feeds):
        for source, layer in feeds:
            synapses = f"{source}_{name}"
            nodes[synapses] = layer
            edges.extend([(source, synapses), (synapses, name)])
        nodes[name] = neurons(kind, shape, threshold)

    for name in "kqv":
        weight = even(rng, 2, 1, 3, 3)
        add(name, (2, 3, 3), int(rng.integers(5, 15)), ("in", conv(big, weight, 1)))
    add("and", (2, 3, 3), 3, ("k", ones(big)), ("v", ones(big)))
    add("fires", (2, 1, 1), 3, ("and", ones(big, 3)))
    add("mask", (2, 3, 3), 3, ("q", ones(big)), ("fires", ones(small, 3, 2)))
    skip = conv(big, even(rng, 2, 1, 3, 3), 1)
    add("a_join", (2, 3, 3), int(rng.integers(3, 15)),
        ("mask", conv(big, even(rng, 2, 2, 1, 1))), ("in", skip), ("q", ones(big)))  # fmt: skip
    return nir.NIRGraph(nodes, [*edges, ("a_join", "out")], type_check=False)


@pytest.mark.parametrize("reader", ALL)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_branches_meet_everywhere(reader, seed):
    rng = np.random.default_rng(seed)
    graph = attention(rng)
    data = spikes(graph, rng)
    expected = emulate(lower(graph), {"in": data}, "spikes").s
    assert_same(run_graph(reader, graph, data), expected)


@pytest.mark.parametrize("reader", ALL)
def test_branches_that_fire_meet(reader):
    rng = np.random.default_rng(3)
    graph = attention(rng)
    data = spikes(graph, rng)
    assert_same(run_graph(reader, graph, data), on_chip(graph, data))


def without_truncation(graph, data):
    """The chip's recurrence in float64, u and v not rounded toward zero: what the readers compute."""
    found, message = {}, data.astype(np.float64)
    for name, node in graph.nodes.items():
        if hasattr(node, "weight"):
            message = message @ node.weight.T + getattr(node, "bias", 0)
        if not hasattr(node, "v_threshold"):
            continue
        cuba = isinstance(node, nir.CubaLIF)
        leak = 1 - DT / (node.tau_mem if cuba else node.tau)
        u, v = np.zeros((2, len(data), *node.v_threshold.shape))
        s = np.zeros(message.shape)
        for t in range(message.shape[1]):
            u = u * (1 - DT / node.tau_syn) + message[:, t] if cuba else message[:, t]
            v = v * leak + u
            s[:, t] = v > node.v_threshold
            v[s[:, t] > 0] = 0
        found[name] = message = s
    return found


@pytest.mark.parametrize(
    ("reader", "kind"),
    [
        pytest.param(reader, kind, marks=needs(reader))
        for reader in READERS
        for kind in ("LIF", "CubaLIF")
        if (reader, kind) != ("sinabs", "CubaLIF")
    ],
)
def test_with_leak_only_truncation_makes_the_difference(reader, kind):
    """Every reader's spikes are those of the recurrence without truncation, which are not the chip's."""
    differing = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        graph = dense(rng, kind)
        data = spikes(graph, rng, samples=8, timesteps=40)
        exact, chip = without_truncation(graph, data), on_chip(graph, data)
        assert_same(run_graph(reader, graph, data), exact)
        counts = [int(np.count_nonzero(exact[name] != chip[name])) for name in chip]
        assert all(count < 0.05 * chip[name].size for count, name in zip(counts, chip, strict=True))
        differing += sum(counts)
    assert differing > 0


@norse
def test_norse_rounds_where_r_went_into_the_weights():
    """w·τ/dt·dt/τ need not be w in float32: a potential that is exactly the threshold may pass it."""
    rng = np.random.default_rng(0)
    even_thresholds = dense(rng, "LIF", thresholds=(12, 8))
    data = spikes(even_thresholds, rng, samples=8, timesteps=40)
    exact = without_truncation(even_thresholds, data)
    found = run_graph("norse", even_thresholds, data)
    assert any((found[name] != exact[name]).any() for name in found)


@pytest.mark.parametrize("reader", ALL)
def test_a_written_file_with_an_integrator_runs(tmp_path, reader):
    """As the bundled models end: a neuron that on a chip cannot reach its threshold."""
    rng = np.random.default_rng(7)
    graph = chain(
        [6], nir.Linear(even(rng, 5, 6)), neurons("IF", 5, 13),
        nir.Linear(even(rng, 3, 5)), nir.I(r=np.ones(3) / DT),
    )  # fmt: skip
    write_nir(tmp_path / "model.nir", graph)
    data = spikes(graph, rng)
    found = run_graph(reader, read_nir(tmp_path / "model.nir"), data)
    chip = emulate(lower(graph), {"in": data}, "spikes").s
    assert_same(found, {"if.1": chip["if.1"]})


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
def test_a_dialect_leaves_the_graph_alone(reader, kind):
    graph = convolutional(np.random.default_rng(1), kind)
    before = {n: {k: np.copy(v) for k, v in vars(x).items()} for n, x in graph.nodes.items()}
    if (reader, kind) == ("sinabs", "CubaLIF"):
        with pytest.raises(BadInput, match=r"'cubalif\.1': Sinabs reads no CubaLIF"):
            for_sinabs(graph, DT)
    else:
        DIALECTS[reader](graph, DT)
    for name, node in graph.nodes.items():
        assert vars(node).keys() == before[name].keys()
        for key, value in vars(node).items():
            assert np.array_equal(np.asarray(value, object), np.asarray(before[name][key], object))


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_the_dialect_of_snntorch_is_the_same_program(kind):
    graph = dense(np.random.default_rng(3), kind)
    said, again = registers(lower(graph)), registers(lower(for_snntorch(graph, DT)))
    assert said.keys() == again.keys()
    assert all(np.array_equal(said[name], again[name]) for name in said)


@snntorch
def test_snntorch_runs_a_graph_of_another_step_at_its_own():
    rng = np.random.default_rng(4)
    graph = dense(rng, "LIF")
    slow = dense(np.random.default_rng(4), "LIF")
    for node in slow.nodes.values():
        if isinstance(node, nir.LIF):
            node.tau = node.tau * 10
    data = spikes(graph, rng)
    assert_same(run_graph("snntorch", slow, data, dt=10 * DT), run_graph("snntorch", graph, data))


# ---------------------------------------------------------------- what the dialects step around


@snntorch
def test_snntorch_reads_no_if_of_ours_and_any_other_as_a_leak():
    """github.com/jeshraghian/snntorch/issues/416: an IF of r = 1 becomes a leak of 0.9."""
    graph = chain([1], nir.Linear(np.array([[2.0]])), neurons("IF", 1, 13))
    data = np.ones((1, 8, 1), np.int8)
    with pytest.raises(BadInput, match=r"snntorch cannot read the graph: .*r != 1 not supported"):
        run_graph("snntorch", graph, data, dialect=False)
    graph.nodes["if.1"].r[:] = 1
    # 2·7 passes 13 at the seventh spike; with a leak of 0.9 it stays below 2·10·(1 − 0.9^8) = 11.4.
    assert run_graph("snntorch", graph, data, 1.0)["if.1"].ravel().tolist() == [0] * 6 + [1, 0]
    assert not run_graph("snntorch", graph, data, dialect=False)["if.1"].any()


@pytest.mark.parametrize("reader", ALL)
def test_grouped_convolutions_are_read_by_none(reader):
    conv = nir.Conv2d(
        input_shape=(3, 3), weight=np.ones((2, 1, 3, 3)), stride=(1, 1), padding=(0, 0),
        dilation=(1, 1), groups=2, bias=np.zeros(2),
    )  # fmt: skip
    node = neurons("IF", (2, 1, 1), 8)
    node.r[:] = 1
    graph = chain([2, 3, 3], conv, node)
    data = np.ones((1, 2, 2, 3, 3), np.int8)
    with pytest.raises(BadInput, match="in_channels must be divisible by groups"):
        run_graph(reader, graph, data, dialect=False)
    assert run_graph(reader, graph, data, 1.0)["if.1"].all()


@pytest.mark.parametrize("reader", [p for p in ALL if p.values[0] != "sinabs"])
def test_flatten_takes_the_batch_with_it(reader):
    """Ours counts without the batch, as the standard does; torch's counts with it."""
    flatten = nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array([1, 2, 2])})
    graph = chain([1, 2, 2], flatten, nir.Linear(np.full((1, 4), 2.0)), neurons("LIF", 1, 5))
    data = np.ones((3, 4, 1, 2, 2), np.int8)
    with pytest.raises(BadInput, match="shapes cannot be multiplied"):
        run_graph(reader, graph, data, dialect=False)
    assert_same(run_graph(reader, graph, data), on_chip(graph, data))


@norse
def test_norse_ignores_the_resistance_of_lif():
    graph = chain([1], nir.Linear(np.array([[14.0]])), neurons("LIF", 1, 13))
    data = np.ones((1, 3, 1), np.int8)
    assert not run_graph("norse", graph, data, dialect=False)["lif.1"].any()
    assert run_graph("norse", graph, data)["lif.1"].all()


@norse
def test_norse_leaks_the_synapse_of_cubalif_to_the_membranes_rest():
    """v_leak = 1 drives u by 2/3·… as well as v: a bias of ours would count twice."""
    node = neurons("CubaLIF", 1, 1e6, dv=4095, du=4094, v_leak=10.0)
    graph = chain([1], nir.Linear(np.array([[0.0]])), node)
    from norse.torch import from_nir

    module = from_nir(graph, dt=DT)
    cells = [m for m in module.modules() if hasattr(m, "p") and hasattr(m.p, "tau_mem_inv")]
    assert len(cells) == 2 and all(float(cell.p.v_leak) == 10.0 for cell in cells)
    with pytest.raises(BadInput, match=r"'cubalif\.1': v_leak is 10; Norse reads 0 only"):
        for_norse(graph, DT)


@norse
def test_norse_ignores_the_padding_of_pools():
    pool = nir.SumPool2d(
        kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([1, 1])
    )
    # Each window holds one pixel; without padding there is one window, of all four.
    graph = chain([1, 2, 2], pool, neurons("IF", (1, 2, 2), 3))
    data = np.ones((1, 2, 1, 2, 2), np.int8)
    assert not run_graph("norse", graph, data)["if.1"].any()
    assert run_graph("norse", graph, data, dialect=False)["if.1"].all()


@sinabs
def test_sinabs_leaves_out_a_linear():
    graph = chain([1], nir.Linear(np.array([[14.0]])), neurons("IF", 1, 13))
    data = np.ones((1, 3, 1), np.int8)
    # 14 > 13 at every step; its weight left out, 1 never is.
    assert not run_graph("sinabs", graph, data, dialect=False)["if.1"].any()
    assert run_graph("sinabs", graph, data)["if.1"].all()


@sinabs
@pytest.mark.parametrize(
    ("weight", "threshold", "as_it_is", "strictly", "why"),
    [
        (4.0, 4, [1, 1, 1], [0, 1, 0], "fires at v = threshold"),
        (9.0, 4, [2, 2, 2], [1, 1, 1], "fires several times in a step"),
        (3.0, 5, [0, 1, 0], [0, 1, 0], "alike"),
        (7.0, 5, [1, 1, 2], [1, 1, 1], "keeps what is above the threshold"),
    ],
)
def test_sinabs_fires_and_resets_in_its_own_way(weight, threshold, as_it_is, strictly, why):
    affine = nir.Affine(np.array([[weight]]), np.zeros(1))
    graph = chain([1], affine, neurons("IF", 1, threshold))
    data = np.ones((1, 3, 1), np.int8)
    found = run_graph("sinabs", graph, data, dialect=False)["if.1"].ravel().tolist()
    assert found == as_it_is, why
    assert run_graph("sinabs", graph, data)["if.1"].ravel().tolist() == strictly
    assert emulate(lower(graph), {"in": data}).s["if.1"].ravel().tolist() == strictly


@sinabs
def test_sinabs_reads_seconds_as_steps():
    """exp(−1/τ) with τ = 0.6 ms taken as 0.0006 steps keeps nothing."""
    affine = nir.Affine(np.array([[8.0]]), np.zeros(1))
    graph = chain([1], affine, neurons("LIF", 1, 13))
    data = np.ones((1, 4, 1), np.int8)
    assert not run_graph("sinabs", graph, data, dialect=False)["lif.1"].any()
    assert run_graph("sinabs", graph, data)["lif.1"].ravel().tolist() == [0, 1, 0, 1]


@sinabs
def test_sinabs_checks_the_leak_of_one_dimension_only():
    graph = chain([1, 2, 2], neurons("LIF", (1, 2, 2), 13))
    with pytest.raises(BadInput, match="truth value of an array"):
        run_graph("sinabs", graph, np.zeros((1, 2, 1, 2, 2), np.int8), dialect=False)


# ---------------------------------------------------------------- what no dialect can say


def test_what_a_reader_cannot_hold_is_refused_by_name():
    cycle = chain([2], nir.Linear(np.eye(2)), neurons("IF", 2, 5))
    cycle.edges.append(("if.1", "linear.0"))
    uneven = chain([2], neurons("LIF", 2, np.array([5, 6])))
    bias = chain([2], neurons("CubaLIF", 2, 5, v_leak=3.0))
    weak = chain([2], neurons("IF", 2, 5))
    weak.nodes["if.0"].r[:] = 7.0
    reset = chain([2], neurons("IF", 2, 5))
    reset.nodes["if.0"].v_reset[:] = 1.0
    direct = chain([2], neurons("LIF", 2, 5))
    shared = attention(np.random.default_rng(0), "LIF")
    shared.edges.append(("in_k", "q"))
    for make, graph, says in [
        (for_norse, cycle, r"nodes .*'if\.1'.*: a cycle"),
        (for_snntorch, uneven, r"'lif\.0': v_threshold differs between neurons \(5\.\.6\)"),
        (for_snntorch, bias, r"'cubalif\.0': v_leak is 3; snnTorch reads 0 only"),
        (for_sinabs, weak, r"'if\.0': r·dt is 0\.0007 with dt = 0\.0001, expected 1"),
        (for_snntorch, reset, r"'if\.0': v_reset other than 0"),
        (for_norse, direct, r"'lif\.0': its input is a Input, expected weights"),
        (for_norse, shared, r"'in_k': it drives other nodes than 'k', whose r"),
    ]:
        with pytest.raises(BadInput, match=says):
            make(graph, DT)
    with pytest.raises(BadInput, match="brian: not one of the readers snntorch, norse, sinabs"):
        run_graph("brian", weak, np.zeros((1, 1, 2), np.int8))


@snntorch
@norse
@sinabs
@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
def test_the_convolutional_network_of_nirs_paper_in_all_three():
    graph = read_nir(Path(os.environ["NEUROCLIP_DATA"]) / "nir" / "cnn_sinabs.nir")
    rng = np.random.default_rng(0)
    data = (rng.random((2, 40, 2, 34, 34)) < 0.05).astype(np.int8)
    first, *others = [run_graph(reader, graph, data, 1.0) for reader in READERS]
    assert all(s.any() for s in first.values())
    for other in others:
        assert_same(other, first)
