"""Data sets of still images: the bundled digits, folders, zip files, and torchvision's by name."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from deploy.errors import BadInput
from neuroclip.data.digits import PICTURE_SIZE, digit_pictures, digits_split
from neuroclip.data.split import stratified_split

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Torchvision's, by the name that a user gives: (class, arguments of the training part, of the test
# part), class names from the data set itself.
TORCHVISION: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "cifar10": ("CIFAR10", {"train": True}, {"train": False}),
    "cifar100": ("CIFAR100", {"train": True}, {"train": False}),
    "flowers102": ("Flowers102", {"split": "train"}, {"split": "test"}),
    "oxford-pets": ("OxfordIIITPet", {"split": "trainval"}, {"split": "test"}),
    "stl10": ("STL10", {"split": "train"}, {"split": "test"}),
    "caltech101": ("Caltech101", {}, {}),
}
# Of data without a test part of its own: the share kept for it; and that of the rest for validation.
_TEST_SHARE, _VALIDATION_SHARE = 0.2, 0.1
# Bytes of pixels held at once.
_MAX_BYTES = 8 << 30


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images uint8 [N, C, H, W], labels int64 [N], names of the classes, and indices of each part."""

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
) -> ImageDataset:
    """A data set of images, each made `size` × `size` of `channels` (1 gray, 3 colours).

    name_or_path: "digits", one of `TORCHVISION` (found below `root`, never downloaded), a folder or a
    zip file of `train/<class>/…` and, where there is one, `test/<class>/…`, or of `<class>/…`.
    seed: of the split; validation is a tenth of the training images. limit: images per class at most
    of training and of test. Raises BadInput naming the file: none, unreadable (unless skip_bad),
    a class without images.
    """
    if name_or_path == "digits":
        return _digits(channels)
    if name_or_path in TORCHVISION:
        return _torchvision(name_or_path, size, channels, seed, root, limit)
    path = Path(name_or_path)
    if not path.exists() and root is not None:
        path = Path(root) / name_or_path
    if path.is_dir():
        names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*")) if p.is_file()]
        return _files(path, names, lambda n: (path / n).read_bytes(), size, channels, seed,
                      skip_bad, limit)  # fmt: skip
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if not n.endswith("/"))
            return _files(path, names, archive.read, size, channels, seed, skip_bad, limit)
    raise BadInput(
        f"{name_or_path}: no folder or zip file of images, and none of digits, "
        f"{', '.join(TORCHVISION)}"
    )


def _digits(channels: int) -> ImageDataset:
    """The digits where a camera of N-MNIST's size sees them: 28×28 within 34×34."""
    pictures, labels = digit_pictures()
    margin = (34 - PICTURE_SIZE) // 2
    images = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)))[:, None]
    names = tuple(str(digit) for digit in range(10))
    train, validation, test = digits_split()
    images = np.repeat(images, channels, axis=1)
    return ImageDataset("digits", images, labels, names, train, validation, test)


def _files(
    path: Path, names: Sequence[str], read: Callable[[str], bytes], size: int, channels: int,
    seed: int, skip_bad: bool, limit: int | None,
) -> ImageDataset:  # fmt: skip
    """Images by the names of their files: [.../]part/class/file, or [.../]class/file."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        parts = Path(name).parts
        if Path(name).suffix.lower() not in SUFFIXES or len(parts) < 2 or "__MACOSX" in parts:
            continue
        part = parts[-3].lower() if len(parts) > 2 else ""
        part = {"train": "train", "test": "test", "val": "test"}.get(part, "")
        found.setdefault(part, []).append((parts[-2], name))
    if not found:
        raise BadInput(f"{path}: no images ({', '.join(SUFFIXES)}) in class folders")
    rest = found.get("train", []) or found.get("", [])
    classes = sorted({label for label, _ in rest})
    train, test = _at_most(rest, limit), _at_most(found.get("test", []), limit)
    stray = sorted({label for label, _ in test} - set(classes))
    if stray:
        raise BadInput(f"{path}: class '{stray[0]}' is in its test part only")
    files = [*train, *test]
    if len(files) * size * size * channels > _MAX_BYTES:
        raise BadInput(f"{path}: {len(files)} images of {size}×{size} exceed {_MAX_BYTES} bytes")
    images, labels, skipped = [], [], []
    tests = []
    bar = tqdm(files, desc=f"images of {path.name}", unit="image", disable=None)
    for i, (label, name) in enumerate(bar):
        try:
            pixels = decoded(read(name), size, channels)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = f"{path}: image '{name}' cannot be read: {line}"
            if not skip_bad:
                raise BadInput(reason) from error
            skipped.append(reason)
            continue
        images.append(pixels)
        labels.append(classes.index(label))
        tests.append(i >= len(train))
    # Underscores stand for spaces in the names of folders.
    shown = tuple(name.replace("_", " ") for name in classes)
    return _parted(path.stem, np.array(images), np.array(labels), shown, np.array(tests, bool),
                   seed, tuple(skipped))  # fmt: skip


def decoded(content: bytes, size: int, channels: int) -> NDArray[np.uint8]:
    """An image file's pixels uint8 [C, size, size], as PIL reads and resizes it."""
    with Image.open(BytesIO(content)) as image:
        return _pixels(image, size, channels)


