"""Post-training quantization: what is exact stays, errors fall with bits and scales, NIR holds it all."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest

nir = pytest.importorskip("nir")

from deploy.compare.parity import compare_registers
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program, equal, make_input, registers
from export.frontends.nir import from_nir
from export.graph.graph import Graph, Neuron, Path, Readout, Source
from export.graph.simulate import simulate
from export.lowering.exact import lower, lower_graph
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.graph import graph_to_nir
from export.quantization import wrong_spikes as counting
from export.quantization.layer_values import Choice, Layer
from export.quantization.quantize import quantize
from export.quantization.wrong_spikes import Calibration, wrong_spikes
from neuroclip.linear.maps import Convolution, Dense, diagonal

BINARY = {"input": (0, 1)}


def neuron(name: str, shape: tuple[int, ...], threshold: Any = np.inf, **more: Any) -> Neuron:
    values = {"du": 1.0, "dv": 0.0, "bias": 0.0, "unit": 1.0, "rest": 0.0} | more
    filled = {field: np.broadcast_to(value, shape).astype(float) for field, value in values.items()}
    kind = "integrator" if np.all(threshold == np.inf) else "lif"
    return Neuron(name, shape, kind, threshold=np.broadcast_to(threshold, shape), **filled)  # type: ignore[arg-type]


def made(shape: tuple[int, ...], neurons: list[Neuron], paths: list[Path]) -> Graph:
    readouts = (Readout("output", neurons[-1].name),)
    return Graph((Source("input", shape),), tuple(neurons), tuple(paths), readouts)


def dense(seed: int) -> Graph:
    """Leaky layers of random floats, an integrator at the end."""
    rng = np.random.default_rng(seed)
    return made(
        (20,),
        [
            neuron("a", (30,), rng.uniform(0.5, 2, 30), dv=0.05, bias=rng.normal(0, 0.05, 30)),
            neuron("b", (20,), 1.0, dv=0.02),
            neuron("c", (5,), bias=0.01),
        ],
        [
            Path("ia", "input", "a", Dense(rng.normal(0.05, 0.3, (30, 20)))),
            Path("ab", "a", "b", Dense(rng.normal(0.02, 0.3, (20, 30)))),
            Path("ib", "input", "b", Dense(rng.normal(0, 0.05, (20, 20)))),
            Path("bc", "b", "c", Dense(rng.normal(0, 0.3, (5, 20)))),
        ],
    )


def convolution(seed: int) -> Graph:
    """Channels of weights a hundred times apart, without leak."""
    rng = np.random.default_rng(seed)
    gain = np.array([1.0, 0.01, 0.1, 0.003])
    kernel = rng.normal(0.1, 0.4, (4, 2, 3, 3)) * gain[:, None, None, None]
    return made(
        (2, 6, 5),
        [
            neuron("a", (4, 6, 5), np.repeat(gain, 30).reshape(4, 6, 5)),
            neuron("b", (3,), 1.0),
        ],
        [
            Path("conv", "input", "a", Convolution(kernel, (6, 5), padding=(1, 1))),
            Path("fc", "a", "b", Dense(rng.normal(0, 0.3, (3, 120)))),
        ],
    )


def recurrent(seed: int) -> Graph:
    """Filtered currents, a loop, a delay, a bias before the filter, one synapse a neuron."""
    rng = np.random.default_rng(seed)
    return made(
        (8,),
        [neuron("n", (8,), 1.0, du=0.21, dv=0.043, bias=0.013), neuron("o", (8,), 1.3, dv=0.1)],
        [
            Path("w", "input", "n", Dense(rng.normal(0.05, 0.2, (8, 8)))),
            Path("r", "n", "n", Dense(rng.normal(0, 0.15, (8, 8))), delay=1),
            Path("w.bias", None, "n", Dense(rng.normal(0, 0.01, (8, 1)))),
            Path("late", "n", "o", Dense(rng.normal(0.1, 0.5, (8, 8))), delay=3),
            Path("each", "input", "o", diagonal(rng.normal(0, 0.3, 8))),
        ],
    )


GRAPHS = {"dense": dense, "convolution": convolution, "recurrent": recurrent}


def messages(graph: Graph, seed: int, samples: int = 6, steps: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (samples, steps, *graph.inputs[0].shape)
    return {"input": (rng.random(shape) < 0.3).astype(np.int32)}


def mismatches(graph: Graph, integers: Graph, inputs: dict[str, np.ndarray]) -> dict[str, int]:
    """Spikes of each neuron that differ from the float graph's, each layer fed its own."""
    found, wanted = emulate(lower_graph(integers), inputs), simulate(graph, inputs)
    return {n: int((found.s[n] != wanted.s[n]).sum()) for n in wanted.s}


