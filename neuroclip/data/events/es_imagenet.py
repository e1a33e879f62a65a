"""ES-ImageNet as it is released: `trainlabel.txt`, `vallabel.txt` and one `.npz` a recording.

A line of a label file is `NAME.xxx CLASS ROWS COLUMNS`; the recording is `NAME.npz` in `train` or
`val`, or there in the folder `class<CLASS>`. It holds the events of a picture of ROWS × COLUMNS
pixels moved in eight steps, which is centred on 256×256 (Lin et al. 2021, Front. Neurosci.
15:726582, public loader).
"""

from collections import Counter
from pathlib import Path

import numpy as np

from deploy.errors import BadInput
from deploy.reading import read_text
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.formats.npz import ES_IMAGENET_SIZE, read
from neuroclip.data.events.recording import Recording, checked_recording
from neuroclip.data.split import split_parts

LABEL_FILES = {"train": "trainlabel.txt", "val": "vallabel.txt"}
CLASSES_FILE = "classes.txt"

# 100 bytes a line for ES-ImageNet's 1.3 million recordings.
_MAX_LABEL_BYTES = 200_000_000
_MAX_LABEL = 1 << 20


def es_imagenet_dataset(card: DatasetCard, root: Path, seed: int = 0) -> EventDataset:
    """The recordings that the label files name, read when they are asked for; test is `val`.

    Class names are the lines of `classes.txt`, or ImageNet's (open_clip's, in the order of the
    WordNet numbers), of which the repeated ones get their class number behind them.

    Raises BadInput: a bad line, a class without a name, a class with fewer than 2 recordings.
    """
    items = [item for part in LABEL_FILES for item in _read_labels(root, part)]
    if not items:
        raise BadInput(f"{root}: its label files name no recording")
    names, labels, sizes = zip(*items, strict=True)
    # Some labels may have no recording; those of a data set are 0 … classes - 1.
    present, truth = np.unique(np.array(labels, dtype=np.int64), return_inverse=True)
    words = _class_names(root, int(present[-1]))
    counts = np.bincount(truth)
    if counts.min() < 2:
        label = int(present[counts.argmin()])
        raise BadInput(f"{root}: class {label} has {counts.min()} recording, at least 2 are needed")
    is_test = np.array([name.startswith("val/") for name in names])
    train, validation, test = split_parts(truth.astype(np.int64), is_test, seed)
    return EventDataset(
        card=card,
        names=names,
        labels=truth.astype(np.int64),
        class_names=tuple(words[label] for label in present),
        train=train,
        validation=validation,
        test=test,
        load=lambda index: _load(root, names[index], labels[index], sizes[index]),
    )


_Item = tuple[str, int, tuple[int, int]]
"""File below the root, label, and rows and columns of the picture; small, for there are millions."""


def _read_labels(root: Path, part: str) -> list[_Item]:
    path = root / LABEL_FILES[part]
    if not path.is_file():
        return []
    text = read_text(path, _MAX_LABEL_BYTES, "a file of labels")
    found: list[_Item] = []
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            file, *numbers = line.split()
            label, rows, columns = map(int, numbers)
        except ValueError:
            file, label, rows, columns = "", -1, 0, 0
        if not 0 <= label < _MAX_LABEL or file.startswith("/"):
            raise BadInput(f"{path}: line {number}: {line!r} is not 'NAME CLASS ROWS COLUMNS'")
        size = rows, columns
        if size not in known and not 1 <= min(size) <= max(size) <= ES_IMAGENET_SIZE:
            raise BadInput(
                f"{path}: line {number}: a picture of {rows} × {columns} pixels, "
                f"at most {ES_IMAGENET_SIZE} × {ES_IMAGENET_SIZE} are expected"
            )
        name = f"{part}/{file.split('.')[0]}.npz"
        found.append((name, label, known.setdefault(size, size)))
    return found


def _class_names(root: Path, largest: int) -> list[str]:
    path = root / CLASSES_FILE
    if path.is_file():
        lines = read_text(path, _MAX_LABEL_BYTES, "a list of classes").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    else:
        from open_clip import IMAGENET_CLASSNAMES

        path, names = Path("ImageNet's class names"), list(IMAGENET_CLASSNAMES)
    if largest >= len(names):
        raise BadInput(f"{path}: {len(names)} names, but label {largest} in {root}")
    times = Counter(names)
    return [f"{name} {label}" if times[name] > 1 else name for label, name in enumerate(names)]


def _load(root: Path, name: str, label: int, size: tuple[int, int]) -> Recording:
    path = root / name
    nested = path.parent / f"class{label}" / path.name
    if nested.is_file():
        path = nested
    # The public loader's own centring.
    rows, columns = ((ES_IMAGENET_SIZE - 2 - side) // 2 for side in size)
    return checked_recording(path, read(path, margin=(columns, rows)), None)
