"""What `neuroclip` and `neuroclip-export` do with samples that a model was trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open_clip")
pytest.importorskip("snntorch")

from export.commands.main import main as export
from neuroclip.commands.main import main
from neuroclip.data.seen import read_seen

SHOTS, CLASSES = 2, 10


@pytest.fixture(scope="module")
def trained(recordings_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "adapter"
    command = ["train", "--data", recordings_folder, "--shots", SHOTS, "--out", out]
    command += ["--steps", 4, "--hidden", 6, "--epochs", 1, "--quantized-epochs", 1]
    assert main([str(a) for a in [*command, "--variants", 1]]) == 0
    return out


def test_a_training_keeps_what_it_saw(trained: Path, recordings_folder: Path) -> None:
    from neuroclip.data.events.catalogue import open_dataset

    dataset, seen = open_dataset(recordings_folder), read_seen(trained)
    assert seen.complete
    assert seen.among(dataset.ids(dataset.train), "validation").sum() == SHOTS * CLASSES
    assert seen.among(dataset.ids(dataset.validation), "test").all()
    assert not seen.among(dataset.ids(dataset.test), "test").any()


def test_training_samples_in_a_test_folder_are_left_out_and_counted(
    trained: Path,
    recordings_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The training folder is copied into the test folder, under other names."""
    data = Path(shutil.copytree(recordings_folder, tmp_path / "data"))
    for path in (recordings_folder / "Train").rglob("*.bin"):
        shutil.copy(path, data / "Test" / path.parent.name / f"copy-{path.name}")
    saw = len(np.unique(np.r_[read_seen(trained).learned, read_seen(trained).chose])) - 1297
    assert main(["evaluate", str(trained), "--data", str(data)]) == 0
    told = capsys.readouterr().out
    assert f"left out {saw} of 120 test samples" in told and f"of {120 - saw})" in told
    out = tmp_path / "out"
    command = [str(trained), "--data", str(data), "--target", "emulator", "--out", str(out)]
    assert export(command) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["seen"] == saw and report["samples"] == 120 - saw
    assert any(f"left out {saw} of 120" in warning for warning in report["warnings"])
    assert f"left out {saw} of 120" in capsys.readouterr().err


def test_a_test_part_of_nothing_but_training_samples_is_refused(
    trained: Path, recordings_folder: Path, tmp_path: Path, refused
) -> None:
    from neuroclip.data.events.catalogue import open_dataset

    data, dataset = tmp_path / "data", open_dataset(recordings_folder)
    seen = read_seen(trained)
    ids = dataset.ids(dataset.train)
    for index in dataset.train[seen.among(ids, "test")]:
        path = Path(dataset.names[index])
        for part in ("Train", "Test"):
            copy = data / part / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    command = [trained, "--data", data]
    says = (f"seen all {SHOTS * CLASSES}",)
    refused(main, "evaluate", *command, says=says)
    refused(export, *command, "--target", "emulator", "--out", tmp_path / "out", says=says)


def test_an_unrecorded_model_says_so(
    checkpoint_folder: Path, recordings_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(checkpoint_folder), "--data", str(recordings_folder)]) == 0
    assert "not recorded" in capsys.readouterr().err
