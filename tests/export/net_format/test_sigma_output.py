"""Sigma-delta networks of lava-dl's own blocks that end in a sigma read-out, as netx runs them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")
slayer = pytest.importorskip("lava.lib.dl.slayer")

from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from export.net_format.read import read_net

STEPS = 12
NEURON = {
    "threshold": 0.1, "tau_grad": 0.1, "scale_grad": 1.0, "activation": torch.nn.functional.relu,
}  # fmt: skip


def head(synapse: Any) -> tuple[Any, Any]:
    """Synapses into a bare sigma dendrite, as the heads of lava-dl's YOLO networks are."""
    synapse.pre_hook_fx = slayer.neuron.sigma_delta.Neuron(**NEURON).quantize_8bit
    return synapse, slayer.dendrite.Sigma()


def networks() -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """{name: (shape of the input, blocks)}: the Output block, and a head of each kind."""
    sd = slayer.block.sigma_delta
    conv = slayer.synapse.Conv(3, 2, 2, weight_scale=3)
    return {
        "block": ((6,), [sd.Input(NEURON), sd.Dense(NEURON, 6, 5, weight_scale=3),
                         sd.Output(NEURON, 5, 3, weight_scale=3)]),
        "yolo": ((2, 6, 5), [sd.Input(NEURON), sd.Conv(NEURON, 2, 3, 3, padding=1, weight_scale=3),
                             head(conv)]),
        "dense": ((6,), [sd.Input(NEURON), head(slayer.synapse.Dense(6, 4, weight_scale=3))]),
    }  # fmt: skip


def export(path: Path, shape: tuple[int, ...], blocks: list[Any]) -> None:
    """Run the blocks once, which gives them their shapes, and write them as lava-dl does."""
    x = torch.rand(1, *shape, STEPS)
    with torch.no_grad(), h5py.File(path, "w") as file:
        layers = file.create_group("layer")
        for i, block in enumerate(blocks):
            group = layers.create_group(str(i))
            if not isinstance(block, tuple):
                x = block(x)
                block.export_hdf5(group)
                continue
            synapse, sigma = block
            sigma(synapse(x))
            if isinstance(synapse, slayer.synapse.Conv):
                from lava.lib.dl.slayer.object_detection.models.yolo_kp import Network

                Network.export_hdf5_head(SimpleNamespace(heads=[synapse, sigma]), group)
                continue
            weight = synapse.pre_hook_fx(synapse.weight, descale=True).flatten(1).numpy()
            group.create_dataset("type", (1,), "S10", [b"dense"])
            group["shape"], group["weight"] = np.array(sigma.shape), weight
            for key, value in sigma.device_params.items():
                group[f"neuron/{key}"] = value


@pytest.mark.parametrize("name", ["block", "yolo", "dense"])
def test_a_sigma_read_out_is_netx(
    tmp_path: Path, own_python: Callable[..., str], name: str
) -> None:
    torch.manual_seed(3)
    shape, blocks = networks()[name]
    export(tmp_path / "0.net", shape, blocks)
    program = read_net(tmp_path / "0.net", input_range=(-64, 64))
    assert program.population(program.outputs[0].source).kind == "sigma"
    x = np.random.default_rng(0).integers(-64, 65, (1, STEPS, *shape))
    np.savez(tmp_path / "0.npz", spikes=x, bits=16, delta=program.populations[0].vth)
    own_python(Path(__file__).with_name("run_netx.py"), tmp_path)
    found = np.load(tmp_path / "0.npy")
    expected = emulate(program, {"input": x}).s[program.outputs[0].source]
    assert np.array_equal(found.reshape(expected.shape), expected)
    assert len(np.unique(expected)) > 5
    assert np.array_equal(
        emulate_fast(program, {"input": x}).s[program.outputs[0].source], expected
    )


def test_a_sigma_read_out_with_a_bias_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(3)
    shape, blocks = networks()["dense"]
    export(tmp_path / "a.net", shape, blocks)
    with h5py.File(tmp_path / "a.net", "r+") as file:
        file["layer/1/bias"] = np.ones(4)
    with pytest.raises(BadInput, match=r"layer1.*bias: netx has none for a sigma read-out"):
        read_net(tmp_path / "a.net")
