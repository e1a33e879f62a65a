"""Data sets of event recordings: the bundled digits, and folders as users have them on disk."""

from pathlib import Path

from deploy.errors import BadInput
from neuroclip.data.events.dataset import EventDataset, few_shot, without_bad
from neuroclip.data.events.digits import digits_dataset
from neuroclip.data.events.es_imagenet import es_imagenet_dataset, is_es_imagenet
from neuroclip.data.events.folders import folder_dataset

__all__ = ["EventDataset", "few_shot", "open_dataset", "without_bad"]

# Under which names the folders of these data sets are found below a data root.
_FOLDERS = {
    "nmnist": ("nmnist", "NMNIST", "N-MNIST"),
    "cifar10dvs": ("cifar10dvs", "CIFAR10DVS", "CIFAR10-DVS"),
    "es-imagenet": ("es-imagenet", "ES-ImageNet", "ES-imagenet-0.18"),
}


def open_dataset(
    name_or_path: str | Path, seed: int = 0, root: str | Path | None = None
) -> EventDataset:
    """The bundled data set ("digits") or the folder at a path; `seed` fixes the split.

    root: where data sets lie: a path is then looked for below it as well, and the names "nmnist",
    "cifar10dvs" and "es-imagenet" stand for the folders that are usual for them.
    Raises BadInput as `folder_dataset` and `es_imagenet_dataset` do.
    """
    if str(name_or_path) == "digits":
        return digits_dataset(seed)
    folder = _find(str(name_or_path), None if root is None else Path(root))
    if is_es_imagenet(folder):
        return es_imagenet_dataset(folder, seed)
    return folder_dataset(folder, seed)


def _find(name: str, root: Path | None) -> Path:
    if root is None:
        return Path(name)
    if not root.is_dir():
        raise BadInput(f"{root}: no such data root")
    candidates = [root / spelling for spelling in _FOLDERS.get(name, (name,))]
    found = [folder for folder in (*candidates, Path(name)) if folder.is_dir()]
    if not found:
        raise BadInput(f"{root}: no data set '{name}', none of {[c.name for c in candidates]}")
    return found[0]
