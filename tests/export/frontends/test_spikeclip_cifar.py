"""The bundled SpikeCLIP for CIFAR-10: every layer is torch's, on made images and on real ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "nirtorch"):
    pytest.importorskip(package)
from PIL import Image

from deploy.errors import BadInput
from export.commands import main as cli
from export.frontends.frontend import Request
from export.frontends.spikeclip import from_spikeclip
from neuroclip.data.images.class_names import class_names

NAME = "spikeclip-cifar10"
CIFAR = Path(os.environ.get("NEUROCLIP_DATA", "/nowhere")) / "cifar10-train.zip"


@pytest.fixture
def images(tmp_path):
    """A blurred patch of noise for each class, for training and for test."""
    rng = np.random.default_rng(0)
    for name in class_names()["cifar10"]:
        for part in ("train", "test"):
            path = tmp_path / "images" / part / name / "0.png"
            path.parent.mkdir(parents=True)
            small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
            small.resize((32, 32), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "images"


def exported(out, *options):
    given = [NAME, "--target", "emulator", "--record", "all", "--out", str(out), *options]
    assert cli.main(given) == 0
    report = json.loads((out / "report.json").read_text())
    (pair,) = report["parity"]["pairs"]
    assert pair["registers_equal"] and pair["spike_mismatches"] == pair["state_mismatches"] == 0
    assert pair["spikes_compared"] > 100_000 * report["samples"]
    return report


@pytest.mark.long
def test_every_state_is_torchs_and_three_chips_hold_it(tmp_path, images):
    """Without any option: its skips as a stream, on the smallest system with cores enough."""
    report = exported(tmp_path / "out", "--data", str(images), "--samples", "2")
    assert report["skips"]["lowering"] == "stream" and report["chip"] == "kapoho-point"
    assert 120 < report["cores"]["used"] <= 360 and report["cores"]["chips"] == 3
    assert report["unsupported"] == [] and report["new_labels"]["layers"] == ["text"]


@pytest.mark.long
@pytest.mark.skipif(not CIFAR.is_file(), reason="NEUROCLIP_DATA has no cifar10-train.zip")
def test_real_images_are_recognised(tmp_path):
    report = exported(tmp_path / "out", "--data", str(CIFAR), "--samples", "60")
    # Chance is 0.1.
    assert report["accuracy"]["emulator"]["value"] > 0.5


def test_it_wants_images_of_its_own_classes(images):
    with pytest.raises(BadInput, match=r"trained on 'cifar10-train', .* --data"):
        from_spikeclip(NAME, Request())
    (images / "test" / "ship").rename(images / "test" / "zeppelin")
    (images / "train" / "ship").rename(images / "train" / "zeppelin")
    with pytest.raises(BadInput, match=r"1 are none of the model's 10 labels .*'zeppelin=LABEL'"):
        from_spikeclip(NAME, Request(str(images), 1))