@pytest.mark.parametrize("kind", GRAPHS)
def test_integers_lower_and_survive_nir(kind: str, tmp_path: File) -> None:
    """What is written is what was quantized, register by register, without its metadata too."""
    for seed in range(4):
        integers, _ = quantize(GRAPHS[kind](seed), BINARY)
        write_nir(tmp_path / "g.nir", graph_to_nir(integers))
        again = read_nir(tmp_path / "g.nir")
        again.metadata = {}
        one, two = lower_graph(integers), lower(again)
        assert compare_registers(registers(one), registers(two)) is None
        assert {o.source for o in one.outputs} == {o.source for o in two.outputs}


@pytest.mark.parametrize("kind", GRAPHS)
def test_spikes_are_near_the_float_graphs(kind: str) -> None:
    for seed in range(3):
        graph = GRAPHS[kind](seed)
        inputs = messages(graph, seed)
        wanted = simulate(graph, inputs)
        spikes = sum(int(s.sum()) for s in wanted.s.values())
        integers, errors = quantize(graph, BINARY, Calibration(inputs, wanted))
        wrong = sum(mismatches(graph, integers, inputs).values())
        assert spikes > 200 and wrong < 0.12 * spikes, (wrong, spikes)
        assert errors.keys() == {n.name for n in graph.neurons}
        assert all(e.weight < 0.03 for e in errors.values())


def test_values_that_are_exact_keep_every_spike() -> None:
    """Integers of the chip, times a number of each neuron's own: registers and spikes are those."""
    rng = np.random.default_rng(0)
    scale = rng.integers(1, 1000, 12) / 1024  # dyadic, so that float64 sums are exact
    weight = 2.0 * rng.integers(-100, 127, (12, 9))
    weight[:, 0] = 254
    graph = made(
        (9,),
        [neuron("n", (12,), rng.integers(200, 900, 12) * scale, bias=3.5 * scale)],
        [Path("w", "input", "n", Dense(weight * scale[:, None]))],
    )
    inputs = messages(graph, 1)
    integers, errors = quantize(graph, BINARY)
    assert np.array_equal(integers.paths[0].operator.weight, weight)
    assert errors["n"].weight < 1e-12 and errors["n"].bias < 1e-12
    assert mismatches(graph, integers, inputs) == {"n": 0}
    assert simulate(graph, inputs).s["n"].any()


def test_the_error_falls_with_bits() -> None:
    graph = dense(0)
    inputs = messages(graph, 0)
    found = [quantize(graph, BINARY, bits=bits) for bits in (3, 4, 6, 8)]
    weights = [errors["a"].weight for _, errors in found]
    assert weights == sorted(weights, reverse=True) and weights[0] > 10 * weights[-1]
    wrong = [mismatches(graph, integers, inputs)["a"] for integers, _ in found]
    assert wrong[0] > 4 * wrong[2] and wrong[1] > 2 * wrong[3]


def test_a_scale_for_each_channel_beats_one_for_the_layer() -> None:
    graph = convolution(0)
    inputs = messages(graph, 0)
    each, errors = quantize(graph, BINARY)
    one, coarse = quantize(graph, BINARY, per_channel=False)
    assert (errors["a"].scale_per, errors["b"].scale_per) == ("channel", "neuron")
    assert coarse["a"].scale_per == "layer"
    assert errors["a"].scale[1] > 50 * errors["a"].scale[0]
    assert 5 * mismatches(graph, each, inputs)["a"] < mismatches(graph, one, inputs)["a"]


def test_calibration_leaves_fewer_wrong_spikes() -> None:
    """Of the first layer, which is fed the same messages with and without: never more, often fewer."""
    better = 0
    for seed in range(5):
        graph = dense(seed)
        inputs = messages(graph, seed)
        plain, _ = quantize(graph, BINARY)
        chosen, _ = quantize(graph, BINARY, Calibration(inputs, simulate(graph, inputs)))
        before, after = (mismatches(graph, g, inputs)["a"] for g in (plain, chosen))
        assert after <= before
        better += after < before
    assert better >= 3


