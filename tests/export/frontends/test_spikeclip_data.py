"""`neuroclip-export` of a SpikeCLIP on images of one's own: bad ones, other labels, another variant."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip", "nirtorch", "sklearn"):
    pytest.importorskip(package)
from PIL import Image

from deploy.errors import BadInput
from export.commands import main as cli
from export.frontends.frontend import Request
from export.frontends.spikeclip import from_spikeclip
from neuroclip.chip.network import INPUT
from neuroclip.data.events.digits import digit_pictures
from neuroclip.data.images.vocabulary import vocabulary
from neuroclip.spikeclip.checkpoint import SpikeCheckpoint, load_spikeclip, save_spikeclip
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.eight_bits import in_eight_bits
from neuroclip.spikeclip.model import SpikeClip
from neuroclip.spikeclip.text import SpikingTextEncoder, TextConfig, encode_labels

NAME = "spikeclip-digits"
MODES = ("L", "RGB", "RGBA", "P", "CMYK", "LA", "I;16")


def digit(index):
    """A digit where the bundled model expects it: 28×28 within 34×34."""
    return np.pad(digit_pictures()[0][index], 3)


@pytest.fixture
def pictures(tmp_path):
    """Digits in folders: one of each class for training, four for test."""
    labels = digit_pictures()[1]
    for label in range(10):
        for i, index in enumerate(np.flatnonzero(labels == label)[:5]):
            part = "test" if i else "train"
            path = tmp_path / "data" / "images" / part / str(label) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digit(index)).save(path)
    return tmp_path / "data" / "images"


def exported(out, *options):
    assert cli.main([NAME, "--target", "emulator", "--out", str(out), *map(str, options)]) == 0
    return json.loads((out / "report.json").read_text())


def test_images_below_a_data_root(tmp_path, pictures):
    # Training images are not read for an export.
    (pictures / "train" / "3" / "0.png").write_bytes(b"")
    report = exported(tmp_path / "out", "--data", "images", "--data-root", pictures.parent)
    assert report["samples"] == 40 and report["skipped"] == 0
    assert report["accuracy"]["emulator"]["value"] > 0.8 and report["parity"]["ok"]


def test_a_corrupt_image_in_the_middle(tmp_path, pictures, refused, capsys):
    bad = pictures / "test" / "4" / "2.png"
    bad.write_bytes(bad.read_bytes()[:60])
    out = tmp_path / "out"
    target = (NAME, "--target", "emulator", "--out", out, "--data", pictures)
    refused(cli.main, *target, says=[pictures, "image 'test/4/2.png' cannot be read"])
    report = exported(out, "--data", pictures, "--skip-bad")
    assert report["samples"] == 39 and report["skipped"] == 1
    assert any("1 samples cannot be read" in w and "4/2.png" in w for w in report["warnings"])
    assert "test/4/2.png" in capsys.readouterr().err
    # It comes after those that are asked for.
    assert exported(out, "--data", pictures, "--samples", 10)["skipped"] == 0


def test_images_of_any_size_and_mode_give_the_messages_of_gray_ones(pictures):
    def sent():
        return from_spikeclip(NAME, Request(str(pictures))).inputs[INPUT].astype(int)

    before = sent()
    files = sorted((pictures / "test").rglob("*.png"))
    modes = [MODES[i % len(MODES)] for i in range(len(files))]
    for path, mode in zip(files, modes, strict=True):
        gray = Image.open(path).convert("L")
        path.unlink()
        if mode == "I;16":
            Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(path)
        elif mode == "CMYK":
            gray.convert("RGB").convert(mode).save(path.with_suffix(".jpg"), quality=100)
        else:
            made = gray if mode in ("L", "P") else gray.convert("RGB")
            made.convert(mode).save(path)
    after = sent()
    assert before.shape == after.shape == (40, 4, 1, 16, 16) and before.any()
    for mode, one, other in zip(modes, before, after, strict=True):
        # A JPEG is not exact.
        assert np.abs(one - other).max() <= (mode == "CMYK"), mode
    # Other sizes are no error either.
    for path in files[1:3]:
        Image.new("L", (300, 5)).save(path)
    assert sent().shape == after.shape


def test_skipping_is_for_the_data_of_a_checkpoint(tmp_path, refused):
    for option in (["--skip-bad"], ["--data-root", "x"]):
        for model in ("m.nir", "m.net"):
            refused(cli.main, model, "--target", "emulator", *option, says=[option[0]])


def test_a_bad_recording_is_skipped_and_counted(
    tmp_path, checkpoint_folder, recordings_folder, refused
):
    data = shutil.copytree(recordings_folder, tmp_path / "recordings")
    (data / "Test" / "4" / "00001.bin").write_bytes(b"123")
    out = tmp_path / "out"
    command = [checkpoint_folder, "--target", "emulator", "--out", out, "--data", "recordings",
               "--data-root", tmp_path]  # fmt: skip
    refused(cli.main, *command, says=["00001.bin"])
    assert cli.main([str(a) for a in [*command, "--skip-bad"]]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["samples"] == 19 and report["skipped"] == 1
    assert any("00001.bin" in warning for warning in report["warnings"])


def test_the_papers_variant_is_refused_by_name(tmp_path, refused):
    held = load_spikeclip(NAME)
    config = SpikeClipConfig(
        variant="paper", image_size=16, channels=1, width=32, convolutions=3, halvings=2, blocks=1,
        heads=2, ratio=2, features=64,
    )  # fmt: skip
    paper = SpikeCheckpoint(
        SpikeClip(config), held.text_encoder, None, held.labels, held.template, {}, {}
    )
    save_spikeclip(tmp_path / "paper", paper)
    for target in ("emulator", "lava", "nir"):
        refused(
            cli.main, tmp_path / "paper", "--target", target, "--out", tmp_path / "out",
            says=[tmp_path / "paper", "'blocks.0.attention' multiplies", "q·kᵀ·v", "'deployable'"],
        )  # fmt: skip


def test_the_ann_of_its_shape_stands_beside(tmp_path, pictures, refused):
    """Its answers are a plain forward's, its zeros those of what each convolution takes, counted by hand."""
    held = load_spikeclip(NAME)
    torch.manual_seed(1)
    config = replace(held.model.config, variant="ann", steps=1)
    ann = replace(held, model=SpikeClip(config).eval(), chip=None)
    save_spikeclip(tmp_path / "ann", ann)
    ann = load_spikeclip(tmp_path / "ann")
    out, given = tmp_path / "out", ("--data", pictures)
    report = exported(out, *given, "--ann", tmp_path / "ann")
    found = report["baseline"]
    paths = sorted((pictures / "test").rglob("*.png"), key=lambda p: (int(p.parent.name), p.name))
    images = torch.from_numpy(
        from_spikeclip(NAME, Request(str(pictures))).inputs[INPUT][:, 0]
    ).float()
    assert len(images) == len(paths) == report["samples"]
    rounded = in_eight_bits(ann.model)
    said = rounded.scores(images, ann.text(ann.labels)).argmax(1)
    right = float((said.numpy() == [int(p.parent.name) for p in paths]).mean())
    for key in ("accuracy", "one_pass_accuracy"):
        assert found["trained"][key]["value"] == pytest.approx(right)
    taken = []
    for module in rounded.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda m, x, y: taken.append((x[0] == 0, m.weight[0].numel() * y[0].numel()))
            )
    rounded(images)
    weight = sum(macs for _, macs in taken[1:])
    hidden = sum(float(zero.double().mean()) * macs for zero, macs in taken[1:]) / weight
    once = found["skipping"]["one_pass"]
    assert once["input_sparsity"] == pytest.approx(float(taken[0][0].double().mean()))
    assert once["hidden_sparsity"] == pytest.approx(hidden) and 0.1 < hidden < 0.9
    assert "8 bits" in found["skipping"]["source"]
    # Nothing but the comparison changes.
    assert exported(tmp_path / "alone", *given)["accuracy"] == report["accuracy"]

    def none(*says, ann=tmp_path / "ann", model=NAME):
        refused(cli.main, model, "--target", "emulator", "--out", tmp_path / "x", *given, "--ann", ann,
                says=["--ann", *says])  # fmt: skip

    none("'deployable'", ann=NAME)
    none("no such checkpoint folder", ann=tmp_path / "nowhere")
    none("''", "cannot read", ann="")
    wide = replace(config, width=2 * config.width)
    save_spikeclip(tmp_path / "wide", replace(ann, model=SpikeClip(wide).eval()))
    none(f"width {wide.width}", str(config.width), ann=tmp_path / "wide")
    given = ()
    none("for a SpikeCLIP", model="neuroclip-digits")


