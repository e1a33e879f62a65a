"""Still images by text alone, and classes left out, through the commands."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")

from PIL import Image

from neuroclip.clip.model import encode_frames, encode_text, load_clip
from neuroclip.clip.spec import BUNDLED_FOLDER
from neuroclip.commands import main as cli
from neuroclip.data.events.digits import digit_pictures, digits_split
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.images.told import holds_images

HALF = ("--normalisation", "half")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve test pictures of each digit, in folders of their classes."""
    pictures, labels = digit_pictures()
    test = digits_split()[2]
    for label in range(10):
        (tmp_path / "images" / "test" / f"{label}").mkdir(parents=True)
        (tmp_path / "images" / "train" / f"{label}").mkdir(parents=True)
        for number, index in enumerate(test[labels[test] == label][:16]):
            part = "test" if number < 12 else "train"
            image = Image.fromarray(np.pad(pictures[index], 3))
            image.save(tmp_path / "images" / part / f"{label}" / f"{number}.png")
    return tmp_path / "images"


def test_zero_shot_on_images_is_the_clips(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as held:
        for path in folder.rglob("*.png"):
            held.write(path, path.relative_to(folder))
    words = ["--template", "a photo of the number {}."]
    expected = []
    clip = load_clip(device="cpu")
    text = encode_text(clip, [f"{i}" for i in range(10)], words[1])
    for label in range(10):
        for path in sorted((folder / "test" / f"{label}").iterdir()):
            picture = np.array(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR))
            scores = encode_frames(clip, picture[None], FrameOptions()) @ text.T
            expected.append(scores.argmax() == label)
    for data in (folder, archive):
        assert cli.main(["zero-shot", "--data", str(data), *HALF, *words]) == 0
        told = capsys.readouterr().out
        assert "test images: " in told and f"({sum(expected)} of 120)" in told
    more = ["--replace", "3=three", "--expand", "eleven,zebra"]
    assert cli.main(["zero-shot", "--data", str(folder), *HALF, *words, *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "replaced (10 names)",
        "expanded (12 names)",
    ]
    assert cli.main(["zero-shot", "--data", str(folder), *HALF, "--labels", "1,2"]) == 0
    told = capsys.readouterr().out
    assert "no accuracy: 96 of 120 images are of no label's class" in told and "\n2: " in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--steps", "3"), "--steps"),
        (("--pictures",), "--pictures"),
        (("--replace", "cat=dog"), "--replace 'cat=dog'"),
        (("--expand", ","), "empty"),
    ],
)
def test_options_that_images_do_not_have(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert cli.main(["zero-shot", "--data", str(folder), *options]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and words in told.err


def test_recordings_have_no_names_to_replace(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zero-shot", "--replace", "1=one"]) == 2
    assert "--replace: digits holds no images" in capsys.readouterr().err


def test_images_are_told_from_recordings(tmp_path: Path) -> None:
    for kind, name in (("images", "x.PNG"), ("events", "x.bin"), ("neither", "x.md")):
        (tmp_path / kind / "train" / "a").mkdir(parents=True)
        (tmp_path / kind / "train" / "a" / name).touch()
        (tmp_path / kind / "classes.txt").touch()
    (tmp_path / "images" / "train" / "a" / "y.jpg").touch()
    (tmp_path / "images" / "train" / "a" / "about.csv").touch()
    assert holds_images(str(tmp_path / "images"), None)
    assert holds_images("images", str(tmp_path)) and holds_images("cifar10", None)
    for kind in ("events", "neither"):
        assert not holds_images(str(tmp_path / kind), None)
    assert not holds_images("digits", None) and not holds_images("nowhere", None)


def test_unseen_keeps_the_table_that_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "out")]
    assert cli.main(["unseen", "--data", "digits", *options]) == 2
    assert "--clip digits: was trained on" in capsys.readouterr().err
    # The same without its record: nobody knows what it has seen.
    copied = tmp_path / "clip"
    shutil.copytree(BUNDLED_FOLDER, copied, ignore=shutil.ignore_patterns("seen.*"))
    options += ["--clip", str(copied), "--limit", "20", "--sets", "2", "--seed", "3", *HALF]
    assert cli.main(["unseen", "--data", "digits", *options]) == 0
    told = capsys.readouterr().out.splitlines()
    held = json.loads((tmp_path / "out" / "unseen.json").read_text())
    assert len(held["rows"]) == 2 and len(told) == 5
    for row, line in zip(held["rows"], told[1:], strict=False):
        assert line.startswith(", ".join(row["left_out"]))
        assert f"{100 * row['after_unseen']:.1f} %" in line
    assert cli.main(["unseen", "--data", "digits", *options, "--leave", "5"]) == 2
    assert "--leave 5: of 10 classes 1 to 4" in capsys.readouterr().err
