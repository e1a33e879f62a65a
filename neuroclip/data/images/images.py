"""Data sets of still images: the bundled digits, folders, zip files, and torchvision's by name."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.progress import track
from deploy.reading import require_memory
from neuroclip.data.events.digits import PICTURE_SIZE, digit_id, digit_pictures, digits_split
from neuroclip.data.images.folders import folder_source, zip_source
from neuroclip.data.images.source import ImageSource, colours, of_eight_bits, pixels
from neuroclip.data.images.torchvision_sets import IMAGE_SETS, set_source
from neuroclip.data.seen import Ids, Seen, ids_of, picture_id
from neuroclip.data.split import counted, stratified_split, to_draw

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

    ids: of the images as they were before they got this size (`neuroclip.data.seen`). skipped: why each
    image that cannot be read was left out. seen: how many were left out since a model has seen them.
    notes: what else was left out, and why.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    ids: Ids
    skipped: tuple[str, ...] = ()
    seen: int = 0
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """Its parts and classes in words, as they are shown before anything is trained."""
        parts = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        return counted(self.name, parts, self.labels, self.class_names)

    @property
    def seen_in_training(self) -> Seen:
        """The record of a model that is trained on it."""
        return Seen.of(self.ids[self.train], self.ids[self.validation])


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
    seen: Seen = Seen(),  # noqa: B008 - frozen
) -> ImageDataset:
    """A data set of images, each made `size` × `size` of `channels` (1 gray, 3 colours).

    name_or_path: "digits", one of `IMAGE_SETS` (found below `root`, never downloaded), a folder or a
    zip file in a layout that `neuroclip.data.images.layout` knows. seed, shares: of the split, which
    depends on nothing that is in the images; a test part that is cut off is the same for every seed.
    limit: images per class at most of each part. part: the only one that is decoded, the others being
    empty; samples: so many of its images, drawn by `seed`; seen: by the model that is to be evaluated on
    the part, which gets none of these.
    Raises BadInput naming the file: none, unreadable (unless skip_bad), a class without images.
    """
    if name_or_path == "digits":
        return _only(_digits(channels, seed), part, samples, seed, seen)
    with _opened(name_or_path, root) as source:
        parts = _split(source, seed, limit, shares)
        if part is not None:
            parts = {n: i if n == part else i[:0] for n, i in parts.items()}
        if part is None:
            found = _decoded(source, parts, size, channels, skip_bad)
        else:
            found = _decoded(
                source,
                parts,
                size,
                channels,
                skip_bad,
                samples,
                seed,
                lambda i: seen.among(i, part),
            )
    counts = np.bincount(found.labels[np.r_[found.train, found.validation]], minlength=1)
    missing = set(range(len(source.class_names))) - set(np.flatnonzero(counts).tolist())
    if part is None and len(source.class_names) < 2:
        raise BadInput(f"{name_or_path}: '{source.class_names[0]}' is its only class")
    if part is None and missing:
        which = source.class_names[min(missing)]
        raise BadInput(f"{name_or_path}: class '{which}' has no readable training images")
    if part is not None and not len(found.labels):
        _refuse_all_seen(name_or_path, part, found.seen)
        if found.skipped:
            raise BadInput(
                f"{name_or_path}: its {part} part has no readable images: {found.skipped[0]}"
            )
        raise BadInput(
            f"{name_or_path}: its {part} part has no images; they may be too few to split"
        )
    return found


def _refuse_all_seen(name: str, part: Part, seen: int) -> None:
    if seen:
        raise BadInput(f"{name}: the model has seen all {seen} images of its {part} part")


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


def _digits(channels: int, seed: int) -> ImageDataset:
    """The digits where a camera of N-MNIST's size sees them: 28×28 within 34×34."""
    pictures, labels = digit_pictures()
    margin = (34 - PICTURE_SIZE) // 2
    images = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    names = tuple(str(digit) for digit in range(10))
    train, validation, test = digits_split(seed)
    images = np.repeat(images, channels, axis=1)
    ids = ids_of(map(digit_id, range(len(labels))))
    return ImageDataset("digits", images, labels, names, train, validation, test, ids)


def _only(
    dataset: ImageDataset, part: Part | None, samples: int | None, seed: int, seen: Seen
) -> ImageDataset:
    """The images of one part, or so many of them, that a model has not seen."""
    if part is None:
        return dataset
    index = to_draw(getattr(dataset, part), samples, seed)
    fresh = ~seen.among(dataset.ids[index], part)
    left_out, index = int((~fresh).sum()), index[fresh][:samples]
    if not len(index):
        _refuse_all_seen(dataset.name, part, left_out)
    train, validation, test = (np.arange(len(index)) if n == part else index[:0] for n in PARTS)
    return ImageDataset(
        dataset.name, dataset.images[index], dataset.labels[index], dataset.class_names,
        train, validation, test, dataset.ids[index], seen=left_out,
    )  # fmt: skip


def _split(
    source: ImageSource, seed: int, limit: int | None, shares: Shares
) -> dict[Part, NDArray[np.int64]]:
    """Parts: those that there are, else a share of all for test and one of the others for validation."""
    train, validation, test = (_at_most(source, source.parts == i, limit) for i in range(3))
    if not len(test):
        # By seed 0 whatever the seed: no other split moves what was trained on into the test part.
        kept, held = _cut(source.labels[train], shares.test, 0)
        train, test = train[kept], train[held]
    if not len(validation):
        kept, held = _cut(source.labels[train], shares.validation, seed)
        train, validation = train[kept], train[held]
    return {"train": train, "validation": validation, "test": test}


def _decoded(
    source: ImageSource, parts: Mapping[Part, NDArray[np.int64]], size: int, channels: int,
    skip_bad: bool, samples: int | None = None, seed: int = 0,
    seen: Callable[[Ids], NDArray[np.bool_]] | None = None,
) -> ImageDataset:  # fmt: skip
    """The images of some parts in the order of the source, or so many that can be read, drawn at random;
    none of those that were seen."""
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
    ids: list[int] = []
    left_out = 0
    skipped: list[str] = []
    with track(total=count, desc=f"images of {source.name}", unit="image") as bar:
        for index in order.tolist():
            if len(good) == count:
                break
            try:
                image = of_eight_bits(source.read(index))
                own = picture_id(colours(image))
                if seen is not None and seen(ids_of([own]))[0]:
                    left_out += 1
                    continue
                images[len(good)] = pixels(image, size, channels)
            except Exception as error:
                # PIL and zipfile say by a dozen types of exceptions what is wrong with a file.
                line = str(error).splitlines()[0] if str(error) else type(error).__name__
                reason = f"{source.title(index)} cannot be read: {line}"
                if not skip_bad:
                    raise BadInput(reason) from error
                skipped.append(reason)
                continue
            good.append(index)
            ids.append(own)
            bar.update()
    kept = np.array(good, np.int64)
    found = {n: np.flatnonzero(np.isin(kept, index)) for n, index in parts.items()}
    return ImageDataset(
        source.name, images[: len(kept)], source.labels[kept], source.class_names,
        found["train"], found["validation"], found["test"], ids_of(ids), tuple(skipped), left_out,
        source.notes,
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
