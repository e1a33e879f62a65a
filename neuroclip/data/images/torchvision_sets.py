"""Published data sets of images below a data root, laid out as torchvision lays them out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.errors import BadInput
from deploy.reading import read_content
from neuroclip.data.images.class_names import class_names
from neuroclip.data.images.folders import MAX_FILE, decoded
from neuroclip.data.images.source import ImageSource
from neuroclip.storage.plain_pickle import bytes_array, plain_values

# CIFAR's files of the training part and of the test part, and the key of their labels.
_CIFAR: dict[str, tuple[str, list[str], list[str], bytes]] = {
    "cifar10": (
        "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], b"labels"
    ),
    "cifar100": ("cifar-100-python", ["train"], ["test"], b"fine_labels"),
}  # fmt: skip
# Those that torchvision reads: (folder, class, its arguments of the parts and which of `ImageSource`'s
# these are, the attribute of its labels).
_PARTS: dict[str, tuple[str, str, list[tuple[dict[str, str], int]], str]] = {
    "flowers102": (
        "flowers-102", "Flowers102",
        [({"split": "train"}, 0), ({"split": "val"}, 1), ({"split": "test"}, 2)], "_labels",
    ),
    "oxford-pets": (
        "oxford-iiit-pet", "OxfordIIITPet",
        [({"split": "trainval"}, 0), ({"split": "test"}, 2)], "_labels",
    ),
    "stl10": (
        "stl10_binary", "STL10", [({"split": "train"}, 0), ({"split": "test"}, 2)], "labels",
    ),
    "caltech101": ("caltech101", "Caltech101", [({}, 0)], "y"),
}  # fmt: skip
# Where an image of one lies.
_FILES: dict[str, Callable[[Any, int], Path]] = {
    "flowers102": lambda of, i: Path(of._image_files[i]),
    "oxford-pets": lambda of, i: Path(of._images[i]),
    "caltech101": lambda of, i: (
        Path(of.root) / "101_ObjectCategories" / of.categories[of.y[i]]
        / f"image_{of.index[i]:04d}.jpg"
    ),
}  # fmt: skip
IMAGE_SETS = (*_CIFAR, *_PARTS)
"""The names by which `neuroclip.data.images.images.open_images` knows them."""


def set_source(name: str, root: str | Path | None) -> ImageSource:
    """The images of one of IMAGE_SETS below `root`; nothing is downloaded.

    Raises BadInput naming the data set, and the folder or file that is missing or damaged.
    """
    if root is None:
        raise BadInput(f"{name}: give the folder where torchvision's data sets lie: --data-root")
    folder = Path(root) / (_CIFAR[name][0] if name in _CIFAR else _PARTS[name][0])
    if not folder.is_dir():
        raise BadInput(f"{root}: no {name} as torchvision lays it out: no folder '{folder.name}'")
    return _cifar(name, folder) if name in _CIFAR else _torchvision(name, Path(root))


def _cifar(name: str, folder: Path) -> ImageSource:
    """CIFAR's files are pickles, which torchvision loads; here they are read and nothing in them runs."""
    _, train, test, key = _CIFAR[name]
    batches = [_batch(folder / file, key, len(class_names()[name])) for file in (*train, *test)]
    images = [image for image, _ in batches]
    sizes = [len(labels) for _, labels in batches]
    starts = np.cumsum([0, *sizes])

    def read(index: int) -> Image.Image:
        batch = int(np.searchsorted(starts, index, side="right")) - 1
        flat = images[batch][index - starts[batch]]
        return Image.fromarray(np.ascontiguousarray(flat.reshape(3, 32, 32).transpose(1, 2, 0)))

    return ImageSource(
        name=name,
        labels=np.concatenate([labels for _, labels in batches]),
        parts=np.where(np.arange(starts[-1]) >= sum(sizes[: len(train)]), 2, 0),
        class_names=class_names()[name],
        title=lambda i: f"{folder}: image {i}",
        read=read,
    )


def _batch(path: Path, key: bytes, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(pixels uint8 [N, 3072], labels int64 [N]) of one of CIFAR's files."""
    held = plain_values(path)
    if not isinstance(held, dict):
        raise BadInput(f"{path}: not a dict of images and labels")
    # Text of Python 2 is bytes; a file written again by Python 3 may have either.
    held = {k.encode() if isinstance(k, str) else k: value for k, value in held.items()}
    labels = held.get(key)
    try:
        images = bytes_array(held.get(b"data"))
    except BadInput as error:
        raise BadInput(f"{path}: key 'data': {error}") from error
    if images.ndim != 2 or images.shape[1] != 3072:
        raise BadInput(f"{path}: key 'data' has shape {images.shape}, expected [images, 3072]")
    if (
        not isinstance(labels, list)
        or len(labels) != len(images)
        or not all(type(label) is int and 0 <= label < classes for label in labels)
    ):
        raise BadInput(
            f"{path}: key '{key.decode()}' is no list of {len(images)} labels from 0 to {classes - 1}"
        )
    return images, np.array(labels, np.int64)


def _torchvision(name: str, root: Path) -> ImageSource:
    from torchvision import datasets

    _, kind, parts, attribute = _PARTS[name]
    held: list[Any] = []
    for arguments, _ in parts:
        try:
            held.append(getattr(datasets, kind)(str(root), **arguments, download=False))
        except (
            Exception
        ) as error:  # of files that are missing or damaged, of as many types as readers
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"{root}: no {name} as torchvision lays it out: {reason}") from error
    labels = [np.asarray(getattr(each, attribute), np.int64) for each in held]
    starts = np.cumsum([0, *map(len, labels)])
    names = class_names()[name]
    if name == "caltech101":
        names = tuple(category.replace("_", " ") for category in held[0].categories)
    together = np.concatenate(labels)
    if len(together) and not 0 <= together.min() <= together.max() < len(names):
        raise BadInput(
            f"{root}: {name}: labels {together.min()} to {together.max()} of {len(names)} classes"
        )

    def read(index: int) -> Image.Image:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        own = int(index - starts[part])
        if name not in _FILES:  # STL10's are arrays
            image: Image.Image = held[part][own][0]
            return image
        # torchvision would open whatever Pillow can, by programs of others too.
        path = _FILES[name](held[part], own)
        try:
            return decoded(read_content(path, MAX_FILE, "an image"))
        except ValueError as error:  # what is no image; the title has its number only
            raise ValueError(f"{path}: {error}") from error

    return ImageSource(
        name=name,
        labels=together,
        parts=np.repeat([part for _, part in parts], [len(each) for each in labels]),
        class_names=names,
        title=lambda i: f"{root}: image {i} of {name}",
        read=read,
    )
