"""Data sets as users have them on disk: CIFAR10-DVS, ES-ImageNet, data roots, bad files."""

import shutil
import struct
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.commands import main as cli
from neuroclip.data.events.cards import CIFAR10_DVS
from neuroclip.data.events.catalogue import few_shot, open_dataset, without_bad
from neuroclip.data.images.told import holds_images


def write_five_bytes(path: Path, seed: int, events: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = np.random.default_rng(seed).integers(0, 34, (events, 5)).astype(np.uint8)
    raw[:, 2:4] = 0
    raw[:, 4] = np.arange(events)
    path.write_bytes(raw.tobytes())


def cifar10dvs(root: Path, per_class: int = 5) -> Path:
    """The released folders: one of each class, AEDAT 2.0 of a DVS128."""
    for label, name in enumerate(CIFAR10_DVS.class_names):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            x, y = label, 100 + number
            word = struct.pack(">II", (127 - x) << 8 | (127 - y) << 1, 7)
            (root / name / f"cifar10_{name}_{number}.aedat").write_bytes(
                b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + word
            )
    return root


def test_cifar10dvs(tmp_path: Path) -> None:
    cifar10dvs(tmp_path / "CIFAR10DVS")
    (tmp_path / "CIFAR10DVS" / ".cache").mkdir()
    dataset = open_dataset("cifar10dvs", root=tmp_path)
    assert dataset.name == "cifar10dvs" and dataset.class_names == CIFAR10_DVS.class_names
    assert len(dataset) == 50
    index = dataset.names.index(str(tmp_path / "CIFAR10DVS" / "cat" / "cifar10_cat_4.aedat"))
    recording = dataset.load(index)
    assert dataset.class_names[dataset.labels[index]] == "cat"
    assert (recording.x, recording.y, recording.p, recording.width) == (3, 104, 1, 128)
    assert dataset.card.frames.threshold == 1
    assert "stick figure" in dataset.card.template


def test_converted_cifar10dvs_needs_no_sensor(tmp_path: Path) -> None:
    """SpikingJelly keeps `events_np/<class>/*.npz` without the sensor's size."""
    for name in CIFAR10_DVS.class_names[:3]:
        for number in range(2):
            path = tmp_path / "events_np" / name / f"cifar10_{name}_{number}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, t=np.array([1, 2]), x=np.array([127, 0]), y=np.array([0, 9]), p=[0, 1])
    dataset = open_dataset(tmp_path)
    assert dataset.name == "cifar10dvs" and dataset.load(0).height == 128


def es_imagenet(root: Path, names: bool = True) -> Path:
    """Its two label files; recordings in class folders for training, side by side for `val`."""
    root.mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for part, count in (("train", 4), ("val", 1)):
        for label in range(3):
            for number in range(count):
                folder = root / part / (f"class{label}" if part == "train" else "")
                folder.mkdir(parents=True, exist_ok=True)
                name = f"n{label:08d}_{part}{number}"
                pos = np.array([[1 + label, 10, 2]], np.uint8)
                np.savez(folder / f"{name}.npz", pos=pos, neg=np.array([[99, 199, 8]], np.uint8))
                lines[part].append(f"{name}.JPEG {label} 100 200")
    (root / "trainlabel.txt").write_text("\n".join(lines["train"]) + "\n")
    (root / "vallabel.txt").write_text("\n".join(lines["val"]) + "\n")
    if names:
        (root / "classes.txt").write_text("tench\ngoldfish\nshark\n")
    return root


def test_es_imagenet(tmp_path: Path) -> None:
    dataset = open_dataset("es-imagenet", root=es_imagenet(tmp_path / "ES-ImageNet").parent)
    assert dataset.name == "es-imagenet" and dataset.class_names == ("tench", "goldfish", "shark")
    assert [Path(dataset.names[i]).parts[0] for i in dataset.test] == ["val"] * 3
    assert len(dataset.train) + len(dataset.validation) == 12
    for index in (int(dataset.train[0]), int(dataset.test[1])):
        recording, label = dataset.load(index), dataset.labels[index]
        # A picture of 100 rows and 200 columns: 77 rows and 27 columns before it.
        assert recording.y.tolist() == [77 + 1 + label, 77 + 99]
        assert recording.x.tolist() == [27 + 10, 27 + 199]
        assert recording.t.tolist() == [2, 8] and recording.p.tolist() == [1, 0]
    assert dataset.card.frames.steps == 8
    assert "point cloud" in dataset.card.template


def test_es_imagenet_takes_its_names_from_imagenet(tmp_path: Path) -> None:
    root = es_imagenet(tmp_path / "data", names=False)
    assert open_dataset(root).class_names == ("tench", "goldfish", "great white shark")
    labels = "\n".join(f"{n}.npz {label} 9 9" for label in (657, 744) for n in "ab")
    (root / "trainlabel.txt").write_text(labels)
    (root / "vallabel.txt").unlink()
    assert open_dataset(root).class_names == ("missile 657", "missile 744")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.JPEG 0 100", "line 2: 'a.JPEG 0 100' is not"),
        ("a.JPEG zero 100 200", "is not 'NAME CLASS ROWS COLUMNS'"),
        ("a.JPEG 0 100 300", "a picture of 100 × 300 pixels"),
        ("a.JPEG 3 100 200", "3 names, but label 3"),
        ("a.JPEG 2 100 200", "class 2 has 1 recording"),
    ],
)
def test_bad_label_files(tmp_path: Path, line: str, words: str) -> None:
    root = es_imagenet(tmp_path / "data")
    good = (root / "vallabel.txt").read_text().splitlines()[0]
    (root / "vallabel.txt").unlink()
    (root / "trainlabel.txt").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(BadInput) as error:
        open_dataset(root)
    assert words in str(error.value)


