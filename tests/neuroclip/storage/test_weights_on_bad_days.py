"""Weights that cannot be written, and files that are none: one line."""

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors import SafetensorError

from deploy.errors import BadInput
from neuroclip.data.images.folders import decoded
from neuroclip.storage import weights
from neuroclip.storage.cache import cache_folder
from neuroclip.storage.weights import read_weights, save_tensors


def test_a_full_disk_is_one_line_and_the_old_weights_stay(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)})

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(BadInput, match=f"{path}: cannot write: .*No space left on device"):
        save_tensors(path, {"a": torch.zeros(2)})
    assert read_weights(path)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_without_a_home_folder_the_cache_says_how_to_name_one(monkeypatch):
    monkeypatch.delenv("NEUROCLIP_CACHE", raising=False)

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(BadInput, match="NEUROCLIP_CACHE names a folder"):
        cache_folder()


def test_a_jpeg_of_two_frames_is_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (47, 33), (9, 99, 199)).save(tmp_path / "a.jpg", progressive=True)
    content = (tmp_path / "a.jpg").read_bytes()
    assert decoded(content).size == (47, 33)
    at = content.index(b"\xff\xc2")
    length = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    frame = content[at : at + length]
    wider = frame[:7] + (4700).to_bytes(2, "big") + frame[9:]
    for two in (
        content[:at] + frame + content[at:],
        content[: at + length] + wider + content[at + length :],
    ):
        with pytest.raises(ValueError, match="a JPEG of"):
            decoded(two)
