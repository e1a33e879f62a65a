"""A user's snnTorch network, through NIR and Program, on every target: every spike and state equal."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")

from torch import nn

from deploy.compare.parity import compare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import registers
from export.frontends.network import from_network
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.module import to_nir
from export.run.options import Options
from export.run.pipeline import run as export_run
from export.run.torch_run import run_torch, torch_registers
from neuroclip.convert.snntorch import to_chip

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


class Convolutional(nn.Module):
    """What event cameras are usually given, with a skip and a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.lif1 = snn.Leaky(0.8, threshold=0.3, **KEPT)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.average = nn.AvgPool2d(2)
        self.skip = nn.Conv2d(4, 6, 1, stride=2)
        self.lif2 = snn.Leaky(0.5, threshold=0.1, **KEPT)
        self.fc1 = nn.Linear(6 * 2 * 2, 12)
        self.loop = snn.RLeaky(0.9, linear_features=12, threshold=0.2, **KEPT)
        self.fc2 = nn.Linear(12, 5)
        self.out = snn.Leaky(1.0, reset_mechanism="none", init_hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes = self.pool(self.lif1(self.norm1(self.conv1(x))))
        spikes = self.lif2(self.average(self.conv2(spikes)) + self.skip(spikes))
        return self.out(self.fc2(self.loop(self.fc1(spikes.flatten(1)))))


def dense(neuron: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9, bias=False), neuron, nn.Linear(9, 4, bias=False),
                         snn.Synaptic(0.7, 0.9, threshold=0.2, **KEPT))  # fmt: skip


MODELS = {
    "convolutional": (Convolutional, (2, 8, 8)),
    "leaky": (lambda: dense(snn.Leaky(0.9, threshold=0.2, **KEPT)), (6,)),
    "per neuron": (
        lambda: dense(snn.Leaky(torch.linspace(0.2, 0.9, 9), threshold=0.2, **KEPT)),
        (6,),
    ),
    "one to one": (
        lambda: dense(
            snn.RLeaky(0.8, all_to_all=False, V=torch.linspace(-0.5, 0.5, 9), threshold=0.2, **KEPT)
        ),
        (6,),
    ),
}


@pytest.fixture(params=sorted(MODELS))
def door(request: pytest.FixtureRequest) -> SimpleNamespace:
    torch.manual_seed(4)
    make, shape = MODELS[request.param]
    model = make().eval()
    spikes = (torch.rand(3, 7, *shape) < 0.4).numpy().astype(np.int8)
    return SimpleNamespace(name=request.param, chip=to_chip(model, shape=shape), spikes=spikes)


def test_torch_and_emulator_agree_through_a_nir_file(door: SimpleNamespace, tmp_path: Path) -> None:
    write_nir(tmp_path / "model.nir", to_nir(door.chip))
    program = lower(read_nir(tmp_path / "model.nir"))
    inputs = {"input": door.spikes}
    trace = emulate(program, inputs)
    found = compare(
        "torch", torch_registers(door.chip), run_torch(door.chip, inputs),
        "emulator", registers(program), trace,
    )  # fmt: skip
    assert found.ok, found.describe()
    firing = [s.mean() for name, s in trace.s.items() if name not in trace.readout]
    assert all(0.01 < rate < 0.99 for rate in firing), firing


def test_three_lines_bring_it_to_lava(door: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("lava.magma", reason="lava-nc is not installed")
    deployment = from_network(door.chip, door.spikes, labels=[0, 1, 2])
    report = export_run(deployment, Options(target="lava", out=tmp_path / "out"))
    assert report["ok"], report["parity"]
    assert [(p["a"], p["b"]) for p in report["parity"]["pairs"]] == [
        ("torch", "emulator"),
        ("emulator", "lava"),
    ]
    assert all(p["states_compared"] > 0 for p in report["parity"]["pairs"])


def test_messages_that_do_not_fit_are_refused(door: SimpleNamespace) -> None:
    with pytest.raises(BadInput, match="spikes of the shape"):
        from_network(door.chip, door.spikes[:, :, :1])
    for spikes in (door.spikes * 0.5, door.spikes * np.nan):
        with pytest.raises(BadInput, match="not all of them are integers"):
            from_network(door.chip, spikes)
    for labels in ([0, 1], [0.5, 1.0, 2.0]):
        with pytest.raises(BadInput, match="labels of the shape"):
            from_network(door.chip, door.spikes, labels)
