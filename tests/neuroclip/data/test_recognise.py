"""Which data set a folder holds is told by its files, and said; a folder's name decides nothing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.commands.main import main
from neuroclip.data.events.cards import CIFAR10_DVS, DIGITS, ES_IMAGENET, NMNIST, card_of, cards
from neuroclip.data.events.catalogue import EventDataset, open_dataset
from neuroclip.data.events.frames import FrameOptions

ROOT = Path(__file__).parents[3]
DIGIT_NAMES = tuple(map(str, range(10)))


def write_bin(path: Path, seed: int, size: int = 34) -> None:
    raw = np.zeros((40, 5), np.uint8)
    raw[:, :2] = np.random.default_rng(seed).integers(0, size, (40, 2))
    raw[:, 4] = np.arange(40)
    path.write_bytes(raw.tobytes())


def write_npz(path: Path, seed: int, size: int, sensor: int | None = None) -> None:
    rng = np.random.default_rng(seed)
    events = {"x": rng.integers(0, size, 40), "y": rng.integers(0, size, 40), "t": np.arange(40)}
    said = {} if sensor is None else {"width": np.int64(sensor), "height": np.int64(sensor)}
    np.savez(path, p=rng.integers(0, 2, 40), **events, **said)


def write_aedat(path: Path, seed: int, size: int = 128) -> None:
    x, y = np.random.default_rng(seed).integers(0, size, (2, 40))
    words = np.stack([(127 - y) << 8 | (127 - x) << 1, np.arange(40)], axis=1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + words.tobytes())


def called(below: str, label: str, number: int, suffix: str) -> str:
    """The name of a file; in SpikingJelly's folders those that N-MNIST and CIFAR10-DVS have."""
    if "events_np" not in below:
        return f"{number}{suffix}"
    return f"{number:05d}{suffix}" if label.isdecimal() else f"cifar10_{label}_{number}{suffix}"


def made(
    root: Path, below: str, classes: tuple[str, ...], suffix: str, write, *rest
) -> EventDataset:
    """A folder of two recordings a class, opened."""
    for label, name in enumerate(classes):
        for number in range(2):
            path = root / below / name / called(below, name, number, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, 2 * label + number, *rest)
    return open_dataset(root)


@pytest.mark.parametrize(
    ("below", "classes", "suffix", "write", "rest", "card"),
    [
        ("Train", DIGIT_NAMES, ".bin", write_bin, (), NMNIST),
        ("", DIGIT_NAMES, ".bs2", write_bin, (), NMNIST),
        ("", ("3", "8"), ".bin", write_bin, (), NMNIST),
        ("events_np/train", DIGIT_NAMES, ".npz", write_npz, (34,), NMNIST),
        ("events_np", DIGIT_NAMES, ".npz", write_npz, (34, 34), NMNIST),
        ("", CIFAR10_DVS.class_names, ".aedat", write_aedat, (), CIFAR10_DVS),
        ("events_np", CIFAR10_DVS.class_names, ".npz", write_npz, (128,), CIFAR10_DVS),
    ],
)
def test_a_known_data_set(tmp_path, below, classes, suffix, write, rest, card) -> None:
    dataset = made(tmp_path / "any name", below, classes, suffix, write, *rest)
    assert dataset.card == card and dataset.known and dataset.class_names == classes
    assert dataset.load(0).width == card.sensor[0]
    for said in (f"{len(classes)} classes", suffix, f"{card.sensor[0]}×{card.sensor[1]}"):
        assert said in dataset.evidence


@pytest.mark.parametrize(
    ("below", "classes", "suffix", "write", "rest", "why"),
    [
        # Other classes: more of them, others among them, the same in other words.
        ("Train", (*DIGIT_NAMES, "10"), ".bin", write_bin, (), "not dvs128-gesture, though"),
        ("Train", ("0", "1", "ten"), ".bin", write_bin, (), "no known data set's"),
        ("Train", ("zero", "one", "two"), ".bin", write_bin, (), "no known data set's"),
        ("Train", ("01", "02"), ".bin", write_bin, (), "no known data set's"),
        ("", ("Cat", "Dog", "Ship"), ".aedat", write_aedat, (), "no known data set's"),
        # The classes' names, in files of another kind.
        ("Train", DIGIT_NAMES, ".npz", write_npz, (34, 34), "its files are .npz and not .bin"),
        ("", DIGIT_NAMES, ".aedat", write_aedat, (), "its files are .aedat and not .bin"),
        ("", CIFAR10_DVS.class_names, ".bin", write_bin, (), "its files are .bin and not .aedat"),
        ("", ("cat", "dog"), ".aedat", write_aedat, (), "too few to tell"),
        # Of another sensor: said, reached beyond, or not used.
        ("events_np", DIGIT_NAMES, ".npz", write_npz, (34, 128), "sensor of 128×128"),
        ("events_np", DIGIT_NAMES, ".npz", write_npz, (128,), "of 34×34"),
        ("events_np", CIFAR10_DVS.class_names, ".npz", write_npz, (34,), "of 128×128"),
        ("Train", DIGIT_NAMES, ".bin", write_bin, (60,), "of 34×34"),
    ],
)
@pytest.mark.parametrize("name", ["nmnist", "recordings"])
def test_another_data_set(tmp_path, below, classes, suffix, write, rest, why, name) -> None:
    dataset = made(tmp_path / name, below, classes, suffix, write, *rest)
    assert not dataset.known and dataset.name not in cards() and name in dataset.name
    assert set(dataset.class_names) == set(classes) and why in dataset.evidence
    assert dataset.card.frames == FrameOptions() and dataset.card.template == "a photo of a {}."