def test_a_class_without_recordings_is_named(tmp_path: Path) -> None:
    root = cifar10dvs(tmp_path / "data")
    for path in (root / "deer").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match="class 'deer' has no recordings"):
        open_dataset(root)


def test_data_roots(tmp_path: Path) -> None:
    cifar10dvs(tmp_path / "mine")
    assert len(open_dataset("mine", root=tmp_path)) == 50
    with pytest.raises(BadInput, match="no data set 'nmnist'"):
        open_dataset("nmnist", root=tmp_path)
    with pytest.raises(BadInput, match="no such data root"):
        open_dataset("nmnist", root=tmp_path / "nowhere")


def numerals(root: Path, classes: int = 2, per_class: int = 10) -> Path:
    for label in range(classes):
        for number in range(per_class):
            write_five_bytes(root / "Train" / str(label) / f"{number}.bin", label * 100 + number)
    return root


def test_bad_recordings_are_left_out_and_the_split_stays(tmp_path: Path) -> None:
    before = open_dataset(numerals(tmp_path))
    bad = [int(before.train[1]), int(before.test[3])]
    for index in bad:
        Path(before.names[index]).write_bytes(b"1234")
    dataset, reasons = without_bad(open_dataset(tmp_path), ("train", "test"))
    assert sorted(reasons) == sorted(r for r in reasons if "4 bytes are not whole events" in r)
    assert len(reasons) == 2
    assert np.array_equal(dataset.train, np.delete(before.train, 1))
    assert np.array_equal(dataset.test, np.delete(before.test, 3))
    assert np.array_equal(dataset.validation, before.validation)
    shots = int(np.bincount(before.labels[before.train]).min())
    with pytest.raises(BadInput, match=f"has {shots - 1} training recordings, fewer than {shots}"):
        few_shot(dataset, shots, seed=0)
    for index in before.test:
        Path(before.names[index]).write_bytes(b"1234")
    with pytest.raises(BadInput, match="no recording of 'test' can be read"):
        without_bad(dataset, ("test",))
    nothing = replace(dataset, test=dataset.test[:0])
    assert without_bad(nothing, ("test",))[1] == ()


def test_the_commands_stop_at_a_bad_recording_or_skip_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path / "cache"))
    dataset = open_dataset(numerals(tmp_path / "nmnist", classes=10, per_class=6))
    bad = Path(dataset.names[int(dataset.test[2])])
    bad.write_bytes(b"1234")
    arguments = ["zero-shot", "--data", "nmnist", "--data-root", str(tmp_path)]
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert bad.name in shown.err and shown.out == "" and shown.err.count("\n") == 1
    for command in (arguments, ["evaluate", *arguments[1:]]):
        assert cli.main([*command, "--skip-bad"]) == 0
        shown = capsys.readouterr()
        assert f"skipped 1 of {len(dataset.test)} recordings" in shown.out
        assert f"of {len(dataset.test) - 1})" in shown.out and str(bad) in shown.err


def test_a_data_set_that_an_archive_wraps(tmp_path: Path) -> None:
    """Folders around all of it are passed; beside others, which are meant cannot be told, and is asked."""
    numerals(tmp_path / "a" / "N-MNIST", classes=10)
    for folder in ("a", "a/N-MNIST", "a/N-MNIST/Train", "a/N-MNIST/Train/3"):
        (tmp_path / folder / "readme.txt").write_text("hello")
    (tmp_path / "a" / "__MACOSX" / "N-MNIST").mkdir(parents=True)
    es_imagenet(tmp_path / "b" / "1" / "2")
    for root, name in (("a", "nmnist"), ("b", "es-imagenet")):
        inner = next((tmp_path / root).rglob("Train" if root == "a" else "trainlabel.txt")).parent
        found, bare = open_dataset(tmp_path / root), open_dataset(inner)
        assert found.name == bare.name == name and found.names == bare.names
    (tmp_path / "a" / "annotations" / "0").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no class folders.*seen: folders 'N-MNIST', 'annotations'"):
        open_dataset(tmp_path / "a")


