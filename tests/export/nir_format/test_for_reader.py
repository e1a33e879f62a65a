"""`--target nir --for READER`: the call that the command tells loads the file, and its spikes are ours."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroclip as nc
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from export.commands.main import main as command
from export.nir_format.upstream_bugs import in_order
from export.nir_format.write.file import write_nir
from export.targets.nir import Nir

_SPEC = importlib.util.spec_from_file_location(
    "graphs", Path(__file__).with_name("test_dialects.py")
)
graphs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(graphs)
ALL, DT, chain, neurons, spikes = (
    getattr(graphs, name) for name in ("ALL", "DT", "chain", "neurons", "spikes")
)
attention, convolutional, dense = graphs.attention, graphs.convolutional, graphs.dense


def called(reader, told, folder, samples):
    """The module that a person gets who does what is told, and nothing else."""
    told = told.partition("loaded by ")[2]
    call = re.match(r"\S+\(.*?\)(?:, type_check=False\))?(?:, \w+=[\w.e-]+)?\)*", told)[0]
    call = call.replace("nir.read('", f"nir.read('{folder}/")
    names = {"nir": nir, "SAMPLES": samples}
    names[reader] = pytest.importorskip(reader)
    for part in {
        "snntorch": ["snntorch.import_nir"],
        "sinabs": ["sinabs.nir", "sinabs.activation"],
    }.get(reader, ["norse.torch"]):
        pytest.importorskip(part)
    module = eval(call, names)
    if "in_order" in told:
        module = in_order(module)
    if "spike_fn" in told:
        activation = names[reader].activation
        for layer in module.modules():
            if hasattr(layer, "spike_fn"):
                layer.spike_fn, layer.reset_fn = activation.SingleSpike, activation.MembraneReset()
                layer.min_v_mem = None
    return module


def sent(reader, module, data, shape):
    """What the module gives, [samples, time, *shape], as its own documents run it."""
    x, state, steps = torch.as_tensor(data, dtype=torch.float32), None, []
    with torch.no_grad():
        if reader == "sinabs":
            found = module(x.flatten(0, 1))
            found = found[0] if isinstance(found, tuple) else found
            return found.reshape(*data.shape[:2], *shape).numpy()
        for t in range(data.shape[1]):
            out, state = module(x[:, t], state)
            steps.append(out.reshape(len(data), *shape))
    return torch.stack(steps, 1).numpy()


def assert_loads_equal(folder, reader, graph, data, **options):
    """Through the command's path and file, by the call it tells: every output is the emulator's."""
    write_nir(folder / "given.nir", graph)
    np.save(folder / "x.npy", data)
    report = nc.export(
        *(folder / "given.nir", folder / "x.npy"),
        **{"target": "nir", "reader": reader, "out": folder / "out", **options},
    )
    program = nc.load(folder / "out" / "program.npz")
    assert report.json["written"] == f"model-{reader}.nir"
    (output,) = program.outputs
    expected = emulate(program, {program.inputs[0].name: data}).s[output.source]
    module = called(reader, str(report), folder / "out", len(data))
    found = sent(reader, module, data, expected.shape[2:])
    np.testing.assert_array_equal(found, expected)
    return expected


@pytest.mark.long
@pytest.mark.parametrize("reader", ALL)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), make=st.sampled_from([dense, convolutional, attention]))
def test_a_file_for_a_reader_gives_our_spikes_there(tmp_path_factory, reader, seed, make):
    rng = np.random.default_rng(seed)
    graph = make(rng, "IF")
    assert_loads_equal(tmp_path_factory.mktemp("run"), reader, graph, spikes(graph, rng))


@pytest.mark.parametrize("reader", ALL)
@pytest.mark.parametrize("make", [dense, convolutional, attention])
def test_one_of_each_gives_our_spikes_and_some(tmp_path, reader, make):
    rng = np.random.default_rng(3)
    graph = make(rng, "IF")
    assert assert_loads_equal(tmp_path, reader, graph, spikes(graph, rng)).any()


@pytest.mark.parametrize("reader", ALL)
def test_names_that_are_no_attributes_and_a_leak_in_images(tmp_path, reader):
    """A leak of a half leaves nothing to truncate in five steps of weights that 2^4 divides."""
    rng = np.random.default_rng(5)
    conv = nir.Conv2d(
        input_shape=(3, 3), weight=16.0 * rng.integers(-5, 8, (2, 1, 2, 2)), stride=(1, 1), padding=(0, 0),
        dilation=(1, 1), groups=1, bias=np.zeros(2),
    )  # fmt: skip
    graph = chain([1, 3, 3], conv, neurons("LIF", (2, 2, 2), 41, dv=2048))
    odd = {"conv2d.0": "forward", "lif.1": "9 über.alles"}
    graph.nodes = {odd.get(name, name): node for name, node in graph.nodes.items()}
    graph.edges = [(odd.get(a, a), odd.get(b, b)) for a, b in graph.edges]
    assert assert_loads_equal(tmp_path, reader, graph, spikes(graph, rng, timesteps=5)).any()


def test_what_no_file_holds_is_refused_and_nothing_is_left(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_nir(tmp_path / "cuba.nir", dense(rng, "CubaLIF"))
    write_nir(tmp_path / "if.nir", dense(rng, "IF"))
    np.save(tmp_path / "x.npy", rng.integers(0, 2, (2, 4, 6)))
    data = ("--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "out"))
    for model, target, reader, says in [
        ("cuba", "nir", "sinabs", "node 'cubalif.1': Sinabs reads no CubaLIF"),
        ("if", "nir", "brian", "target 'nir' writes only for snntorch, norse, sinabs"),
        ("if", "emulator", "norse", "target 'emulator' writes for no reader"),
    ]:
        asked = [str(tmp_path / f"{model}.nir"), *data, "--target", target, "--for", reader]
        assert command(asked) == 2
        assert says in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_the_target_names_the_readers_that_have_a_dialect():
    assert Nir.readers == graphs.READERS
    with pytest.raises(BadInput, match="--for brian"):
        nc.export("nothing.nir", target="nir", reader="brian", out="nowhere")


@pytest.mark.parametrize(("times", "told"), [(10, "dt=0.001)"), (10 / 3, f"dt={10 / 3 * DT!r})")])
def test_a_graph_of_another_step_is_told_its_own_in_all_its_digits(tmp_path, times, told):
    pytest.importorskip("norse")
    rng = np.random.default_rng(1)
    graph = dense(rng, "LIF")
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            node.tau = node.tau * times
    write_nir(tmp_path / "slow.nir", graph)
    np.save(tmp_path / "x.npy", spikes(graph, rng))
    report = nc.export(
        *(tmp_path / "slow.nir", tmp_path / "x.npy"),
        **{"target": "nir", "reader": "norse", "out": tmp_path / "out", "dt": times * DT},
    )
    assert told in str(report)