def test_damaged_recordings_do_not_hide_what_the_others_show(tmp_path) -> None:
    dataset = made(tmp_path, "Train", DIGIT_NAMES, ".bin", write_bin)
    for name in dataset.names[::2]:
        Path(name).write_bytes(b"1234")
    assert open_dataset(tmp_path).card == NMNIST
    for name in dataset.names:
        Path(name).write_bytes(b"1234")
    with pytest.raises(BadInput, match="not whole events"):
        open_dataset(tmp_path).load(0)


def test_zero_shot_says_what_it_took_the_data_for(tmp_path, capsys) -> None:
    pytest.importorskip("open_clip")
    made(tmp_path / "a", "Train", DIGIT_NAMES, ".bin", write_bin)
    made(tmp_path / "b", "Train", ("left", "right"), ".bin", write_bin)
    assert main(["zero-shot", "--data", str(tmp_path / "a"), "--steps", "2"]) == 0
    shown = capsys.readouterr()
    assert "zero-shot on nmnist" in shown.out and "'nmnist', recognised by its 10" in shown.err
    assert main(["zero-shot", "--data", str(tmp_path / "b"), "--steps", "2"]) == 0
    assert "'b', not a known one: its classes are no" in capsys.readouterr().err


def test_a_model_is_not_scored_on_other_words(tmp_path, refused, checkpoint_folder) -> None:
    """Ten folders of words sort otherwise than ten numerals: their numbers are not the model's."""
    from export.commands.main import main as export

    words = ("eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero")
    made(tmp_path / "words", "Train", words, ".bin", write_bin)
    base = (checkpoint_folder, "--data", tmp_path / "words")
    refused(main, "evaluate", *base, says=["eight, five", "0, 1", "--labels"])
    command = (*base, "--target", "emulator", "--out", tmp_path / "run", "--samples", "4")
    refused(export, *command, says=["eight, five", "--labels"])
    numerals = dict(
        zip(
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            "0123456789",
            strict=True,
        )
    )
    named = ["--labels", ",".join(f"{word}={numerals[word]}" for word in words)]
    assert export([str(word) for word in (*command, *named)]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data_set"].startswith("'words', not a known one: its classes")
    assert "not a known one" in (tmp_path / "run" / "report.html").read_text()


def test_cards() -> None:
    ours = ["nmnist", "digits", "cifar10dvs", "es-imagenet"]
    assert list(cards()) == [*ours, "n-caltech101", "n-cars", "dvs128-gesture", "asl-dvs"]
    assert DIGITS.template == NMNIST.template and not NMNIST.mirrored and CIFAR10_DVS.mirrored
    assert ES_IMAGENET.frames.steps == 8
    with pytest.raises(BadInput, match="no data set 'fashion'"):
        card_of("fashion")


OWN = """
from neuroclip.data.events.dataset import DatasetCard
gestures = DatasetCard(
    name="gestures", folders=("DVSGesture",), class_names=("clap", "wave"), sensor=(128, 128),
    suffixes=(".npz",), template="a person doing {}.", mirrored=True,
)
unlisted = DatasetCard(name="unlisted", sensor=(20, 20))
again = DatasetCard(name="nmnist")
nothing = 5
"""


def installed(folder: Path, **entries: str) -> None:
    """A distribution of one file and its entry points, as an installer leaves it."""
    info = folder / "own_sets-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-sets\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[neuroclip.datasets]", *lines, ""]))
    (folder / "own_sets.py").write_text(OWN)


def test_a_card_of_ones_own_is_one_file(tmp_path, monkeypatch) -> None:
    installed(tmp_path / "site", gestures="own_sets:gestures", unlisted="own_sets:unlisted")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "own_sets", raising=False)
    data = tmp_path / "data"
    dataset = made(data / "DVSGesture", "", ("clap", "wave"), ".npz", write_npz, 128)
    assert dataset.name == "gestures" and dataset.card.mirrored and dataset.load(0).width == 128
    assert open_dataset("gestures", root=data).card == dataset.card
    # Without classes on its card it is known by the name that is asked for alone.
    made(data / "unlisted", "", ("a", "b"), ".npz", write_npz, 20)
    assert open_dataset("unlisted", root=data).load(0).width == 20
    assert not open_dataset(data / "unlisted").known


@pytest.mark.parametrize(
    ("value", "why"),
    [("own_sets:again", "calls itself 'nmnist'"), ("own_sets:nothing", "no DatasetCard but a int"),
     ("own_sets:missing", "cannot be loaded"), ("not_there:x", "cannot be loaded")],
)  # fmt: skip
def test_a_bad_entry_point_is_named(tmp_path, monkeypatch, value, why) -> None:
    installed(tmp_path, bad=value)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_sets", raising=False)
    with pytest.raises(BadInput, match=f"entry point 'bad' .*{why}"):
        open_dataset("digits")


def test_nothing_of_it_needs_torch(tmp_path, own_python) -> None:
    made(tmp_path, "events_np", DIGIT_NAMES, ".npz", write_npz, 34)
    code = (
        "import sys\n"
        "from neuroclip.data.events.catalogue import open_dataset\n"
        f"print(open_dataset({str(tmp_path)!r}).name, 'torch' in sys.modules)"
    )
    assert own_python("-c", code).split() == ["nmnist", "False"]
