"""Event recordings in folders of classes: N-MNIST, CIFAR10-DVS, and any other set laid out so.

- `Train/<class>/<recording>` and `Test/<class>/<recording>` (N-MNIST; either, in any case, also
  `training`, `n-cars_test` and the like), and perhaps `val`, or
- `<class>/<recording>` (CIFAR10-DVS as released, and SpikingJelly's `events_np` folders).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.cards import cards
from neuroclip.data.events.dataset import DatasetCard, EventDataset, reader
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.recognise import CONVERTED, recognised
from neuroclip.data.events.recording import SUFFIXES, is_recording
from neuroclip.data.split import official, split_parts

# Words in the names of folders of parts.
_PARTS = {
    "train": {"train", "training", "trainset"},
    "validation": {"val", "valid", "validation", "dev", "valset"},
    "test": {"test", "testing", "testset", "eval"},
}


def folder_dataset(
    root: Path, seed: int = 0, card: DatasetCard | None = None, sensor: Sensor | None = None
) -> EventDataset:
    """The recordings under `root`, split by `seed`, read when they are asked for.

    With a `Test` folder, test is that folder, and with one for validation, validation is that; otherwise
    everything outside the pool. The pool is, of every class, 16 recordings for training (shots) and 4 for
    validation; of a class with fewer than 40, half of them, a fifth of it and at least one for validation;
    the seed deals the pool anew and leaves the test part as it is. With a `Test` folder, training keeps all
    of `Train` that is not validation. Classes are the folder names, numbers in numeric order. card: what the
    data set is; left out, see `recognised`. sensor: of files that do not say it, before the card's.

    Raises BadInput: no such folder, another layout, a class without recordings or with one.
    """
    root = Path(root)
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; data sets are folders of recordings, or 'digits'")
    found = list(_class_folders(root))
    if not found:
        raise BadInput(
            f"{root}: no folder 'Train' or 'Test' and no class folders of recordings: not the "
            "N-MNIST layout, nor CIFAR10-DVS's, nor ES-ImageNet's (trainlabel.txt)" + _seen(root)
        )
    class_names = tuple(sorted({_class_name(folder) for _, folder in found}, key=_class_order))
    number = {name: index for index, name in enumerate(class_names)}
    paths: list[Path] = []
    labels: list[int] = []
    parts: list[str] = []
    for part, folder in found:
        own = _recordings(folder)
        paths += own
        labels += [number[_class_name(folder)]] * len(own)
        parts += [part] * len(own)
    if not paths:
        raise BadInput(f"{root}: no recordings ({', '.join(SUFFIXES)}) in its class folders")
    truth = np.array(labels, dtype=np.int64)
    counts = np.bincount(truth, minlength=len(class_names))
    if counts.min() < 2:
        name, count = class_names[int(counts.argmin())], int(counts.min())
        held = f"{count} recording" if count else "no recordings"
        raise BadInput(f"{root}: class '{name}' has {held}, at least 2 are needed")
    of = np.array(parts)
    trained = set(truth[of == "train"].tolist()) or set(truth.tolist())
    stray = next((k for k in range(len(class_names)) if k not in trained), None)
    if stray is not None:
        where = of[truth == stray][0]
        raise BadInput(f"{root}: class '{class_names[stray]}' is in its {where} part only")
    train, validation, test = split_parts(truth, of == "test", seed, of == "validation")
    evidence = "by its name"
    if card is None:
        card, evidence = recognised(class_names, paths, truth)
    known = card is not None
    if card is None:
        name = root.resolve().name
        card = DatasetCard(f"folder {name}" if name in cards() else name)
    if card.numbers and set(class_names) <= set(card.numbers):
        class_names = tuple(card.class_names[card.numbers.index(name)] for name in class_names)
    # Underscores stand for spaces in the names of folders, as in those of images.
    class_names = tuple(name.replace("_", " ") for name in class_names)
    if len(set(class_names)) < len(class_names):
        name = next(name for name in class_names if class_names.count(name) > 1)
        raise BadInput(f"{root}: two classes are called '{name}', underscores being spaces")
    load, late = reader(paths, sensor, card)
    return EventDataset(
        card=card,
        names=tuple(str(path) for path in paths),
        labels=truth,
        class_names=class_names,
        train=train,
        validation=validation,
        test=test,
        load=load,
        evidence=evidence,
        known=known,
        # Without a test part of theirs, the one for validation is.
        own_test=official(np.isin(of, ("test", "validation"))),
        late=late,
        parts=tuple(sorted({*parts} - {""})),
    )


def _class_name(folder: Path) -> str:
    """A folder's name, its accents as everybody but macOS writes them."""
    return normalize("NFC", folder.name)


