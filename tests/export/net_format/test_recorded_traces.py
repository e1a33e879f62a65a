"""Recordings that came with lava-dl and lava-nc, of Loihi 2 among others: no value may differ.

The files are found through the installed wheels' lists of files; both wheels install a top-level
package `tests`, which is never imported.
"""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import pytest

from deploy.connections import Conv2d, Dense
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.neurons import Delta, Sigma, make_sigma_delta
from deploy.program.program import Output, Program, make_input, make_population
from export.net_format.read import read_net

NETX = "tests/lava/lib/dl/netx/"


def wheel_file(distribution: str, name: str) -> Path:
    """A file that a wheel installed, by its path in the wheel; skips without it."""
    try:
        listed = files(distribution) or []
    except PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    found = [p for p in listed if p.as_posix() == name]
    if not found:
        pytest.skip(f"this {distribution} has no {name}")
    return Path(found[0].locate())


def recorded(name: str, distribution: str = "lava-dl") -> np.ndarray:
    return np.load(wheel_file(distribution, name), allow_pickle=False)


def time_first(array: np.ndarray) -> np.ndarray:
    """lava-dl's order (W, H, C, time) → ours: (time, C, H, W)."""
    return array.transpose()


def one_layer(synapses, source, shape, **registers):
    population = make_population("n", shape, **registers)
    return Program((source,), (population,), (synapses,), (Output("out", "n", "s"),))


def test_dense():
    weight = recorded(f"{NETX}gts/dense/weight.npy").astype(np.int32)
    spikes = recorded(f"{NETX}gts/dense/in.npy").T.astype(np.int32)
    program = one_layer(
        Dense("w", "in", "n", weight), make_input("in", (200,)), (256,), du=4095, dv=415, vth=6
    )
    trace = emulate_fast(program, {"in": spikes[None]})
    # The recording's first step is the one that a layer takes.
    for name, got in (("out", trace.s["n"][0]), ("current", trace.u["n"][0] / 64)):
        expected = recorded(f"{NETX}gts/dense/{name}.npy").T
        assert np.array_equal(got[:-1], expected[1:])
        assert not expected[0].any()
    assert trace.s["n"].sum() == 1826


@pytest.mark.parametrize(
    ("steps", "fired"), [(700, 21_025), pytest.param(3000, 22_572, marks=pytest.mark.long)]
)
def test_ntidigits_with_delays_up_to_62(steps, fired):
    path = wheel_file("lava-dl", f"{NETX}gts/ntidigits/ntidigits.net")
    program = read_net(path, input_shape=(64,))
    spikes = recorded(f"{NETX}gts/ntidigits/input.npy").T[:steps].astype(np.int32)
    expected = recorded(f"{NETX}gts/ntidigits/output.npy").T[:steps]
    assert expected.sum() == fired
    assert max(c.delay for c in program.connections) == 62
    trace = emulate_fast(program, {"layer0": spikes[None]}, "spikes")
    # Four steps for the four layers of lava-dl's chain.
    assert np.array_equal(trace.s["layer4"][0, :-4], expected[4:])
    assert not expected[:4].any()
    counted = trace.s["layer4"][0].reshape(-1, 11, 22).sum(axis=(0, 2))
    assert np.array_equal(trace.readout["layer5"][0], 128 * counted)


def test_ntidigits_runs_on_lava(equal_on_lava):
    """Its 96 connections, a delay each: every state of every layer, and the readout."""
    path = wheel_file("lava-dl", f"{NETX}gts/ntidigits/ntidigits.net")
    program = read_net(path, input_shape=(64,))
    inputs = {"layer0": recorded(f"{NETX}gts/ntidigits/input.npy").T[None, :120].astype(np.int32)}
    expected, _ = equal_on_lava(program, inputs)
    assert all(expected.s[f"layer{i}"].any() for i in (2, 3, 4)) and expected.v["layer5"].any()


def test_tinynet():
    program = read_net(wheel_file("lava-dl", f"{NETX}tiny.net"), input_range=(0, 255))
    image = recorded(f"{NETX}gts/tinynet/input_bias.npy").transpose().astype(np.int32)
    trace = emulate_fast(program, {"input": np.repeat(image[None, None], 16, axis=1)})
    for layer, name in (("layer0", "input"), ("layer1", "layer1"), ("layer2", "output")):
        expected = np.moveaxis(recorded(f"{NETX}gts/tinynet/{name}.npy")[0], -1, 0)
        assert not expected[0].any()
        assert np.array_equal(trace.s[layer][0, :-1], expected[1:])
    current = np.moveaxis(recorded(f"{NETX}gts/tinynet/current.npy")[0], -1, 0)
    assert np.array_equal(trace.u["layer1"][0, :-1], 64 * current[1:])


