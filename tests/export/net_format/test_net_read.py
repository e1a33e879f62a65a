"""lava-dl's `.net` files: what each layer becomes, what is refused, and the command that reads them."""

import json

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.emulate.trace import load_trace
from deploy.errors import BadInput
from deploy.program.file import load_program
from export.commands.main import main
from export.net_format.read import read_net

CUBA = {
    "type": b"CUBA",
    "iDecay": 1024,
    "vDecay": 128,
    "vThMant": 80,
    "refDelay": 1,
    "gradedSpike": False,
}
RNG = np.random.default_rng(0)


def even(*shape):
    return 2.0 * RNG.integers(-60, 60, shape)


def layer(kind, shape=None, neuron=CUBA, **fields):
    made = {"type": np.array([kind.encode()], "S10"), **fields}
    if shape is not None:
        made["shape"] = np.array(shape)
    return made | {f"neuron/{k}": v for k, v in (neuron or {}).items()}


def write(path, *layers):
    with h5py.File(path, "w") as file:
        for i, fields in enumerate(layers):
            for name, value in fields.items():
                file[f"layer/{i}/{name}"] = value
    return path


@pytest.fixture
def net(tmp_path):
    return lambda *layers: write(tmp_path / "a.net", *layers)


def ones(*shape):
    return (np.random.default_rng(1).random((2, 9, *shape)) < 0.5).astype(np.int32)


# ---------------------------------------------------------------- what layers become


def test_decays_threshold_and_bias(net):
    bias = 2.0 * np.arange(-2, 2)
    program = read_net(net(layer("dense", (4,), weight=even(4, 3), bias=bias)))
    (p,) = program.populations
    assert (p.du == 1023).all() and (p.dv == 128).all() and (p.vth == 80).all()
    assert p.bias.tolist() == (64 * bias).astype(int).tolist()
    assert [c.name for c in program.connections] == ["layer0_weight"]


def test_neurons_without_memory_and_with_a_refractory_period(net):
    forgets = CUBA | {"iDecay": 4096, "vDecay": 4096}
    path = net(
        layer("dense", (2,), forgets, weight=even(2, 3)),
        layer("dense", (2,), CUBA | {"refDelay": 3}, weight=even(2, 2)),
    )
    first, second = read_net(path).populations
    assert first.kind == "threshold" and (first.vth == 80).all()
    assert second.refractory == 2


def test_registers_of_each_neuron_and_of_each_channel(net):
    neuron = CUBA | {"iDecay": np.array([0, 4096]), "vThMant": np.arange(24)}
    conv = layer(
        "conv", (2, 3, 4), neuron, weight=even(2, 1, 2, 2, 1), stride=1, padding=0, dilation=1,
        groups=1, bias=np.array([4.0, -4.0]),
    )  # fmt: skip
    (p,) = read_net(net(conv), input_shape=(1, 4, 5)).populations
    assert p.du[:, 0, 0].tolist() == [-1, 4095] and (p.du == p.du[:, :1, :1]).all()
    assert p.vth.tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    assert p.bias[:, 2, 3].tolist() == [256, -256]


def test_a_bias_for_every_neuron_is_in_the_order_of_netx(net):
    bias = 2.0 * np.arange(24).reshape(4, 3, 2)  # (width, height, channel)
    conv = layer(
        "conv", (2, 3, 4), weight=even(2, 1, 2, 2), stride=1, padding=0, dilation=1, groups=1,
        bias=bias,
    )  # fmt: skip
    (p,) = read_net(net(conv), input_shape=(1, 4, 5)).populations
    assert (p.bias == 64 * bias.transpose()).all()


def test_a_layer_without_neurons_sums_up(net):
    for neuron in (None, CUBA | {"iDecay": 0, "vDecay": 4096, "vThMant": 2**17}):
        program = read_net(net(layer("dense", (2,), neuron, weight=np.array([[2, 4], [-6, 8]]))))
        assert program.populations[0].kind == "integrator"
        assert program.outputs[0].quantity == "v"
        x = ones(2)
        expected = 64 * np.cumsum(x @ np.array([[2, -6], [4, 8]]), axis=1)
        assert (emulate(program, {"input": x}).v["layer0"] == expected).all()