@pytest.mark.parametrize("per_class", range(2, 12))
@pytest.mark.parametrize("seed", [0, 3])
def test_few_recordings_leave_some_for_each_part(tmp_path: Path, per_class: int, seed: int) -> None:
    root = numerals(tmp_path / "a", per_class=per_class)
    alone = open_dataset(root, seed)
    for label in "01":
        write_five_bytes(root / "Test" / label / "0.bin", 900 + int(label))
    for dataset in (alone, open_dataset(root, seed)):
        own = dataset is not alone
        for part in ("train", "validation", "test"):
            counts = np.bincount(dataset.labels[getattr(dataset, part)], minlength=2)
            # Of two or three, half are for test, and what is left is for training.
            least = 1 if own or per_class > 3 or part != "validation" else 0
            assert counts.min() >= least and counts.min() == counts.max(), part


@pytest.mark.parametrize("below", ["n-cars_{}", "n-cars_{0}/{0}"])
def test_cut_outs_that_say_their_own_sizes(tmp_path: Path, below: str) -> None:
    """N-Cars' recordings are of many sizes, and frames of one: that of the largest."""
    sizes = {}
    for part in ("train", "test"):
        for number in range(8):
            width, height = sizes[number] = 60 + 8 * number, 100 - 7 * number
            path = tmp_path / below.format(part) / ("cars", "background")[number % 2]
            path.mkdir(parents=True, exist_ok=True)
            said = f"% Version 2\n% Width {width}\n% Height {height}\n".encode() + bytes([0, 8])
            event = struct.pack("<II", 5, 1 << 28 | (height - 1) << 14 | width - 1)
            (path / f"obj_{number:06d}_td.dat").write_bytes(said + event)
    dataset = open_dataset(tmp_path)
    assert dataset.name == "n-cars" and dataset.parts == ("test", "train")
    for index, name in enumerate(dataset.names):
        width, height = sizes[int(Path(name).name[4:10])]
        found = dataset.load(index)
        assert (found.x, found.y, found.width, found.height) == (width - 1, height - 1, 120, 100)
    with pytest.raises(BadInput, match="by the file, 120×100 as given"):
        open_dataset(tmp_path, sensor=(120, 100)).load(0)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ("train/{cat,dog}/{1,2} test/{Cat,dog}/{3,4}", "class 'Cat' is in its test part only"),
        ("train/{cat,dog}/{1,2} dev/{cat,cow}/{3,4}", "class 'cow' is in its validation part only"),
        ("train/{1,2} test/{3,4}", "the recordings in test, train are in no class folders"),
        ("my_train/{1,2}", "the recordings in my_train are in no class folders"),
        ("train/{cat,dog}/{1,2} more/{cat,dog}/{3,4}", "in 'more' are in none of its parts, train"),
        ("train/{cat,dog}/{1,2} more/{3,4}", "in 'more' are in none of its parts, train"),
    ],
)
def test_what_would_merge_or_drop_recordings_is_refused(
    tmp_path: Path, files: str, says: str
) -> None:
    lay_out(tmp_path, files)
    with pytest.raises(BadInput, match=says):
        open_dataset(tmp_path)


def test_parts_go_by_the_names_that_those_of_images_have(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/{cat,train}/{1,2,3,4} eval/{cat,train}/{5,6} dev/{cat,train}/{7,8}")
    (tmp_path / "train" / "cat" / ".5.bin.swp").write_bytes(b"x")
    (tmp_path / "train" / "cat" / ".5.bin").write_bytes(b"x")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "list.txt").write_text("of no recordings")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("cat", "train") and dataset.own_test
    parts = {"train": dataset.train, "dev": dataset.validation, "eval": dataset.test}
    for part, indices in parts.items():
        folders = {Path(dataset.names[i]).relative_to(tmp_path).parts[0] for i in indices}
        assert folders == {part} and len(indices) == (8 if part == "train" else 4)


def test_nothing_is_told_apart_of_one_class(tmp_path: Path) -> None:
    lay_out(tmp_path, "cat/{1,2,3,4}")
    with pytest.raises(BadInput, match="'cat' is its only class"):
        few_shot(open_dataset(tmp_path), 1, 0)


def test_an_archive_of_recordings_is_not_taken_for_images(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", "train/{cat,dog}/{1,2,3,4}")
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data")
    with pytest.raises(BadInput, match=r"data\.zip: an archive of recordings.*unpack it"):
        holds_images(archive, None)


def lay_out(root: Path, files: str) -> None:
    """Recordings at places such as "train/{cat,dog}/{1,2}"."""
    for place in files.split():
        parts = [part.strip("{}").split(",") for part in place.split("/")]
        for names in product(*parts):
            write_five_bytes(root.joinpath(*names).with_suffix(".bin"), 1)
