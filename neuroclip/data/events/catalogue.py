"""Data sets of event recordings by name or folder: the bundled ones, known ones, and any other."""

from dataclasses import replace
from pathlib import Path

from deploy.errors import BadInput
from neuroclip.data.events.cards import cards
from neuroclip.data.events.dataset import EventDataset, few_shot, without_bad
from neuroclip.data.events.folders import folder_dataset, unwrapped
from neuroclip.data.events.formats.raw import Sensor

__all__ = ["EventDataset", "few_shot", "find_dataset", "open_dataset", "without_bad"]


def open_dataset(
    name_or_path: str | Path,
    seed: int = 0,
    root: str | Path | None = None,
    sensor: Sensor | None = None,
) -> EventDataset:
    """The bundled data set ("digits") or the folder at a path; `seed` fixes the split.

    root: where data sets lie, see `find_dataset`. sensor: of files that do not say it. Raises BadInput as
    that, `folder_dataset`, `es_imagenet_dataset` and `dvs_gesture_dataset` do.
    """
    folder, known = find_dataset(name_or_path, root), cards()
    if folder not in {Path(card.name) for card in known.values() if card.bundled}:
        folder = unwrapped(folder, [mark for card in known.values() for mark in card.marks])
    for card in known.values():
        if card.opens is None:
            continue
        if card.bundled and folder == Path(card.name):
            return card.opens(folder, seed, sensor)
        marks = [mark for mark in card.marks if (folder / mark).exists()]
        if marks:
            return replace(
                card.opens(folder, seed, sensor), evidence=f"by its {' and '.join(marks)}"
            )
    # A card without classes can be told by nothing but the name that is asked for.
    asked = known.get(str(name_or_path))
    by_name = None if asked is None or asked.class_names else asked
    return folder_dataset(folder, seed, by_name, sensor)


def find_dataset(name_or_path: str | Path, root: str | Path | None = None) -> Path:
    """The folder of a data set, or a bundled one's name; reads nothing and needs no torch.

    root: where data sets lie: a path is then looked for below it as well, and the name on a card
    ("nmnist", "cifar10dvs", "es-imagenet") stands for the folders that are usual for that data set.
    Raises BadInput where there is no such folder.
    """
    name = str(name_or_path)
    card = cards().get(name)
    if card is not None and card.bundled:
        return Path(name)
    if root is None:
        if Path(name).is_file():
            raise BadInput(
                f"{name}: one file has no classes; a data set of recordings is a folder of them. "
                "`neuroclip watch FILE` and `neuroclip-export --data FILE` take one recording"
            )
        if not Path(name).is_dir():
            raise BadInput(
                f"{name}: no such folder; data sets are folders of recordings, or 'digits'"
            )
        return Path(name)
    if not Path(root).is_dir():
        raise BadInput(f"{root}: no such data root")
    spellings = card.folders if card is not None and card.folders else (name,)
    candidates = [Path(root) / spelling for spelling in spellings]
    found = [folder for folder in (*candidates, Path(name)) if folder.is_dir()]
    if not found:
        raise BadInput(f"{root}: no data set '{name}', none of {[c.name for c in candidates]}")
    return found[0]
