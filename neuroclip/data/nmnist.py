"""Event recordings in N-MNIST's own folder layout: `Train/<class>/<id>.bin`, `Test/<class>/...`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.dataset import EventDataset
from neuroclip.data.split import per_class_split
from neuroclip.events import read_recording

# Recordings of every class for shots and for validation; few-shot needs few, test gets the rest.
SHOT_POOL = 16
VALIDATION_POOL = 4

_SUFFIXES = (".bin", ".npz")


def folder_dataset(root: Path, seed: int = 0) -> EventDataset:
    """The recordings under `root`, split by `seed`, read through tonic when they are asked for.

    With a `Test` folder, test is that folder; otherwise everything outside the pool. The pool is,
    of every class, 16 recordings for training (shots) and 4 for validation; of a class with fewer
    than 40, half of them, a fifth of it for validation. With a `Test` folder, training keeps all of
    `Train` that is not validation. Classes are the folder names, numbers in numeric order.

    Raises BadInput: no such folder, another layout, no recordings, a class with fewer than 2.
    """
    root = Path(root)
    if not root.is_dir():
        raise BadInput(
            f"{root}: no such folder; data sets are folders in N-MNIST layout, or 'digits'"
        )
    parts = [part for part in ("Train", "Test") if (root / part).is_dir()]
    if not parts:
        raise BadInput(f"{root}: no folder 'Train' or 'Test': not the N-MNIST layout")
    found = [(part, path) for part in parts for path in _recordings(root / part)]
    if not found:
        raise BadInput(
            f"{root}: no recordings (.bin, .npz) in class folders of {' and '.join(parts)}"
        )
    class_names = tuple(sorted({path.parent.name for _, path in found}, key=_class_order))
    number = {name: index for index, name in enumerate(class_names)}
    labels = np.array([number[path.parent.name] for _, path in found], dtype=np.int64)
    paths = tuple(path for _, path in found)
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() < 2:
        name = class_names[int(counts.argmin())]
        raise BadInput(
            f"{root}: class '{name}' has {counts.min()} recording, at least 2 are needed"
        )
    is_test = np.array([part == "Test" for part, _ in found])
    train, validation, test = _split(labels, is_test, seed)
    return EventDataset(
        name="nmnist" if all(name.isdecimal() for name in class_names) else root.resolve().name,
        names=tuple(str(path) for path in paths),
        labels=labels,
        class_names=class_names,
        train=train,
        validation=validation,
        test=test,
        load=lambda index: read_recording(paths[index]),
    )


def _split(
    labels: NDArray[np.int64], is_test: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    official = bool(is_test.any() and not is_test.all())
    pool = np.flatnonzero(~is_test) if official else np.arange(len(labels))
    smallest = int(np.bincount(labels[pool])[np.unique(labels[pool])].min())
    size = min(SHOT_POOL + VALIDATION_POOL, smallest // 2)
    validation_size = size * VALIDATION_POOL // (SHOT_POOL + VALIDATION_POOL)
    train, validation, rest = (
        pool[part]
        for part in per_class_split(labels[pool], (size - validation_size, validation_size), seed)
    )
    if official:
        return np.sort(np.concatenate([train, rest])), validation, np.flatnonzero(is_test)
    return train, validation, rest


def _recordings(folder: Path) -> list[Path]:
    files = (path for path in folder.glob("*/*") if path.suffix in _SUFFIXES and path.is_file())
    return sorted(files)


def _class_order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdecimal() else (1 << 62, name)
