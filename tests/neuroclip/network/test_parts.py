"""What is learned from, what chooses, and what tests: disjoint, and the data's own where they have them."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")

from neuroclip.network.parts import Parts, parts_of
from neuroclip.network.samples import Framing, Samples, open_samples

PARTS = ("train", "validation", "test")


def opened(root: Path) -> tuple[Samples, Parts]:
    found = open_samples(str(root), Framing(10.0, 2))
    return found, parts_of(found, 0)


def moved(root: Path, source: Path, names: dict[str, slice]) -> None:
    """The recordings of each class in folders of parts."""
    for label in range(3):
        paths = sorted((source / "Train" / str(label)).iterdir())
        for name, which in names.items():
            folder = root / name / str(label)
            folder.mkdir(parents=True)
            for path in paths[which]:
                (folder / path.name).write_bytes(path.read_bytes())


def test_the_folders_of_the_data_are_its_parts(nmnist_like: Path, tmp_path: Path) -> None:
    moved(tmp_path / "all", nmnist_like,
          {"Train": slice(0, 12), "Val": slice(12, 15), "Test": slice(15, 20)})  # fmt: skip
    found, parts = opened(tmp_path / "all")
    assert [len(getattr(parts, name)) for name in PARTS] == [36, 9, 15]
    assert np.array_equal(parts.test, found.test) and np.array_equal(
        parts.validation, found.validation
    )
    moved(tmp_path / "two", nmnist_like, {"Train": slice(0, 12), "Val": slice(12, 20)})
    found, parts = opened(tmp_path / "two")
    assert np.array_equal(parts.test, found.test) and len(parts.test) == 24


def test_other_data_are_split_by_the_seed_and_tested_on_the_same(spikes_file: Path) -> None:
    found = open_samples(spikes_file)
    first, second = parts_of(found, 0), parts_of(found, 1)
    for parts in (first, second):
        dealt = [getattr(parts, name) for name in PARTS]
        assert [len(part) for part in dealt] == [42, 6, 12]
        assert sorted(np.concatenate(dealt)) == list(range(60))
        assert found.labels is not None
        assert all(np.ptp(np.bincount(found.labels[part])) <= 1 for part in dealt)
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.validation, second.validation)
