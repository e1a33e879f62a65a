"""The bundled SpikeCLIP's NIR file: standard nodes, the same network again, the same spikes elsewhere."""

import importlib.util
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "nirtorch", "h5py"):
    pytest.importorskip(package)

import h5py
import nir

from deploy.compare.parity import compare_registers
from deploy.emulate.reference import emulate
from deploy.program.file import load_program
from deploy.program.program import registers
from export.commands import main as cli
from export.frontends.frontend import Request
from export.frontends.spikeclip import from_spikeclip
from export.graph.simulate import simulate
from export.lowering.exact import lower
from export.nir_format.normal.normalise import normalise
from export.nir_format.read.file import read_nir
from export.nir_format.write.module import to_nir
from export.peers.nir_readers import READERS, run_graph
from neuroclip.chip.network import INPUT
from neuroclip.spikeclip.chip import quantized
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import ChipSpikeClip, repeated

NAME = "spikeclip-digits"
DT = 1e-4
SAMPLES = 50
POPULATIONS = {
    "token1", "token2", "last", "readout", "block1_enter", "block1_q", "block1_k", "block1_v",
    "block1_kv", "block1_sum", "block1_mask", "block1_middle", "block1_hidden",
}  # fmt: skip
STANDARD = {"Input", "Output", "Conv2d", "LIF", "LI"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of an export, and the deployment that it came from."""
    out = tmp_path_factory.mktemp("export")
    options = ("--target", "emulator", "--samples", str(SAMPLES), "--record", "all")
    assert cli.main([NAME, *options, "--out", str(out)]) == 0
    return out, from_spikeclip(NAME, Request(samples=SAMPLES, dt=DT))


def test_the_file_holds_standard_primitives_only(exported):
    out, _ = exported
    kinds, fields = {}, set()
    with h5py.File(out / "model.nir") as file:
        for name, node in file["node/nodes"].items():
            kind = node["type"][()].decode()
            kinds[name] = kind
            fields |= {(kind, key) for key in node if key not in ("type", "metadata")}
        edges = {(a.decode(), b.decode()) for a, b in file["node/edges"][()]}
    assert set(kinds.values()) == STANDARD
    for kind in STANDARD:
        # What nir's class of that name is made of, and nothing else.
        known = set(getattr(nir, kind).__dataclass_fields__) | {"shape"}
        assert {key for k, key in fields if k == kind} <= known
    assert {name for name, kind in kinds.items() if kind in ("LIF", "LI")} == POPULATIONS
    # AND: a LIF with two inputs, a connection of weight 2 each. Sum and broadcast: kernels of ones.
    assert {a for a, b in edges if b == "block1_kv"} == {"block1_kv_k", "block1_kv_v"}
    assert {a for a, b in edges if b == "block1_mask"} == {"block1_mask_q", "block1_spread"}
    graph = nir.read(out / "model.nir", type_check=False)
    for name in ("block1_kv_k", "block1_kv_v", "block1_mask_q", "block1_total", "block1_spread"):
        node = graph.nodes[name]
        assert (node.weight == 2).all() and node.groups == node.weight.shape[0] == 32
    assert tuple(graph.nodes["block1_spread"].padding) == (3, 3)


def test_the_file_is_the_same_network_to_our_own_command(exported, tmp_path):
    out, deployment = exported
    spikes = tmp_path / "pixels.npz"
    np.savez(spikes, spikes=deployment.inputs[INPUT], labels=deployment.labels)
    again = tmp_path / "again"
    options = ("--data", str(spikes), "--target", "emulator", "--record", "all")
    assert cli.main([str(out / "model.nir"), *options, "--out", str(again)]) == 0
    held = [registers(load_program(folder / "program.npz")) for folder in (out, again)]
    assert compare_registers(*held) is None
    with np.load(out / "trace.npz") as a, np.load(again / "trace.npz") as b:
        assert set(a.files) == set(b.files) >= {f"{name}/v" for name in POPULATIONS}
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], name)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (out, again)]
    accuracies = [report["accuracy"]["emulator"] for report in reports]
    assert accuracies[0] == accuracies[1] and accuracies[0]["value"] > 0.9


def test_nothing_rests_on_metadata(exported):
    out, deployment = exported
    graph = read_nir(out / "model.nir")
    program = lower(graph, input_ranges=deployment.input_ranges)
    graph.metadata = {}
    for node in graph.nodes.values():
        node.metadata = {}
    bare = lower(graph, input_ranges=deployment.input_ranges)
    assert compare_registers(registers(program), registers(bare)) is None


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(
            reader,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(reader) is None, reason=f"{reader} is not installed"
            ),
        )
        for reader in READERS
    ],
)
def test_every_spike_is_the_same_in_other_simulators(exported, reader):
    out, deployment = exported
    graph = read_nir(out / "model.nir")
    program = lower(graph, input_ranges=deployment.input_ranges)
    chip = emulate(program, deployment.inputs, "spikes").s
    found = run_graph(reader, graph, deployment.inputs[INPUT])
    assert found.keys() == POPULATIONS - {"readout"}
    for name, spikes in found.items():
        assert 0 < spikes.mean() < 1, name
        np.testing.assert_array_equal(spikes, chip[name], name)


SMALL = SpikeClipConfig(
    image_size=8, channels=2, width=8, convolutions=2, halvings=1, blocks=2, heads=2, ratio=2,
    steps=4, features=6,
)  # fmt: skip


def differing(encoder, scales=None):
    """How many spikes of a quantized encoder a float64 simulation without truncation has otherwise.

    scales: exponents in place of its own.
    """
    chip, own = quantized(SMALL, encoder)
    model = ChipSpikeClip(SMALL, {**own, **(scales or {})}, torch.eye(6, 8), torch.eye(3, 6))
    model.encoder.load_state_dict(chip.state_dict())
    graph = to_nir(model.network())
    generator = torch.Generator().manual_seed(1)
    sent = torch.randint(0, SMALL.message_max + 1, (20, 2, 8, 8), generator=generator)
    inputs = {INPUT: repeated(SMALL, sent.float()).numpy().astype(np.int16)}
    program = lower(graph, input_ranges={INPUT: (0, SMALL.message_max)})
    fired = emulate(program, inputs, "spikes").s
    exact = simulate(normalise(graph, dt=DT, discretisation="euler"), inputs).s
    assert all(0.005 < s.mean() < 0.995 for s in exact.values())
    return sum(int(np.count_nonzero(fired[name] != s)) for name, s in exact.items())


@pytest.mark.parametrize("seed", range(4))
def test_biases_of_a_new_model_leave_nothing_to_truncate(make_encoder, seed):
    assert differing(make_encoder(SMALL, seed)) == 0


def test_finer_biases_would_be_truncated(make_encoder):
    """The rule is what makes the spikes equal: with biases in units finer by the rule some are not."""
    encoder = make_encoder(SMALL, 0)
    _, scales = quantized(SMALL, encoder)
    neurons = [n for n in scales if "fires" in n or n == "last" or n.split(".")[-1] in
               ("enter", "middle", "hidden")]  # fmt: skip
    assert all(scales[name] >= SMALL.steps - 1 for name in neurons)
    finer = {name: scales[name] - (SMALL.steps - 1) for name in neurons}
    assert differing(encoder, finer) > 0
