"""ES-ImageNet as it is released: `trainlabel.txt`, `vallabel.txt` and one `.npz` a recording.

A line of a label file is `NAME.xxx CLASS ROWS COLUMNS`; the recording is `NAME.npz` in `train` or
`val`, or there in the folder `class<CLASS>`. It holds the events of a picture of ROWS × COLUMNS
pixels moved in eight steps, which is centred on 256×256 (Lin et al. 2021, Front. Neurosci.
15:726582, public loader).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.dataset import EventDataset
from neuroclip.data.folders import split_parts
from neuroclip.event_files.npz import ES_IMAGENET_SIZE, read
from neuroclip.events import Recording, checked_recording

LABEL_FILES = {"train": "trainlabel.txt", "val": "vallabel.txt"}
CLASSES_FILE = "classes.txt"

# 100 bytes a line for ES-ImageNet's 1.3 million recordings.
_MAX_LABEL_BYTES = 200_000_000


def is_es_imagenet(root: Path) -> bool:
    """Whether a folder holds a label file of ES-ImageNet."""
    return any((root / name).is_file() for name in LABEL_FILES.values())


def es_imagenet_dataset(root: Path, seed: int = 0) -> EventDataset:
    """The recordings that the label files name, read when they are asked for; test is `val`.

    Class names are the lines of `classes.txt`, or ImageNet's (open_clip's, in the order of the
    WordNet numbers), of which the repeated ones get their class number behind them.

    Raises BadInput: a bad line, a class without a name, a class with fewer than 2 recordings.
    """
    lines = [line for part in LABEL_FILES for line in _read_labels(root, part)]
    if not lines:
        raise BadInput(f"{root}: its label files name no recording")
    labels = np.array([line.label for line in lines], dtype=np.int64)
    # Label files may start anywhere, a data set's labels are 0 … classes - 1.
    present, dense = np.unique(labels, return_inverse=True)
    names = _class_names(root, int(present[-1]))
    counts = np.bincount(dense)
    if counts.min() < 2:
        label = int(present[counts.argmin()])
        raise BadInput(f"{root}: class {label} has {counts.min()} recording, at least 2 are needed")
    is_test = np.array([line.part == "val" for line in lines])
    train, validation, test = split_parts(dense.astype(np.int64), is_test, seed)
    return EventDataset(
        name="es-imagenet",
        names=tuple(f"{root}/{line.part}/{line.name}.npz" for line in lines),
        labels=dense.astype(np.int64),
        class_names=tuple(names[label] for label in present),
        train=train,
        validation=validation,
        test=test,
        load=lambda index: _load(root, lines[index]),
    )


@dataclass(frozen=True)
class _Line:
    part: str
    name: str
    label: int
    rows: int
    columns: int


def _read_labels(root: Path, part: str) -> list[_Line]:
    path = root / LABEL_FILES[part]
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > _MAX_LABEL_BYTES:
            raise BadInput(f"{path}: more than {_MAX_LABEL_BYTES} bytes of labels")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a text file: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        name = words[0].split(".")[0]
        sizes = [int(word) for word in words[1:] if word.isascii() and word.isdecimal()]
        if len(words) != 4 or len(sizes) != 3 or not name or name.startswith("/"):
            raise BadInput(f"{path}: line {number}: {line!r} is not 'NAME CLASS ROWS COLUMNS'")
        label, rows, columns = sizes
        if not (1 <= rows <= ES_IMAGENET_SIZE and 1 <= columns <= ES_IMAGENET_SIZE):
            raise BadInput(
                f"{path}: line {number}: a picture of {rows} × {columns} pixels, "
                f"at most {ES_IMAGENET_SIZE} × {ES_IMAGENET_SIZE} are expected"
            )
        found.append(_Line(part, name, label, rows, columns))
    return found


def _class_names(root: Path, largest: int) -> list[str]:
    path = root / CLASSES_FILE
    if path.is_file():
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        names = [name for name in names if name]
    else:
        from open_clip import IMAGENET_CLASSNAMES

        path, names = Path("ImageNet's class names"), list(IMAGENET_CLASSNAMES)
    if largest >= len(names):
        raise BadInput(f"{path}: {len(names)} names, but label {largest} in {root}")
    return [
        f"{name} {label}" if names.count(name) > 1 else name for label, name in enumerate(names)
    ]


def _load(root: Path, line: _Line) -> Recording:
    folder = root / line.part
    path = folder / f"{line.name}.npz"
    nested = folder / f"class{line.label}" / path.name
    if nested.is_file():
        path = nested
    # The public loader's own centring.
    margin = ((ES_IMAGENET_SIZE - 2 - line.columns) // 2, (ES_IMAGENET_SIZE - 2 - line.rows) // 2)
    return checked_recording(path, read(path, margin), None)
