"""A network in a Python file of one's own, by the command, with its weights from a file."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.files import read_json
from export.commands.main import main
from neuroclip.storage.weights import save_tensors

FILE = """
import snntorch as snn
from torch import nn
import sizes

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(sizes.INPUTS, 3)
        self.lif = snn.Leaky(0.5, threshold=0.5, reset_mechanism="zero", reset_delay=False, init_hidden=True)

    def forward(self, x):
        return self.lif(self.fc(x))

def make():
    return Net()

made = Net()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "sizes.py").write_text("INPUTS = 4\n")
    spikes = np.random.default_rng(0).random((5, 6, 4)) < 0.5
    np.savez(tmp_path / "spikes.npz", spikes=spikes.astype(np.int8), labels=np.arange(5) % 3)
    return tmp_path


@pytest.mark.parametrize("name", ["Net", "make", "made"])
def test_one_command_takes_it_to_the_emulator(folder: Path, name: str) -> None:
    weights = {
        "fc.weight": torch.full((3, 4), 0.5), "fc.bias": torch.tensor([0.0, 0.25, -0.25]),
        "lif.threshold": torch.tensor(0.75), "lif.beta": torch.tensor(0.5),
        "lif.graded_spikes_factor": torch.tensor(1.0), "lif.reset_mechanism_val": torch.tensor(1),
    }  # fmt: skip
    save_tensors(folder / "w.safetensors", weights)
    arguments = [f"{folder / 'mine.py'}:{name}", "--weights", str(folder / "w.safetensors"),
                 "--data", str(folder / "spikes.npz"), "--target", "emulator",
                 "--out", str(folder / "out")]  # fmt: skip
    assert main(arguments) == 0
    report = read_json(folder / "out" / "report.json")
    assert report["ok"] and report["model"] == name
    assert any("the given sample (4" in note for note in report["warnings"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":nothing", "has no 'nothing'"),
        (":number", "'number' stops with TypeError"),
        ("", "say what in it makes the network, as FILE.py:NAME"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(
    folder: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{folder / 'mine.py'}{name}", "--data", str(folder / "spikes.npz"), "--target", "emulator",
                 "--out", str(folder / "out")]  # fmt: skip
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
