"""Data sets of still images: the bundled digits, folders, zip files, and torchvision's by name."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.errors import BadInput
from deploy.reading import require_memory
from neuroclip.data.events.digits import PICTURE_SIZE, digit_pictures, digits_split
from neuroclip.data.images.folders import folder_source, zip_source
from neuroclip.data.images.source import ImageSource, pixels
from neuroclip.data.images.torchvision_sets import IMAGE_SETS, set_source
from neuroclip.data.split import stratified_split, to_draw

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

# Bytes of pixels held at once.
_MAX_BYTES = 8 << 30


@dataclass(frozen=True)
class Shares:
    """How images are shared out: test, of data without a test part of its own; validation, of the rest."""

    test: float = 0.2
    validation: float = 0.1

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(f"shares: {name} {getattr(self, name)} is not between 0 and 1")


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images uint8 [N, C, H, W], labels int64 [N], names of the classes, and indices of each part.

    skipped: why each image that cannot be read was left out.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    skipped: tuple[str, ...] = ()


def open_images(
    name_or_path: str,
    size: int,
    channels: int,
    seed: int = 0,
    root: str | Path | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    part: Part | None = None,
    samples: int | None = None,
    shares: Shares = Shares(),
) -> ImageDataset:
    """A data set of images, each made `size` × `size` of `channels` (1 gray, 3 colours).

    name_or_path: "digits", one of `IMAGE_SETS` (found below `root`, never downloaded), a folder or a
    zip file of `train/<class>/…` and, where there is one, `test/<class>/…` (or `val`), or of
    `<class>/…`. seed, shares: of the split, which depends on nothing that is in the images. limit:
    images per class at most of training and of test. part: the only one that is decoded, the others
    being empty; samples: so many of its images, drawn by `seed`.
    Raises BadInput naming the file: none, unreadable (unless skip_bad), a class without images.
    """
    if name_or_path == "digits":
        return _only(_digits(channels), part, samples, seed)
    with _opened(name_or_path, root) as source:
        parts = _split(source, seed, limit, shares)
        if part is not None:
            parts = {n: i if n == part else i[:0] for n, i in parts.items()}
        found = _decoded(source, parts, size, channels, skip_bad, samples if part else None, seed)
    counts = np.bincount(found.labels[np.r_[found.train, found.validation]], minlength=1)
    missing = set(range(len(source.class_names))) - set(np.flatnonzero(counts).tolist())
    if part is None and missing:
        which = source.class_names[min(missing)]
        raise BadInput(f"{name_or_path}: class '{which}' has no readable training images")
    if part is not None and not len(found.labels):
        raise BadInput(f"{name_or_path}: its {part} part has no readable images")
    return found


def find_images(name_or_path: str, root: str | Path | None) -> Path | None:
    """The folder or zip file of a data set of images; None for one that goes by its name alone.

    Raises BadInput where there is none.
    """
    if name_or_path == "digits" or name_or_path in IMAGE_SETS:
        return None
    path = Path(name_or_path)
    if not path.exists() and root is not None:
        path = Path(root) / name_or_path
    if not path.is_dir() and not (path.is_file() and zipfile.is_zipfile(path)):
        raise BadInput(
            f"{name_or_path}: no folder or zip file of images, and none of digits, "
            f"{', '.join(IMAGE_SETS)}"
        )
    return path


@contextmanager
def _opened(name_or_path: str, root: str | Path | None) -> Iterator[ImageSource]:
    path = find_images(name_or_path, root)
    if path is None:
        yield set_source(name_or_path, root)
    elif path.is_dir():
        yield folder_source(path)
    else:
        with zip_source(path) as source:
            yield source


def _digits(channels: int) -> ImageDataset:
    """The digits where a camera of N-MNIST's size sees them: 28×28 within 34×34."""
    pictures, labels = digit_pictures()
    margin = (34 - PICTURE_SIZE) // 2
    images = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    names = tuple(str(digit) for digit in range(10))
    train, validation, test = digits_split()
    images = np.repeat(images, channels, axis=1)
    return ImageDataset("digits", images, labels, names, train, validation, test)


def _only(dataset: ImageDataset, part: Part | None, samples: int | None, seed: int) -> ImageDataset:
    """The images of one part, or so many of them."""
    if part is None:
        return dataset
    index = to_draw(getattr(dataset, part), samples, seed)[:samples]
    train, validation, test = (np.arange(len(index)) if n == part else index[:0] for n in PARTS)
    return ImageDataset(
        dataset.name, dataset.images[index], dataset.labels[index], dataset.class_names,
        train, validation, test,
    )  # fmt: skip


def _split(
    source: ImageSource, seed: int, limit: int | None, shares: Shares
) -> dict[Part, NDArray[np.int64]]:
    """Parts: the test images that there are, or a share of all; of the others one for validation."""
    rest, test = (_at_most(source, source.tests == is_test, limit) for is_test in (False, True))
    if not len(test):
        kept, held = _cut(source.labels[rest], shares.test, seed)
        rest, test = rest[kept], rest[held]
    train, validation = _cut(source.labels[rest], shares.validation, seed)
    return {"train": rest[train], "validation": rest[validation], "test": test}


def _decoded(
    source: ImageSource, parts: Mapping[Part, NDArray[np.int64]], size: int, channels: int,
    skip_bad: bool, samples: int | None, seed: int,
) -> ImageDataset:  # fmt: skip
    """The images of some parts in the order of the source, or so many that can be read, drawn at random."""
    order = np.sort(np.concatenate([*parts.values()]))
    count = len(order) if samples is None else min(samples, len(order))
    order = to_draw(order, samples, seed)
    require_memory(
        f"{source.name}: its {count} images: what they are", count * size * size * channels
    )
    if count * size * size * channels > _MAX_BYTES:
        raise BadInput(f"{source.name}: {count} images of {size}×{size} exceed {_MAX_BYTES} bytes")
    images = np.empty((count, channels, size, size), np.uint8)
    good: list[int] = []
    skipped: list[str] = []
    with tqdm(total=count, desc=f"images of {source.name}", unit="image", disable=None) as bar:
        for index in order.tolist():
            if len(good) == count:
                break
            try:
                images[len(good)] = pixels(source.read(index), size, channels)
            except Exception as error:
                # PIL and zipfile say by a dozen types of exceptions what is wrong with a file.
                line = str(error).splitlines()[0] if str(error) else type(error).__name__
                reason = f"{source.title(index)} cannot be read: {line}"
                if not skip_bad:
                    raise BadInput(reason) from error
                skipped.append(reason)
                continue
            good.append(index)
            bar.update()
    kept = np.array(good, np.int64)
    found = {n: np.flatnonzero(np.isin(kept, index)) for n, index in parts.items()}
    return ImageDataset(
        source.name, images[: len(kept)], source.labels[kept], source.class_names,
        found["train"], found["validation"], found["test"], tuple(skipped),
    )  # fmt: skip


def _cut(labels: NDArray[np.int64], share: float, seed: int) -> list[NDArray[np.int64]]:
    held = round(len(labels) * share)
    return stratified_split(labels, (len(labels) - held, held), seed)


def _at_most(source: ImageSource, among: NDArray[np.bool_], limit: int | None) -> NDArray[np.int64]:
    """The indices among which a class has `limit` images at most."""
    index = np.flatnonzero(among)
    if limit is None:
        return index
    labels = source.labels[index]
    return np.sort(np.concatenate([index[:0], *(
        index[labels == label][:limit] for label in np.unique(labels)
    )]))  # fmt: skip
