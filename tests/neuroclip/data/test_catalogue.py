"""The bundled digits and folders in N-MNIST's layout: splits, laziness, bad input."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from deploy.errors import BadInput
from neuroclip.data.events import digits
from neuroclip.data.events.camera import CameraParameters, simulate
from neuroclip.data.events.catalogue import EventDataset, few_shot, open_dataset
from neuroclip.data.events.digits import digit_pictures, digits_split
from neuroclip.data.split import stratified_split


def write_bin(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = np.random.default_rng(seed).integers(0, 34, (20, 5)).astype(np.uint8)
    raw[:, 2:4] = 0
    raw[:, 4] = np.arange(20)
    path.write_bytes(raw.tobytes())


def folder(root: Path, classes: int, per_class: int, part: str = "Train") -> Path:
    for label in range(classes):
        for number in range(per_class):
            write_bin(root / part / str(label) / f"{number:05d}.bin", seed=label * 100 + number)
    return root


def assert_parts_cover(dataset: EventDataset) -> None:
    parts = np.concatenate([dataset.train, dataset.validation, dataset.test])
    assert np.array_equal(np.sort(parts), np.arange(len(dataset)))


def test_digits_are_cubic_splines_of_what_scikit_learn_ships() -> None:
    small = np.stack([picture.reshape(8, 8) for picture in digits._shipped()[:50, :-1]]) / 16
    large = zoom(small, (1, 2.5, 2.5), order=3, mode="grid-constant", grid_mode=True)
    pictures = digit_pictures()[0][:50]
    assert np.array_equal(pictures[:, 4:-4, 4:-4], np.round(np.clip(large, 0, 1) * 255))
    assert not pictures[:, [0, 3, -4, -1]].any() and not pictures[:, :, [0, 3, -4, -1]].any()


def test_digits_split_is_fixed_stratified_and_complete() -> None:
    _, labels = digit_pictures()
    parts = digits_split(0)
    assert [len(part) for part in parts] == [1000, 297, 500]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    for part in parts:
        share = np.bincount(labels[part], minlength=10) / np.bincount(labels)
        assert np.all(np.abs(share - len(part) / 1797) < 0.01)
    assert all(np.array_equal(a, b) for a, b in zip(parts, digits_split(0), strict=True))
    assert np.array_equal(parts[2], digits_split(1)[2])
    assert not np.array_equal(parts[0], digits_split(1)[0])
    with pytest.raises(ValueError, match="sum"):
        stratified_split(labels, (1, 2), 0)


@pytest.fixture
def few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The bundled data cut to its first 50 digits; returns an empty cache folder."""
    pictures, labels = digits.digit_pictures()
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path))
    monkeypatch.setattr(digits, "digit_pictures", lambda: (pictures[:50], labels[:50]))
    monkeypatch.setattr(digits, "SPLIT_SIZES", (20, 10, 20))
    digits._streams.cache_clear()
    yield tmp_path
    digits._streams.cache_clear()


def test_digits_streams_are_made_when_first_loaded_and_cached(few_digits: Path) -> None:
    dataset = open_dataset("digits")
    assert not list(few_digits.iterdir())
    first = dataset.load(5)
    assert dataset.labels[5] == 5 and dataset.class_names[5] == "5" and first.name == "digits/0005"
    (path,) = few_digits.iterdir()
    written = path.read_bytes()
    for content in (written, written[: len(written) // 2], b"no archive"):
        path.write_bytes(content)
        digits._streams.cache_clear()
        again = open_dataset("digits").load(5)
        assert np.array_equal(first.t, again.t) and np.array_equal(first.x, again.x)
        assert path.read_bytes() == written


def test_digits_give_as_many_events_as_nmnist() -> None:
    """4 133 on average: what the display's contrast was calibrated to."""
    chosen = digit_pictures()[0][digits_split(0)[0]][:300]
    made = simulate(chosen, CameraParameters(), tuple(map(str, range(300))))
    assert abs(np.mean([len(recording) for recording in made]) / 4133 - 1) < 0.03


def test_folder_without_test_part(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, 3, 50), seed=3)
    assert dataset.class_names == ("0", "1", "2")
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [48, 12, 90]
    assert np.bincount(dataset.labels[dataset.train]).tolist() == [16, 16, 16]
    assert_parts_cover(dataset)
    assert Path(dataset.names[60]).parent.name == dataset.class_names[dataset.labels[60]]
    assert len(dataset.load(60)) == 20 and dataset.load(60).name == dataset.names[60]
    again = open_dataset(tmp_path, seed=3)
    assert np.array_equal(again.test, dataset.test)
    shots = few_shot(dataset, 4, seed=1)
    assert set(shots) <= set(dataset.train)
    assert np.bincount(dataset.labels[shots]).tolist() == [4, 4, 4]
    with pytest.raises(BadInput, match="fewer than 17 shots"):
        few_shot(dataset, 17, seed=1)
    with pytest.raises(BadInput, match="0 shots"):
        few_shot(dataset, 0, seed=1)


def test_folder_with_test_part_keeps_it_for_test(tmp_path: Path) -> None:
    folder(tmp_path, 2, 50)
    dataset = open_dataset(folder(tmp_path, 2, 6, part="Test"))
    assert {Path(dataset.names[i]).parts[-3] for i in dataset.test} == {"Test"}
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [92, 8, 12]
    assert_parts_cover(dataset)


def test_class_folders_are_in_numeric_order(tmp_path: Path) -> None:
    assert open_dataset(folder(tmp_path, 11, 4)).class_names == tuple(map(str, range(11)))


def test_classes_that_are_no_numerals_get_no_numeral_prompt(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(2):
            write_bin(tmp_path / "pets" / "Train" / label / f"{number}.bin")
    pets = open_dataset(tmp_path / "pets")
    assert pets.name == "pets" and not pets.known and "{}" in pets.card.template
    assert open_dataset(folder(tmp_path / "numerals", 2, 2)).name == "nmnist"


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(BadInput, match="not the N-MNIST layout"):
        open_dataset(tmp_path)
    (tmp_path / "Train" / "0").mkdir(parents=True)
    with pytest.raises(BadInput, match="no recordings"):
        open_dataset(tmp_path)
    write_bin(tmp_path / "Train" / "0" / "1.bin")
    with pytest.raises(BadInput, match="class '0' has 1 recording"):
        open_dataset(tmp_path)


def test_a_corrupt_file_is_named_when_it_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, 2, 4))
    Path(dataset.names[3]).write_bytes(b"1234")
    with pytest.raises(BadInput, match=r"00003\.bin: 4 bytes"):
        dataset.load(3)


@pytest.mark.skipif(
    "NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA (folder of real data) is not set"
)
def test_real_nmnist_folder() -> None:
    dataset = open_dataset(Path(os.environ["NEUROCLIP_DATA"]) / "nmnist")
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [160, 40, 800]
    assert_parts_cover(dataset)
    assert 1000 < len(dataset.load(0)) < 8000


def test_one_recording_is_no_data_set(tmp_path: Path, refused) -> None:
    """Nor is it a container of images, as a zip file may be: who takes one is said."""
    from neuroclip.commands.main import main

    (tmp_path / "one.NPZ").write_bytes(b"")
    for command in (["zero-shot"], ["evaluate"]):
        refused(main, *command, "--data", tmp_path / "one.NPZ", says=["one file", "watch FILE"])