def test_the_order_of_a_convolution_and_of_what_it_flattens(net):
    torch = pytest.importorskip("torch")
    kernel, dense = even(4, 1, 2, 3), even(3, 4 * 4 * 4)
    clear = CUBA | {"iDecay": 4096, "vDecay": 0, "vThMant": 2**17 - 1}
    fires = CUBA | {"iDecay": 4096, "vDecay": 4095, "vThMant": 30}
    path = net(
        layer("input", (2, 7, 6), None),
        layer(
            "conv", (4, 4, 4), fires, weight=kernel, stride=np.array([2, 1]),
            padding=np.array([1, 0]), dilation=np.array([2, 1]), groups=2,
        ),
        layer("flatten", (64, 1, 1), None),
        layer("dense", (3, 1, 1), clear, weight=dense),
    )  # fmt: skip
    x = ones(2, 7, 6)
    trace = emulate_fast(read_net(path), {"layer0": x})
    current = torch.nn.functional.conv2d(
        torch.from_numpy(x.reshape(-1, 2, 7, 6)).double(), torch.from_numpy(kernel),
        stride=(2, 1), padding=(1, 0), dilation=(2, 1), groups=2,
    )  # fmt: skip
    assert np.array_equal(trace.u["layer1"].reshape(current.shape), 64 * current.numpy())
    spikes = trace.s["layer1"].reshape(2, 9, -1).astype(np.int64)
    assert spikes.any()
    assert np.array_equal(trace.u["layer3"], 64 * spikes @ dense.T.astype(np.int64))


def test_pooling_counts(net):
    clear = CUBA | {"iDecay": 4096, "vDecay": 0, "vThMant": 2**17 - 1}
    pool = layer(
        "pool", (2, 3, 2), clear, weight=np.full((1, 1, 2, 3), 6.0), kernelSize=np.array([2, 3]),
        stride=np.array([2, 3]), padding=np.array([0, 0]), dilation=np.array([1, 1]),
    )  # fmt: skip
    x = ones(2, 6, 6)
    trace = emulate_fast(read_net(net(pool), input_shape=(2, 6, 6)), {"input": x})
    counts = x.reshape(2, 9, 2, 3, 2, 2, 3).sum(axis=(4, 6))
    assert np.array_equal(trace.u["layer0"], 64 * 6 * counts)


def test_a_loop_takes_one_step(net):
    relay = CUBA | {"iDecay": 4096, "vDecay": 4095, "vThMant": 1}
    eye = 2.0 * np.eye(2)
    path = net(layer("dense_rec", (2,), relay, weight=eye, weight_rec=eye[::-1]))
    x = np.zeros((1, 4, 2), np.int32)
    x[0, 0, 0] = 1
    s = emulate(read_net(path), {"input": x}).s["layer0"][0]
    assert s.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


RELAY = CUBA | {"iDecay": 4096, "vDecay": 4095, "vThMant": 1}


@pytest.mark.parametrize(
    ("delay", "late"),
    [
        (np.array([3.0, 0, 1]), [3, 0, 1]),  # of the axon of each neuron
        (np.float32(2), [2, 2, 2]),  # of all
        (np.diag([1.0, 2, 3]), [1, 2, 3]),  # of each synapse
    ],
)
def test_delays(net, delay, late):
    path = net(
        layer("dense", (3,), RELAY, weight=2 * np.eye(3), delay=delay),
        layer("dense", (3,), RELAY, weight=2 * np.eye(3)),
    )
    s = emulate_fast(read_net(path), {"input": np.eye(3, dtype=np.int32)[None, [0, 1, 2, 0]]}).s
    # Neuron i fires at step i (and the first at 3); each a delay later arrives behind.
    for i, steps in enumerate(late):
        fired = [t + steps for t in range(4) if t % 3 == i and t + steps < 4]
        assert np.flatnonzero(s["layer1"][0, :, i]).tolist() == fired


