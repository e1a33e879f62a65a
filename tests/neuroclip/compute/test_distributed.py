"""Two processes under gloo, started by torchrun, give what one gives, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")
pytest.importorskip("open_clip")

from neuroclip.compute.distributed import finish, rank, shared

ROOT = Path(__file__).parents[3]


def test_one_process_shares_with_nobody() -> None:
    assert rank() == 0
    assert np.array_equal(shared([3, 1], lambda part: part.astype(np.float32)), [3, 1])
    finish()


def recordings(folder: Path, per_class: int = 12) -> Path:
    """A small data set in N-MNIST's layout and format."""
    for label in (0, 1):
        (folder / "Train" / str(label)).mkdir(parents=True)
        for i in range(per_class):
            random = np.random.default_rng(10 * label + i)
            t = np.sort(random.integers(0, 100_000, 400))
            x, y, p = (random.integers(0, n, 400) for n in (34 // (1 + label), 34, 2))
            bits = (p << 7) | (t >> 16)
            columns = np.stack([x, y, bits, (t >> 8) & 255, t & 255], axis=1).astype(np.uint8)
            (folder / "Train" / str(label) / f"{i}.bin").write_bytes(columns.tobytes())
    return folder


def train(tmp_path: Path, name: str, launcher: list[str]) -> Path:
    out = tmp_path / name
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "NEUROCLIP_CACHE": str(tmp_path / f"cache-{name}"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [
            sys.executable, *launcher, "neuroclip.commands.main", "train", "--data", str(tmp_path / "data"),
            "--shots", "2", "--variants", "2", "--epochs", "3", "--quantized-epochs", "2",
            "--out", str(out),
        ],
        env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("checkpoint: ") == 1
    return out


def test_two_processes_train_the_same_adapter(tmp_path: Path) -> None:
    recordings(tmp_path / "data")
    one = train(tmp_path, "one", ["-m"])
    two = train(
        tmp_path, "two",
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"],
    )  # fmt: skip
    files = ("config.json", "float.safetensors", "chip.safetensors", "history.json")
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
