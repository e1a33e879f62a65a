"""What is wrong with a person's file, data or options ends in one line that says what to change."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")

from neuroclip.commands.main import main

# What is put in place of something in the file, the options, and what is said.
FILES = {
    "a line that stops": (
        "self.norm(self.conv(x[:, t]))", "self.conv(x[:, t, 0])", "in line 23 of mine.py",
    ),
    "a line that stops where it is made": (
        "nn.Conv2d(2, 4", "nn.Conv2d(2, four", "in line 12 of mine.py with NameError",
    ),
    "no Python": ("def make_model():", "def make_model(:", "with SyntaxError"),
    "another name": (
        "def make_model", "def makes_model", "has no 'make_model'; it has Net, makes_model",
    ),
    "no module": ("return Net()", "return 3", "makes a int, expected a torch module"),
    "a reset that no chip has": ('": "zero"', '": "subtract"', "module 'lif1'"),
    "fewer neurons than classes": (
        "Linear(100, 3)", "Linear(100, 2)", "2 neurons answer, and the data have 3 classes",
    ),
    "another image": (
        "Linear(100, 3)", "Linear(101, 3)", "its frames have the shape (2, 34, 34)",
    ),
    "another sensor": (
        "Conv2d(2, 4", "Conv2d(3, 4", "layer 'conv' of the network takes (3, …, …)",
    ),
}  # fmt: skip


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a training ends with."""
    assert main(["train", "network", *map(str, arguments)]) == 2
    told = capsys.readouterr().err.splitlines()
    return [line for line in told if not line.startswith("data set")][-1]


@pytest.mark.parametrize("what", FILES)
def test_a_file(
    what: str,
    network_file: Path,
    nmnist_like: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after, says = FILES[what]
    text = network_file.read_text()
    assert before in text
    network_file.write_text(text.replace(before, after))
    line = refused(
        capsys, f"{network_file}:make_model", "--data", nmnist_like, "--frame-ms", 10, "--steps", 4,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert line.startswith("neuroclip: ") and says in line, line
    assert not (tmp_path / "run" / "config.json").exists()


def arrays(**changed: object) -> dict[str, object]:
    rng = np.random.default_rng(0)
    found = {"spikes": rng.integers(0, 2, (30, 5, 6), np.int8), "labels": np.arange(30) % 3}
    found.update(changed)
    return {name: value for name, value in found.items() if value is not None}


DATA = {
    "no labels": ({"labels": None}, "no labels"),
    "a label that no neuron has": (
        {"labels": np.arange(30) % 5},
        "3 neurons answer, and the data have 5",
    ),
    "a negative label": ({"labels": np.arange(30) % 3 - 1}, "holds -1; classes are counted from 0"),
    "one class": ({"labels": np.zeros(30, int)}, "one class only"),
    "another size": ({"spikes": np.zeros((30, 5, 7), np.int8)}, "stops on the sample"),
    "no time": ({"spikes": np.zeros((30, 6), np.int8)}, "expected [samples, time, ...]"),
    "no integers": ({"spikes": np.full((30, 5, 6), 0.5)}, "are not integers"),
    "too few names": ({"class_names": np.array(["a", "b"])}, "there are 2 class names"),
    "a class of one": (
        {"labels": np.array([0, 1] * 14 + [0, 2])},
        "class '2' has 1 samples, at least 3",
    ),
}


@pytest.mark.parametrize("what", DATA)
def test_data(
    what: str, dense_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, says = DATA[what]
    np.savez(tmp_path / "data.npz", **arrays(**changed))
    line = refused(capsys, f"{dense_file}:make_model", "--data", tmp_path / "data.npz",
                   "--out", tmp_path / "run")  # fmt: skip
    assert says in line and not (tmp_path / "run" / "config.json").exists(), line


def test_options(
    dense_file: Path, spikes_file: Path, nmnist_like: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, out = f"{dense_file}:make_model", ("--out", tmp_path / "run")
    for given, says in {
        ("--data", nmnist_like): "say how long and how many",
        ("--data", nmnist_like, "--steps", 4): "give both",
        ("--data", spikes_file, "--frame-ms", 1, "--steps", 4): "these are spikes",
        (
            "--data",
            spikes_file,
            "--weights",
            tmp_path / "none.pt",
        ): "none.pt: cannot read: No such file",
        ("--data", tmp_path / "nothing"): "nothing",
        ("--data", spikes_file, "--epochs", -1): "epochs -1 is negative",
        (
            "--data",
            spikes_file,
            "--output",
            "9",
        ): "output '9': no such neurons; there are ['1', '3']",
        ("--data", spikes_file, "--device", "moon"): "device 'moon'",
    }.items():
        assert says in refused(capsys, model, *given, *out), given
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"nothing")
    assert "w.safetensors" in refused(
        capsys, model, "--data", spikes_file, "--weights", weights, *out
    )


def test_a_module_without_parameters(
    tmp_path: Path, spikes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare.py").write_text(
        "import snntorch as snn\nfrom torch import nn\nnet = nn.Sequential(snn.Leaky(0.9, "
        "reset_mechanism='zero', reset_delay=False, init_hidden=True, output=True))\n"
    )
    line = refused(
        capsys, f"{tmp_path / 'bare.py'}:net", "--data", spikes_file, "--out", tmp_path / "r"
    )
    assert "it has no parameters that training could change" in line