def test_delays_behind_the_last_layer_and_of_channels(net):
    conv = layer(
        "conv", (2, 1, 2), RELAY, weight=2 * np.ones((2, 1, 1, 1)), stride=1, padding=0, dilation=1,
        groups=1, delay=np.array([2.0, 0]),
    )  # fmt: skip
    program = read_net(net(conv), input_shape=(1, 1, 2))
    assert program.outputs[0].source == "layer0_delayed"
    x = np.zeros((1, 4, 1, 1, 2), np.int32)
    x[0, 0, 0, 0, 1] = x[0, 1, 0, 0, 0] = 1
    s = emulate(program, {"input": x}).s["layer0_delayed"][0, :, :, 0]
    assert np.argwhere(s).tolist() == [[0, 1, 1], [1, 1, 0], [2, 0, 1], [3, 0, 0]]


def test_delays_before_a_convolution_in_groups(net):
    """Each channel by its own delay, as if the images had been shifted beforehand."""
    conv = {"stride": 1, "padding": 0, "dilation": 1}
    first = layer("conv", (4, 3, 3), RELAY, weight=2 * np.ones((4, 1, 1, 1)), groups=4, **conv)
    second = layer("conv", (2, 2, 2), weight=even(2, 2, 2, 2), groups=2, **conv)
    x, late = ones(4, 3, 3), [0, 2, 1, 2]
    shifted = np.zeros_like(x)
    for channel, steps in enumerate(late):
        shifted[:, steps:, channel] = x[:, : 9 - steps, channel]
    delayed = read_net(net(first | {"delay": np.array(late)}, second), input_shape=(4, 3, 3))
    plain = read_net(net(first, second), input_shape=(4, 3, 3))
    a, b = (emulate(p, {"input": y}).v["layer1"] for p, y in ((delayed, x), (plain, shifted)))
    assert a.any() and np.array_equal(a, b)


def test_weights_that_a_program_does_not_hold_as_they_are(net):
    weight = np.array([[1, -3], [127, 0]])
    program = read_net(net(layer("dense", (2,), RELAY, weight=weight)))
    assert program.connections[0].exponent == -1
    x = np.array([[[1, 1], [0, 1]]])
    assert emulate(program, {"input": x}).u["layer0"].tolist() == [[[-128, 8128], [-192, 0]]]


def test_an_average_counts_the_spikes_of_a_class(net):
    path = net(layer("dense", (6,), RELAY, weight=2 * np.eye(6)), layer("average", (3, 1, 1), None))
    x = ones(6)
    trace = emulate_fast(read_net(path), {"input": x})
    assert np.array_equal(trace.readout["layer1"], 128 * x.sum(axis=1).reshape(2, 3, 2).sum(axis=2))


# ---------------------------------------------------------------- what is refused