@pytest.mark.parametrize("label", ["&nbsp;", "\x00", "&#32;&#9;"])
def test_labels_that_clips_tokenizer_reads_nothing_of(label):
    config = TextConfig(embedding=4, hidden=4, features=4, clip="ViT-B-32")
    encoder = SpikingTextEncoder(config)
    assert encode_labels(encoder, ["cat", "dog"], ["a photo of a {}."]).shape == (2, 4)
    with pytest.raises(BadInput, match="holds nothing that the tokenizer reads"):
        encode_labels(encoder, ["cat", label], ["a photo of a {}."])


def test_labels_by_the_name_of_a_data_set(tmp_path, refused):
    report = exported(tmp_path / "out", "--samples", 4, "--labels", "@stl10,zebra")
    assert report["accuracy"]["emulator"] is None
    assert f"{len(vocabulary('stl10')) + 1} labels" in " ".join(report["placement"]["chip"])
    target = (NAME, "--target", "emulator", "--out", tmp_path / "none")
    refused(cli.main, *target, "--labels", "@nothing", says=["vocabulary 'nothing'", "cifar100"])


def test_one_label_alone_has_no_accuracy(tmp_path, pictures, capsys):
    for folder in pictures.glob("*/*"):
        if folder.name != "3":
            shutil.rmtree(folder)
    report = exported(tmp_path / "out", "--data", pictures, "--labels", "3=three")
    assert report["accuracy"]["emulator"] is None and report["samples"] == 4
    assert "'three' is the only label: nothing is told apart" in capsys.readouterr().err