@pytest.mark.parametrize("operator", ["dense", "listed", "convolution", "groups"])
def test_candidates_side_by_side_count_what_each_alone_does(
    operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    shape, groups = (4, 6, 6), 2 if operator == "groups" else 1
    kernels = Convolution(rng.normal(0, 0.3, (4, 4 // groups, 3, 3)), (6, 6), (1, 1), (1, 1),
                          groups=groups)  # fmt: skip
    of = {
        "dense": Dense(rng.normal(0, 0.2, (144, 144))),
        "listed": diagonal(rng.uniform(0.2, 1, 144)),
    }.get(operator, kernels)
    neurons = neuron("a", shape, rng.uniform(0.5, 1, shape), dv=0.1, bias=rng.normal(0, 0.1, shape))
    graph = made(shape, [neurons], [Path("ia", "input", "a", of), Path("aa", "a", "a", of, 1)])
    inputs = messages(graph, 0)
    layer = Layer(neurons, graph.paths, (make_input("input", shape),), True, 127)
    nearest = np.zeros(layer.groups, np.bool_)
    each = [layer.quantized(Choice(layer.fits / 2**i, nearest)) for i in range(3)]
    held = [found for found in each if found is not None]
    calibration = Calibration(inputs, simulate(graph, inputs))
    ranges = (make_input("input", shape),)
    together = wrong_spikes(held, ranges, calibration)
    alone = [wrong_spikes([found], ranges, calibration)[0] for found in held]
    assert len(held) == 3 and np.sum(alone) > 0
    np.testing.assert_array_equal(together, alone)
    monkeypatch.setattr(counting, "_BYTES", 1)  # a sample at a time
    np.testing.assert_array_equal(wrong_spikes(held, ranges, calibration), alone)


def test_integrators_share_a_scale_and_agree_on_the_largest() -> None:
    graph = dense(3)
    inputs = messages(graph, 3, samples=20)
    integers, errors = quantize(graph, BINARY)
    scale = errors["c"].scale
    assert errors["c"].scale_per == "layer" and scale[0] == scale[1]
    only = replace(graph, neurons=graph.neurons[2:], paths=graph.paths[3:])
    sent = {"b": simulate(graph, inputs).s["b"]}
    only = replace(only, inputs=(Source("b", (20,)),))
    exact = replace(only, neurons=integers.neurons[2:], paths=integers.paths[3:])
    found = emulate(lower_graph(exact), sent).readout["c"] / 64 / scale[0]
    assert np.abs(found - simulate(only, sent).readout["c"]).max() < 0.02 * np.abs(found).max()


def test_decays_are_truncated_and_a_leak_stays_one() -> None:
    graph = made(
        (1,),
        [
            neuron(
                "n", (3,), 1.0, du=[0.5, 163.84 / 4096, 0.2], dv=[0.3 / 4096, 99.999999 / 4096, 1]
            )
        ],
        [Path("w", "input", "n", Dense(np.ones((3, 1))))],
    )
    integers, errors = quantize(graph, BINARY)
    population = lower_graph(integers).populations[0]
    assert population.du.tolist() == [2047, 162, 818]
    assert population.dv.tolist() == [1, 100, 4095]
    assert errors["n"].du == pytest.approx((163.84, 2048, 163, 2048))


def test_the_edge_of_21_bits_is_kept_where_it_costs_little() -> None:
    values = np.random.default_rng(0).uniform(0.9, 1, 400)

    def sums(fan_in: int, high: int) -> tuple[int, int]:
        graph = made(
            (fan_in,),
            [neuron("n", (1,), 1.0)],
            [Path("w", "input", "n", Dense(values[None, :fan_in]))],
        )
        integers, _ = quantize(graph, {"input": (0, high)})
        weight = integers.paths[0].operator.weight
        return int(weight.max()), int(weight.sum()) * high

    weight, largest = sums(100, 1)
    assert weight > 126 and largest < 2**15
    weight, largest = sums(300, 1)  # 254 · 300 would be beyond it
    assert weight >= 100 and largest < 2**15
    assert sums(300, 9)[0] > 120  # it would cost four octaves: the proof says "observed only"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": -0.5}, "node 'n': threshold -0.5 is below the potential it is reset to"),
        ({"threshold": 1e9}, "node 'n': all its weights are nothing beside its threshold"),
        ({"threshold": 1e-9}, "node 'n': threshold 1e-09 is nothing beside the weights"),
        ({"bias": 1e300}, "node 'n': threshold 1 is nothing beside the weights or the bias"),
    ],
)
def test_what_no_register_holds_is_refused_by_name(change: dict[str, float], message: str) -> None:
    values = {"threshold": 1.0} | change
    graph = made(
        (1,), [neuron("n", (1,), **values)], [Path("w", "input", "n", Dense(np.ones((1, 1))))]
    )
    with pytest.raises(BadInput) as refused:
        quantize(graph, BINARY)
    assert str(refused.value).startswith(message)


def test_a_bias_that_no_layer_carries_and_no_leak_come_back_from_nir() -> None:
    bias = np.arange(8.0).reshape(2, 2, 2)
    conv = Convolution(2 * np.ones((2, 1, 1, 1)), (2, 2))
    uneven = made(
        (1, 2, 2), [neuron("n", (2, 2, 2), 5.0, bias=bias)], [Path("w", "input", "n", conv)]
    )
    filtered = made(
        (1,), [neuron("n", (1,), 1.0, du=0.5)], [Path("w", "input", "n", Dense(np.ones((1, 1))))]
    )
    for graph in (uneven, filtered):
        assert equal(lower(graph_to_nir(graph)), lower_graph(graph))


# ---------------------------------------------------------------- files and recorded hardware


def norse() -> Any:
    """The NIR paper's single neuron as Norse writes it: single precision, decay 163.84 / 4096."""
    one = np.ones(1, np.float32)
    return nir.NIRGraph(
        {
            "input": nir.Input(np.array([1])),
            "0": nir.Affine(np.ones((1, 1), np.float32), 0 * one),
            "1": nir.LIF(tau=0.0025 * one, r=one, v_leak=0 * one, v_threshold=0.1 * one),
            "output": nir.Output(np.array([1])),
        },
        [("input", "0"), ("0", "1"), ("1", "output")],
    )


def norse_registers(program: Program) -> list[int]:
    p, c = program.populations[0], program.connections[0]
    return [int(x.flat[0]) for x in (p.du, p.dv, p.vth, p.bias_mant, c.weight)]


def test_the_registers_of_the_recorded_hardware_are_found(
    tmp_path: File, spikes: Callable[[], File]
) -> None:
    write_nir(tmp_path / "lif.nir", norse())
    deployment = from_nir(tmp_path / "lif.nir", spikes(), None)
    assert deployment.quantization is not None and not deployment.quantization.exact
    assert "163.84" in deployment.quantization.why
    assert deployment.quantization.layers["1"]["weight_error"] < 1e-8
    assert norse_registers(lower(deployment.graph)) == [4095, 163, 25, 0, 10]


@pytest.fixture
def spikes(tmp_path: File) -> Callable[[], File]:
    def write() -> File:
        rng = np.random.default_rng(0)
        np.save(tmp_path / "spikes.npy", (rng.random((2, 50, 1)) < 0.3).astype(np.uint8))
        return tmp_path / "spikes.npy"

    return write


@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
def test_the_recorded_trace_of_loihi_follows_from_the_published_file(tmp_path: File) -> None:
    """lif_norse.nir → registers → every spike and voltage that Loihi recorded over 1 000 steps."""
    folder = File(os.environ["NEUROCLIP_DATA"]) / "nir"
    spike_in, v_recorded, s_recorded = np.loadtxt(
        folder / "lif_lava_loihi_fixed.csv", delimiter=",", unpack=True
    ).astype(int)
    np.save(tmp_path / "spikes.npy", spike_in.reshape(1, -1, 1))
    for calibrate in (None, tmp_path / "spikes.npy"):
        deployment = from_nir(
            folder / "lif_norse.nir", tmp_path / "spikes.npy", None, calibrate=calibrate
        )
        program = lower(deployment.graph, input_ranges=deployment.input_ranges)
        assert norse_registers(program) == [4095, 163, 25, 0, 10]
        trace = emulate_fast(program, deployment.inputs)
        s, v = trace.s["1"].ravel(), trace.v["1"].ravel()
        # A recording in chip time, one step late, which reads 128 where a neuron spikes.
        assert np.array_equal(s[:-1], s_recorded[1:]) and s.sum() == 4
        assert np.array_equal(np.where(s, 128, v)[:-1], v_recorded[1:])


@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
def test_the_published_convolutional_network_on_real_recordings() -> None:
    folder = File(os.environ["NEUROCLIP_DATA"])
    deployment = from_nir(folder / "nir" / "cnn_sinabs.nir", folder / "nmnist", 10)
    assert deployment.quantization is not None and deployment.quantization.reference is not None
    inputs = deployment.inputs
    program = lower(deployment.graph, input_ranges=deployment.input_ranges)
    found = emulate_fast(program, inputs, record="spikes")
    wanted = simulate(deployment.quantization.reference, inputs)
    for trace in (found, wanted):
        predicted = deployment.predict(trace, slice(0, 10))
        assert int((predicted == deployment.labels).sum()) >= 8
    # The first layer sees the same messages, so its spikes differ by rounding alone.
    assert (found.s["1"] != wanted.s["1"]).sum() < 0.2 * wanted.s["1"].sum()