def _pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    made = image.convert("L" if channels == 1 else "RGB")
    if made.size != (size, size):
        made = made.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(made, np.uint8).reshape(size, size, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _torchvision(
    name: str, size: int, channels: int, seed: int, root: str | Path | None, limit: int | None
) -> ImageDataset:
    from torchvision import datasets

    if root is None:
        raise BadInput(f"{name}: give the folder where torchvision's data sets lie: --data-root")
    kind, *parts = TORCHVISION[name]
    pairs: list[tuple[int, Any]] = []
    tests: list[bool] = []
    classes: tuple[str, ...] = ()
    for is_test, arguments in enumerate(parts if parts[0] != parts[1] else parts[:1]):
        try:
            held = getattr(datasets, kind)(str(root), **arguments, download=False)
        except (RuntimeError, OSError) as error:
            raise BadInput(f"{root}: no {kind} as torchvision lays it out: {error}") from error
        # A data set without names of its classes (Flowers102) has numbers.
        classes = tuple(getattr(held, "classes", getattr(held, "categories", ())))
        counts: dict[int, int] = {}
        for image, label in tqdm(held, desc=name, unit="image", disable=None):
            counts[label] = counts.get(label, 0) + 1
            if limit is None or counts[label] <= limit:
                pairs.append((int(label), _pixels(image, size, channels)))
                tests.append(bool(is_test))
    labels = np.array([label for label, _ in pairs])
    classes = classes or tuple(str(i) for i in range(int(labels.max()) + 1))
    shown = tuple(c.replace("_", " ") for c in classes)
    images = np.array([pixels for _, pixels in pairs])
    return _parted(name, images, labels, shown, np.array(tests), seed, ())


def _parted(
    name: str, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...],
    tests: NDArray[np.bool_], seed: int, skipped: tuple[str, ...],
) -> ImageDataset:  # fmt: skip
    """Parts: the test images that there are, or a fifth; of the others a tenth for validation."""
    missing = sorted(set(range(len(classes))) - set(labels[~tests].tolist()))
    if missing or not len(labels):
        which = f"class '{classes[missing[0]]}' has" if missing else "it has"
        raise BadInput(f"{name}: {which} no readable training images")
    labels = labels.astype(np.int64)
    rest, test = np.flatnonzero(~tests), np.flatnonzero(tests)
    if not len(test):
        kept, held = _cut(labels[rest], _TEST_SHARE, seed)
        rest, test = rest[kept], rest[held]
    train, validation = _cut(labels[rest], _VALIDATION_SHARE, seed)
    return ImageDataset(name, images, labels, classes, rest[train], rest[validation], test, skipped)


def _cut(labels: NDArray[np.int64], share: float, seed: int) -> list[NDArray[np.int64]]:
    held = round(len(labels) * share)
    return stratified_split(labels, (len(labels) - held, held), seed)


def _at_most(files: Sequence[tuple[str, str]], limit: int | None) -> list[tuple[str, str]]:
    def kept() -> Iterator[tuple[str, str]]:
        counts: dict[str, int] = {}
        for label, name in files:
            counts[label] = counts.get(label, 0) + 1
            if limit is None or counts[label] <= limit:
                yield label, name

    return list(kept())
