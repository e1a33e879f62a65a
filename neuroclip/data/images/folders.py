"""Images in the folders of their classes, on disk or in a zip file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from deploy.errors import BadInput
from deploy.reading import opened_zip, read_content
from neuroclip.data.images.source import ImageSource

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# By content, whatever the name says: of others Pillow starts programs (Ghostscript, for PostScript).
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
# No picture of a data set is larger; a damaged or hostile archive may declare anything.
MAX_FILE = 1 << 28
# Markers of JPEG (ITU-T T.81, table B.1): frames, the scan that ends the head, and those without content.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _BARE = 0xDA, {0x01, *range(0xD0, 0xD9)}


def folder_source(path: Path) -> ImageSource:
    """Images below a folder: [part/]class/file, part being train, val or test.

    Raises BadInput naming the folder: no images, a class in its test part only.
    """
    names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*")) if p.is_file()]

    def read(name: str) -> bytes:
        return read_content(path / name, MAX_FILE, "an image")

    return _source(path, names, read)


@contextmanager
def zip_source(path: Path) -> Iterator[ImageSource]:
    """Images in a zip file, laid out as in a folder; within, they can be read. Raises BadInput too
    where it is damaged."""
    with opened_zip(path) as archive:
        names = sorted(n for n in archive.namelist() if not n.endswith("/"))

        def read(name: str) -> bytes:
            _check_size(archive.getinfo(name).file_size)
            return archive.read(name)

        yield _source(path, names, read)


def _source(path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> ImageSource:
    found: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        parts = Path(name).parts
        if Path(name).suffix.lower() not in SUFFIXES or len(parts) < 2 or "__MACOSX" in parts:
            continue
        part = parts[-3].lower() if len(parts) > 2 else ""
        part = part if part in ("train", "val", "test") else ""
        found.setdefault(part, []).append((parts[-2], name))
    if not found:
        raise BadInput(f"{path}: no images ({', '.join(SUFFIXES)}) in class folders")
    train = found.get("train", []) or found.get("", [])
    test = found.get("test", []) or found.get("val", [])
    classes = sorted({label for label, _ in train})
    stray = sorted({label for label, _ in test} - set(classes))
    if stray:
        raise BadInput(f"{path}: class '{stray[0]}' is in its test part only")
    files = [*train, *test]
    numbers = {name: i for i, name in enumerate(classes)}
    return ImageSource(
        name=path.stem,
        labels=np.array([numbers[label] for label, _ in files], np.int64),
        tests=np.arange(len(files)) >= len(train),
        # Underscores stand for spaces in the names of folders.
        class_names=tuple(name.replace("_", " ") for name in classes),
        title=lambda i: f"{path}: image '{files[i][1]}'",
        read=lambda i: decoded(read(files[i][1])),
    )


def decoded(content: bytes) -> Image.Image:
    """An image of one of our formats. Raises ValueError, and what Pillow does where it is damaged."""
    try:
        image = Image.open(BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is none of {', '.join(_FORMATS)}") from None
    if image.format == "JPEG":
        _check_frames(content, image.size)
    return image


def _check_frames(content: bytes, size: tuple[int, int]) -> None:
    """Raise ValueError unless the one frame of a JPEG has the size that Pillow has read.

    Pillow before 13, the last for Python 3.10, has room for its size, and libjpeg fills that of a frame.
    """
    frames, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != _SCAN:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            frames.append((width, height))
        # A byte of 255 before a marker fills; some markers have no content.
        at += 1 if marker == 0xFF else 2 if marker in _BARE else 2 + length
    if frames != [size]:
        raise ValueError(f"a JPEG of {size[0]} × {size[1]} pixels with frames of {frames}")


def _check_size(size: int) -> None:
    if size > MAX_FILE:
        raise ValueError(f"its {size} bytes exceed {MAX_FILE}")