DENSE = layer("dense", (2,), weight=even(2, 3))
CONV = layer("conv", (2, 3, 3), weight=even(2, 1, 2, 2), stride=1, padding=0, dilation=1, groups=1)
IMAGE = layer("input", (1, 4, 4), None)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([layer("convT", (2,))], "layers of type 'convT' are not supported"),
        ([layer("dense", (2,), CUBA | {"type": b"RF"}, weight=even(2, 3))], "type 'RF'"),
        ([layer("dense", (2,), CUBA | {"gradedSpike": True}, weight=even(2, 3))], "gradedSpike"),
        ([layer("dense", (2,), CUBA | {"refDelay": 0}, weight=even(2, 3))], "refractory is -1"),
        ([layer("dense", (2,), CUBA | {"weight_exp": 1.0}, weight=even(2, 3))], "weight_exp"),
        ([layer("dense", (2,), CUBA | {"vDecay": 4096}, weight=even(2, 3))], "vDecay 4096"),
        ([layer("dense", (2,), CUBA | {"iDecay": -1}, weight=even(2, 3))], "iDecay -1"),
        ([layer("dense", (2,), CUBA | {"vThMant": -1}, weight=even(2, 3))], "vThMant -1"),
        ([layer("dense", (2,), CUBA | {"mystery": 1}, weight=even(2, 3))], "'mystery'"),
        ([layer("dense", (2,), CUBA | {"iDecay": np.ones(3, int)}, weight=even(2, 3))], "3 values"),
        ([layer("dense", (2,))], "'weight' is missing"),
        ([layer("dense", weight=even(2, 3))], "'shape' is missing"),
        ([{"shape": 2}], "'type' is missing"),
        ([DENSE | {"weight": even(2, 3) + 0.5}], "weight holds"),
        ([DENSE | {"weight": even(2, 3) * np.nan}], "weight holds nan"),
        ([DENSE | {"weight": np.full((2, 3), 300.0)}], "weight 300 is outside"),
        ([DENSE | {"weight": np.full((2, 3), 129.0)}], "weight 129 is odd"),
        ([DENSE | {"weight": even(5)}], r"weight of shape \(5,\)"),
        ([DENSE | {"weight": b"none"}], "'weight' is missing"),
        ([DENSE | {"bias": np.array([1e5, 0])}], "bias 6400000"),
        ([DENSE | {"delay": np.array([0, 63.0])}, DENSE | {"weight": even(2, 2)}], "delay 63"),
        ([DENSE | {"delay": np.array([-1, 0.0])}, DENSE | {"weight": even(2, 2)}], "delay -1"),
        ([DENSE | {"delay": np.arange(5.0)}], r"delay of shape \(5,\)"),
        ([DENSE, DENSE], "layer1.*'layer0' before it has shape"),
        ([DENSE | {"shape": np.array([0])}], "positive sizes"),
        ([DENSE | {"shape": np.array([2**20, 2**20])}], "elements"),
        ([layer("input", (1, 70000, 70000), None), CONV], "more than"),
        ([IMAGE, CONV | {"shape": np.array([2, 70000, 70000])}], "more than"),
        ([IMAGE, CONV | {"shape": np.array([2, 2000, 4000])}], "its kernel over"),
        ([CONV], "does not say what shape"),
        ([IMAGE, CONV | {"shape": np.array([2, 3, 4])}], r"its kernel over \(1, 4, 4\) makes"),
        ([IMAGE, CONV | {"groups": 3}], "groups"),
        ([IMAGE, CONV | {"stride": 0}], "stride is"),
        ([IMAGE, CONV | {"weight": even(2, 3, 2, 2)}], "has shape"),
        ([IMAGE, layer("flatten", (17,), None), CONV], "its shape is"),
        ([IMAGE, IMAGE, CONV], "stands first"),
        ([IMAGE], "no layer of neurons"),
        ([DENSE, layer("average", (3,), None)], "no 3 groups"),
        ([layer("dense_rec", (2,), weight=even(2, 3), weight_rec=even(3, 3))], "weight_rec"),
        ([layer("dense", (2,), None, **{"weight/real": even(2, 3)})], "'weight' has parts"),
    ],
)
def test_a_layer_that_no_program_holds_is_refused_by_name(net, layers, says):
    path = net(*layers)
    with pytest.raises(BadInput, match=says) as refusal:
        read_net(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def hostile(path, content):
    with h5py.File(path, "w") as file:
        content(file)
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda f: f.create_group("other"), "no group 'layer'"),
        (lambda f: f.create_group("layer"), "no group 'layer' with layers"),
        (lambda f: f.create_group("layer/1"), "not numbered from 0"),
        (lambda f: f.__setitem__("layer/0", 3), "not a group"),
        (lambda f: f.create_group("layer").__setitem__("0", f["layer"]), "linked twice"),
        (
            lambda f: f.__setitem__("layer/0/weight", h5py.ExternalLink("b", "c")),
            "link out of place",
        ),
        (lambda f: f.create_dataset("layer/0/weight", (2**40,), "f4", chunks=(1024,)), "bytes"),
        # A hundred million numbers that are nowhere in the file.
        (lambda f: f.create_dataset("layer/0/weight", (10**8,), "f4", chunks=(1024,)), "bytes"),
        (lambda f: f.create_dataset("layer/0/weight", (2,), h5py.ref_dtype), "has type object"),
        (lambda f: f.__setitem__("layer/0/neuron/type/x", 3), "not a value"),
    ],
)
def test_hostile_files_are_refused(tmp_path, content, says):
    with pytest.raises(BadInput, match=says):
        read_net(hostile(tmp_path / "a.net", content))


