"""Recordings as N-MNIST has them, written here, and networks in Python files as people write them."""

from pathlib import Path

import numpy as np
import pytest

CONVOLUTIONAL = """
import snntorch as snn
import torch
from torch import nn

KEPT = {"beta": 0.8, "threshold": 0.5, "reset_mechanism": "zero", "reset_delay": False}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 5, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.lif1 = snn.Leaky(**KEPT)
        self.pool = nn.MaxPool2d(3)
        self.fc = nn.Linear(100, 3)
        self.lif2 = snn.Leaky(**KEPT)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes = []
        for t in range(x.shape[1]):
            spk, mem1 = self.lif1(self.norm(self.conv(x[:, t])), mem1)
            spk, mem2 = self.lif2(self.fc(self.pool(spk).flatten(1)), mem2)
            spikes.append(spk)
        return torch.stack(spikes, dim=1)


def make_model():
    return Net()
"""

DENSE = """
import snntorch as snn
from torch import nn

KEPT = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}


def make_model():
    return nn.Sequential(
        nn.Linear(6, 12), snn.Leaky(beta=0.9, threshold=0.5, **KEPT), nn.Linear(12, 3),
        snn.Leaky(beta=1.0, reset_mechanism="none", init_hidden=True, output=True),
    )
"""


def write_bin(path: Path, x: np.ndarray, y: np.ndarray, t: np.ndarray, p: np.ndarray) -> None:
    """A recording in N-MNIST's own format: x, y, polarity and 23 bits of µs, 5 bytes an event."""
    events = np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1)
    path.write_bytes(events.astype(np.uint8).tobytes())


def write_recordings(
    root: Path, each: int, seed: int = 0, parts: tuple[str, ...] = ("Train",)
) -> Path:
    """Three classes, told apart by the columns in which something happens."""
    rng = np.random.default_rng(seed)
    for part in parts:
        for label in range(3):
            folder = root / part / str(label)
            folder.mkdir(parents=True)
            for number in range(each):
                x = np.clip(rng.normal(6 + 11 * label, 2, 150), 0, 33).astype(int)
                y, p = rng.integers(0, 34, 150), rng.integers(0, 2, 150)
                t = np.sort(rng.integers(0, 40_000, 150))
                write_bin(folder / f"{number:05d}.bin", x, y, t, p)
    return root


@pytest.fixture(scope="session")
def nmnist_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sixty recordings."""
    return write_recordings(tmp_path_factory.mktemp("recordings") / "data", 20)


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    """A convolutional network in a file of its own."""
    path = tmp_path / "mine.py"
    path.write_text(CONVOLUTIONAL)
    return path


@pytest.fixture
def dense_file(tmp_path: Path) -> Path:
    """A dense network whose potentials answer."""
    path = tmp_path / "dense.py"
    path.write_text(DENSE)
    return path


@pytest.fixture
def spikes_file(tmp_path: Path) -> Path:
    """Sixty samples of six inputs, three classes: two of the inputs are busier for each."""
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    rate = np.full((60, 6), 0.15)
    for i, label in enumerate(labels):
        rate[i, 2 * label : 2 * label + 2] = 0.7
    spikes = rng.random((60, 8, 6)) < rate[:, None]
    np.savez(
        tmp_path / "spikes.npz", spikes=spikes.astype(np.int8), labels=labels,
        class_names=np.array(["low", "middle", "high"]),
    )  # fmt: skip
    return tmp_path / "spikes.npz"