# Steps of a sample and of the recording; layer k is read k steps late, and cleared when its sample
# begins: before, it integrates its bias and what the uncleared layer before it fires.
SAMPLE, RECORDED = 17, 24
PILOTNET = {"conv": (1, 2, 3, 4, 5), "fc": (7, 8, 9)}


def test_pilotnet_on_loihi2_in_every_layer_and_state():
    program = read_net(
        wheel_file("lava-dl", f"{NETX}gts/pilotnet_lif/network.net"), input_range=(0, 255)
    )
    image = recorded(f"{NETX}gts/pilotnet_lif/image.npy").transpose().astype(np.int32)
    inputs = {"input": np.repeat(image[None, None], SAMPLE, axis=1)}
    runs = [emulate_fast(p, inputs) for p in (program, late(program))]
    assert compared(runs, "layer0", "input", "s", 0) == RECORDED * 3 * 66 * 200
    values = 0
    layers = [
        (f"layer{n}", f"{k}-{i}") for k, all_n in PILOTNET.items() for i, n in enumerate(all_n)
    ]
    for depth, (layer, name) in enumerate(layers, start=1):
        for quantity in "suv":
            values += compared(runs, layer, name, quantity, depth)
    assert values == 8_561_376


def compared(runs, layer, name, quantity, depth) -> int:
    """Compare one recording, all of it; returns how many values were equal."""
    suffix = "" if quantity == "s" else f"-{quantity}"
    expected = time_first(recorded(f"{NETX}gts/pilotnet_lif/{name}{suffix}.npy"))
    sample, before = (held(run, layer, quantity) for run in runs)
    got = np.concatenate([before[:depth], sample, sample[: RECORDED - SAMPLE - depth]])
    expected = expected.reshape(RECORDED, *got.shape[1:])
    got = got[:RECORDED]
    assert np.array_equal(got, expected), (layer, quantity)
    return expected.size


def held(trace, layer, quantity):
    """A quantity of the only sample; v reads 128 at the step a neuron of the chip fires."""
    values = getattr(trace, quantity)[layer][0]
    return np.where(trace.s[layer][0], 128, values) if quantity == "v" else values


SDNN = f"{NETX}gts/pilotnet_sdnn/"


def late(program):
    """The program in the chip's time, each layer a step behind and no state cleared."""
    connections = (replace(c, delay=int(c.source != "input")) for c in program.connections)
    return replace(program, connections=tuple(connections))


def test_pilotnet_of_sigma_delta_neurons():
    path = wheel_file("lava-dl", f"{SDNN}network.net")
    program = late(read_net(path, input_range=(-64, 64)))
    image = recorded(f"{SDNN}input.npy")[..., 0].transpose().astype(np.int32)
    trace = emulate(program, {"input": np.repeat(image[None, None], 20, axis=1)})
    # Lava's own: what its last layer sends in nine steps.
    assert np.array_equal(trace.s["layer9"][0, :9, 0], recorded(f"{SDNN}output.npy")[0])
    assert np.array_equal(trace.s["layer0"][0], recorded(f"{SDNN}act0.npy").transpose())
    for layer in (1, 2):
        expected = recorded(f"{SDNN}sigma{layer}.npy").transpose()
        assert np.array_equal(trace.u[f"layer{layer}"][0], expected)


def test_square_pilotnet_of_sigma_delta_neurons():
    path = wheel_file("lava-dl", f"{SDNN}square_network.net")
    program = late(read_net(path, input_range=(-64, 64)))
    image = recorded(f"{SDNN}input.npy")[:33, :, :, 0].transpose().astype(np.int32)
    trace = emulate(program, {"input": np.repeat(image[None, None], 20, axis=1)})
    for layer in (1, 2, 3, 4):
        expected = recorded(f"{SDNN}sigma{layer}_square.npy").transpose()
        assert np.array_equal(trace.u[f"layer{layer}"][0], expected), layer


TINY = f"{NETX}gts/tinynet_sdnn/"


def alone(population, synapses, source):
    return Program((source,), (population,), (synapses,), (Output("out", "n", "s"),))