@pytest.mark.parametrize("repeats", [60, pytest.param(600, marks=pytest.mark.long)])
def test_damaged_bytes_are_refused_or_read(net, repeats):
    path = net(IMAGE, CONV, layer("dense", (2,), weight=even(2, 18), bias=even(2)))
    whole, rng, refused = path.read_bytes(), np.random.default_rng(2), 0
    for _ in range(repeats):
        content = bytearray(whole[: len(whole) if rng.random() < 0.7 else rng.integers(len(whole))])
        for place in rng.integers(0, max(len(content), 1), 4):
            if content:
                content[place] = rng.integers(256)
        path.write_bytes(bytes(content))
        try:
            read_net(path)
        except BadInput as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > repeats / 10


# ---------------------------------------------------------------- the command


def export(model, data, out, *more, target="emulator"):
    return main([str(a) for a in (model, "--data", data, "--target", target, "--out", out, *more)])


@pytest.fixture
def spikes(tmp_path):
    path = tmp_path / "spikes.npz"
    np.savez(path, spikes=ones(1, 4, 4), labels=np.array([0, 1]))
    return path


def test_the_command_runs_a_net_and_writes_it_as_nir(net, spikes, tmp_path):
    model = net(IMAGE, CONV, layer("flatten", None, None), layer("dense", (2,), weight=even(2, 18)))
    assert export(model, spikes, tmp_path / "out", "--record", "all") == 0
    trace = load_trace(tmp_path / "out" / "trace.npz")
    expected = emulate(read_net(model), {"layer0": np.load(spikes)["spikes"]})
    for name in ("layer1", "layer3"):
        assert np.array_equal(trace[f"{name}/v"], expected.v[name])
    assert (tmp_path / "out" / "model.nir").exists()
    # The graph it wrote goes the same way.
    again = export(tmp_path / "out" / "model.nir", spikes, tmp_path / "two", "--record", "all")
    assert again == 0
    two = load_trace(tmp_path / "two" / "trace.npz")
    assert np.array_equal(two["layer3/v"], trace["layer3/v"])


def test_the_report_says_why_there_is_no_graph(net, spikes, tmp_path):
    dense = layer("dense", (2,), weight=even(2, 2))
    model = net(
        layer("input", (1, 4, 4), None), layer("flatten", None, None),
        layer("dense", (2,), weight=even(2, 16)) | {"neuron/refDelay": 3}, dense,
    )  # fmt: skip
    assert export(model, spikes, tmp_path / "out") == 0
    assert not (tmp_path / "out" / "model.nir").exists()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert any("model.nir is not written" in w for w in report["warnings"])


@pytest.mark.parametrize("target", ["netx", "nir"])
def test_the_command_writes_a_net_and_a_graph(net, spikes, tmp_path, target, capsys):
    model = net(IMAGE, CONV, layer("flatten", None, None), layer("dense", (2,), weight=even(2, 18)))
    out = tmp_path / "out"
    assert export(model, spikes, out, target=target) == 0
    written = out / ("network.net" if target == "netx" else "model.nir")
    assert f"{written}: written, read back" in capsys.readouterr().out
    if target == "netx":
        x = {"layer0": np.load(spikes)["spikes"]}
        a, b = (emulate(read_net(p), x) for p in (model, written))
        assert np.array_equal(a.v["layer3"], b.v["layer3"])


def test_the_command_refuses_in_one_line(net, refused, tmp_path, spikes):
    model = net(layer("convT", (2,)))
    base = ("--target", "emulator", "--out", tmp_path / "out")
    refused(main, model, "--data", spikes, *base, says=(model, "layer0", "'convT'"))
    refused(main, model, *base, says=("brings no data",))
    refused(main, "a.nir", "--net-decay", "stored", *base, says=("no .net file",))
    refused(
        main, tmp_path / "missing.net", "--data", spikes, *base, says=("missing.net", "No such")
    )
    good = net(IMAGE, CONV)
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((2, 3, 1, 4, 5), np.uint8))
    refused(main, good, "--data", wrong, *base, says=("the data has (1, 4, 5)",))