def _class_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """(part, class folder) in a fixed order; part is "train", "validation", "test" or "".

    Raises BadInput where two folders are of one part, or class folders lie beside parts.
    """
    inside = _folders(root)
    converted = [folder for folder in inside if folder.name.lower() == CONVERTED]
    if converted:
        yield from _class_folders(converted[0])
        return
    parts: dict[str, Path] = {}
    classes = []
    for folder in inside:
        part = _part(folder)
        if part is None:
            classes.append(folder)
        elif part in parts:
            raise BadInput(f"{root}: '{parts[part].name}' and '{folder.name}' are both for {part}")
        else:
            parts[part] = folder
    if parts:
        found = [pair for part in _PARTS if part in parts for pair in _of_part(part, parts[part])]
        kinds = _kinds(folder for _, folder in found) if classes else set()
        for folder in classes:
            if _kinds([folder, *_folders(folder)]) & kinds:
                shown = ", ".join(folder.name for folder in parts.values())
                raise BadInput(
                    f"{root}: the recordings in '{folder.name}' are in none of its parts, {shown}"
                )
        yield from found
    elif any(_recordings(folder) for folder in classes):
        # A class may be called "train", but not each of them by a part.
        flat = [folder.name for folder in classes if _recordings(folder)]
        if all(_words(name) & set().union(*_PARTS.values()) for name in flat):
            raise BadInput(f"{root}: the recordings in {', '.join(flat)} are in no class folders")
        yield from (("", folder) for folder in classes)


def _of_part(part: str, folder: Path) -> list[tuple[str, Path]]:
    inside = _folders(folder)
    # Archives of parts unpack into a folder that is called so once more.
    if len(inside) == 1 and _part(inside[0]) == part:
        inside = _folders(inside[0])
    return [(part, folder) for folder in inside]


def _kinds(folders: Iterable[Path]) -> set[str]:
    return {path.suffix.lower() for folder in folders for path in _recordings(folder)}


def _seen(root: Path) -> str:
    """The folders that are there, in words, as far as a line holds them."""
    inside = [f"'{folder.name}'" for folder in _folders(root)]
    return f"; seen: folders {', '.join(inside[:4])}" if inside else ""


def unwrapped(root: Path, marks: Sequence[str] = ()) -> Path:
    """A folder without the one that all is in, as archives unpack (`Caltech101/airplanes/…`).

    marks: files or folders at the top of a data set, which may have no folder of classes below.
    """
    while root.is_dir():
        inside = _folders(root)
        known = len(inside) != 1 or _part(inside[0]) or inside[0].name.lower() == CONVERTED
        top = not known and any((inside[0] / mark).exists() for mark in marks)
        if known or not (top or _folders(inside[0])):
            break
        root = inside[0]
    return root


def _part(folder: Path) -> str | None:
    """The part that a folder is for; a class may be called "train" as well, but holds recordings alone."""
    part = next((part for part, names in _PARTS.items() if _words(folder.name) & names), None)
    return None if part is None or (_recordings(folder) and not _folders(folder)) else part


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _folders(folder: Path) -> list[Path]:
    """Sub-folders, but for hidden ones and what archives of macOS leave behind."""
    return sorted(
        child for child in folder.iterdir() if child.is_dir() and child.name[0] not in "._"
    )


def _recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_recording(path))


def _class_order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdecimal() else (1 << 62, name)