def test_sigma_delta_blocks():
    steps = 15
    image = recorded(f"{TINY}input_bias.npy")[..., None]
    moving = (image * np.sin(2 * np.pi * np.arange(steps) / steps)).astype(np.int32).transpose()
    source = make_input("in", (3, 16, 16), -64, 64)
    drive = Dense("w", "in", "n", 2 * np.eye(source.size, dtype=np.int32), -1)
    delta = alone(Delta("n", source.shape, 20, 6, 6), drive, source)
    sent = emulate(delta, {"in": moving[None]}).s["n"][0]
    assert np.array_equal(sent, recorded(f"{TINY}input.npy").transpose())

    kernel = recorded(f"{TINY}layer1_kernel.npy")[:, ::-1, ::-1].transpose(0, 3, 2, 1)
    bias = recorded(f"{TINY}layer1_bias.npy").reshape(-1, 1, 1)
    source = make_input("in", (3, 16, 16), -(2**15), 2**15)
    conv = Conv2d("w", "in", "n", kernel.astype(np.int32), (16, 16), (2, 2))
    hidden = make_sigma_delta("n", (24, 6, 6), vth=20, bias=bias, spike_exp=6, state_exp=6)
    expected = recorded(f"{TINY}layer1.npy").transpose()
    # The recording is of one step, in which nothing has arrived yet.
    first = emulate(alone(hidden, conv, source), {"in": np.zeros((1, 1, 3, 16, 16), np.int32)})
    assert np.array_equal(first.s["n"][0], expected[:1])
    assert not expected[1:].any() and expected[0].any()

    # That block was made for messages of one bit: Lava takes each for a 1.
    heard = (recorded(f"{TINY}layer1.npy").reshape(-1, 16).T != 0).astype(np.int32)
    weight = recorded(f"{TINY}layer2_weight.npy").astype(np.int32)
    source = make_input("in", (heard.shape[1],))
    out = alone(Sigma("n", (100,)), Dense("w", "in", "n", weight), source)
    sums = emulate(out, {"in": heard[None]}).s["n"][0]
    expected = recorded(f"{TINY}layer2.npy").T
    assert np.array_equal(sums[:-1], expected[1:])
    assert not expected[0].any()


@pytest.mark.parametrize("number", range(10))
def test_convolutions(number):
    """lava-nc's own, in its order (W, H, C); the input there is fractions, here whole numbers."""
    path = wheel_file("lava-nc", f"tests/lava/proc/conv/ground_truth/gt_conv_paris_{number}.npz")
    with np.load(path, allow_pickle=False) as case:
        given = {key: case[key] for key in case.files}
    weight = given["weights"][:, ::-1, ::-1].transpose(0, 3, 2, 1)
    image = given["input"].transpose()

    def pair(field):
        return tuple(int(n) for n in given[field][::-1])

    made = Conv2d(
        "c", "in", "n", np.ascontiguousarray(weight).astype(np.int32), image.shape[1:],
        pair("stride"), pair("padding"), pair("dilation"), int(given["groups"]),
    )  # fmt: skip
    assert made.target_shape == given["out_gt"].transpose().shape
    scale = 2**20
    whole = np.rint(image * scale).astype(np.int64)
    sums = made.sums()(whole.reshape(1, -1)).reshape(made.target_shape)
    # Each input is off by half a unit at most, and so is the recorded single precision of the sums.
    slack = np.abs(weight).reshape(len(weight), -1).sum(axis=1).max() * 2**-20
    assert np.abs(sums / scale - given["out_gt"].transpose()).max() < 1e-3 + slack


def test_convolution_in_time_as_delays():
    folder = "tests/lava/proc/conv_in_time/gts/"
    spikes = recorded(f"{folder}spike_input.npy", "lava-nc").T.astype(np.int32)
    weight = recorded(f"{folder}q_weights.npy", "lava-nc").astype(np.int32)
    expected = recorded(f"{folder}torch_output.npy", "lava-nc").T
    taps, targets, sources = weight.shape
    # Tap k is the message of taps − 1 − k steps ago; odd weights are doubled and halved again.
    program = Program(
        (make_input("in", (sources,)),),
        (make_population("n", (targets,), kind="integrator"),),
        tuple(Dense(f"tap{k}", "in", "n", 2 * weight[k], -1, taps - 1 - k) for k in range(taps)),
        (Output("out", "n", "v"),),
    )
    for run in (emulate, emulate_fast):
        u = run(program, {"in": spikes[None]}).u["n"][0]
        assert np.array_equal(u[taps - 1 :] / 64, expected)
