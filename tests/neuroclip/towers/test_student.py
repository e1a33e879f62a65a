"""A spiking student of a teacher that has read: classes left out, and the teacher's words for it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("open_clip", "timm", "tokenizers", "snntorch"):
    pytest.importorskip(package)

from PIL import Image
from safetensors.torch import load_file

from neuroclip.commands import main as cli
from neuroclip.towers.assembled import Towers

TINY = {
    "model": {
        "image_size": 8, "channels": 3, "width": 8, "convolutions": 2, "halvings": 1, "blocks": 1,
        "heads": 2, "ratio": 1, "steps": 2,
    },
    "recipe": {"epochs": 1, "finetune_epochs": 1, "quantized_epochs": 1, "text_epochs": 1},
    "teacher": {"normalisation": "clip"},
    "text": {"tokens": 14, "hidden": 8},
    "template": "a {}",
    "labels": ["zebra", "fox"],
}  # fmt: skip
CLASSES = ("cat", "dog", "horse", "zebra")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images of noise in each class."""
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    random = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            made = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(made).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def test_what_is_left_out_is_not_seen_and_the_teacher_lends_its_words(
    joined: tuple[Towers, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from neuroclip.commands.actions import spikeclip as actions

    read: list[str] = []
    real = actions.teacher_text
    monkeypatch.setattr(
        actions, "teacher_text", lambda clip, texts: read.extend(texts) or real(clip, texts)
    )
    teacher = ["--clip", str(joined[1])]
    common = ["train", "spikeclip", "--config", str(tmp_path / "tiny.json"), *teacher]
    common += ["--data", str(images), "--leave-out", "zebra"]

    def aligned(name: str) -> dict[str, torch.Tensor]:
        assert cli.main([*common, "--stage", "align", "--out", str(tmp_path / name)]) == 0
        parts = [load_file(tmp_path / name / f"{x}.safetensors") for x in ("float", "text")]
        return {f"{i} {key}": x for i, part in enumerate(parts) for key, x in part.items()}

    def painted(name: str) -> None:
        for path in (images / name).iterdir():
            Image.new("RGB", (8, 8), "red").save(path)

    expected = aligned("a")
    assert cli.main([*common, "--stage", "finetune", "--out", str(tmp_path / "a")]) == 0
    assert "a fox" in read and not any("zebra" in text for text in read)
    painted("zebra")
    assert all(torch.equal(x, expected[key]) for key, x in aligned("b").items())
    # The same change of a class that is not left out is seen.
    painted("cat")
    assert not all(torch.equal(x, expected[key]) for key, x in aligned("c").items())
    capsys.readouterr()
    told = []
    for words in ([], teacher):
        assert cli.main(["evaluate", str(tmp_path / "a"), "--data", str(images), *words]) == 0
        told.append(capsys.readouterr().out)
        assert told[-1].count("unseen classes, among all: ") == 2  # float, and quantized
    assert (
        cli.main(["evaluate", str(tmp_path / "a"), "--data", str(images), "--clip", "digits"]) == 2
    )
    assert "is not the teacher of" in capsys.readouterr().err
    shutil.rmtree(images / "dog")
    assert cli.main(["evaluate", str(tmp_path / "a"), "--data", str(images)]) == 2
    assert "1 are none of the model's 3 labels" in capsys.readouterr().err
