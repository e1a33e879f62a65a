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
from deploy.emulator import emulate
from deploy.fast import emulate_fast
from deploy.program import Output, Program, make_input, make_population
from export.net_read import read_net

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


def test_ntidigits_with_delays_up_to_62():
    path = wheel_file("lava-dl", f"{NETX}gts/ntidigits/ntidigits.net")
    program = read_net(path, input_shape=(64,))
    spikes = recorded(f"{NETX}gts/ntidigits/input.npy").T.astype(np.int32)
    expected = recorded(f"{NETX}gts/ntidigits/output.npy").T
    assert expected.sum() == 22572
    assert max(c.delay for c in program.connections) == 62
    trace = emulate_fast(program, {"layer0": spikes[None]}, "spikes")
    # Four steps for the four layers of lava-dl's chain.
    assert np.array_equal(trace.s["layer4"][0, :-4], expected[4:])
    assert not expected[:4].any()
    counted = trace.s["layer4"][0].reshape(-1, 11, 22).sum(axis=(0, 2))
    assert np.array_equal(trace.readout["layer5"][0], 128 * counted)


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
    late = (replace(c, delay=int(c.source != "input")) for c in program.connections)
    uncleared = replace(program, connections=tuple(late))
    runs = [emulate_fast(p, inputs) for p in (program, uncleared)]
    assert compared(runs, "layer0", "input", "s", 0) == RECORDED * 3 * 66 * 200
    values = 0
    layers = [(f"layer{n}", f"{k}-{i}") for k, all_n in PILOTNET.items() for i, n in enumerate(all_n)]
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
    from deploy.synapses import synaptic_sums

    sums = synaptic_sums(made)(whole.reshape(1, -1)).reshape(made.target_shape)
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
        tuple(
            Dense(f"tap{k}", "in", "n", 2 * weight[k], -1, taps - 1 - k) for k in range(taps)
        ),
        (Output("out", "n", "v"),),
    )
    for run in (emulate, emulate_fast):
        u = run(program, {"in": spikes[None]}).u["n"][0]
        assert np.array_equal(u[taps - 1 :] / 64, expected)