def test_reading_needs_neither_torch_nor_lava(net, spikes, tmp_path, own_python):
    model = net(IMAGE, CONV)
    run = [model, "--data", spikes, "--target", "emulator", "--out", tmp_path / "out"]
    code = (
        f"import sys; from export.commands.main import main; main({[str(a) for a in run]});"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'lava'}))"
    )
    assert own_python("-c", code).splitlines()[-1] == "[]"


# ---------------------------------------------------------------- decays one below


def low_decay(tmp_path, net, stored):
    """A network whose recordings were made with a vDecay of 415, its file saying `stored`."""
    weight = 2 * np.random.default_rng(4).integers(-20, 21, (60, 16))
    made = {
        dv: layer(
            "dense", (60,), CUBA | {"iDecay": 4096, "vDecay": dv, "vThMant": 60}, weight=weight
        )
        for dv in (stored, 415)
    }
    x = (np.random.default_rng(5).random((2, 400, 16)) < 0.1).astype(np.int32)
    exact = emulate_fast(read_net(net(made[415])), {"input": x}).s["layer0"]
    data = tmp_path / "data.npz"
    np.savez(data, spikes=x, **{"layer0/s": exact})
    return net(made[stored]), data, exact


def test_a_decay_one_below_is_found_reported_and_put_right(tmp_path, net, capsys):
    model, data, exact = low_decay(tmp_path, net, 414)
    assert export(model, data, tmp_path / "auto") == 0
    assert (load_program(tmp_path / "auto/program.npz").population("layer0").dv == 415).all()
    trace = load_trace(tmp_path / "auto/trace.npz")
    assert np.array_equal(trace["layer0/s"], exact)
    assert "stored vDecay 414" in capsys.readouterr().err
    assert export(model, data, tmp_path / "kept", "--net-decay", "stored") == 0
    assert (load_program(tmp_path / "kept/program.npz").population("layer0").dv == 414).all()
    assert not np.array_equal(load_trace(tmp_path / "kept/trace.npz")["layer0/s"], exact)
    assert export(model, data, tmp_path / "one", "--net-decay", "plus-one") == 0
    assert (load_program(tmp_path / "one/program.npz").population("layer0").dv == 415).all()


def test_a_recording_that_no_decay_explains_is_reported(tmp_path, net, capsys):
    model, data, _ = low_decay(tmp_path, net, 300)
    assert export(model, data, tmp_path / "out") == 0
    assert (load_program(tmp_path / "out/program.npz").population("layer0").dv == 300).all()
    assert "and with the next one too" in capsys.readouterr().err


def test_a_recording_of_another_shape_is_refused(tmp_path, net, refused):
    model, data, exact = low_decay(tmp_path, net, 414)
    np.savez(data, spikes=np.zeros((2, 400, 16), int), **{"layer0/s": exact[:, :3]})
    base = ("--target", "emulator", "--out", tmp_path / "out")
    refused(main, model, "--data", data, *base, says=(data, "layer0/s", "expected (2, 400, 60)"))


def test_lava_runs_a_net_with_a_loop_and_delays(tmp_path, net, capsys):
    """What netx cannot: pooling, delays behind a loop, an average; equal to the emulator."""
    pytest.importorskip("lava.magma.core.run_conditions")
    pool = layer(
        "pool", (1, 2, 2), RELAY, weight=np.full((1, 1, 2, 2), 2.0), kernelSize=np.array([2, 2]),
        stride=np.array([2, 2]), padding=np.array([0, 0]), dilation=np.array([1, 1]),
    )  # fmt: skip
    model = net(
        IMAGE,
        pool,
        layer("flatten", (4, 1, 1), None),
        layer("dense_rec", (4,), weight=even(4, 4), weight_rec=even(4, 4), delay=np.arange(4.0)),
        layer("average", (2,), None),
    )
    data = tmp_path / "data.npy"
    np.save(data, ones(1, 4, 4))
    assert export(model, data, tmp_path / "out", target="lava") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (pair,) = report["parity"]["pairs"]
    assert pair["ok"] and pair["spikes_compared"] and not pair["state_mismatches"]
