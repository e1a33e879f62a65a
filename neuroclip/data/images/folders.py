"""Images in folders, on disk or in a zip file, in any of the layouts that `layout` knows."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from deploy.errors import BadInput
from deploy.reading import opened_zip, read_content
from neuroclip.data.images.bare import bare
from neuroclip.data.images.layout import TRAIN, layout_of
from neuroclip.data.images.source import ImageSource

# By content, whatever the name says: of others Pillow starts programs (Ghostscript, for PostScript).
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
# No picture of a data set is larger; a damaged or hostile archive may declare anything.
MAX_FILE = 1 << 28
# Nor any list of labels; WordNet's words are 3 MB.
_MAX_TEXT = 1 << 26


def folder_source(path: Path) -> ImageSource:
    """Images below a folder. Raises BadInput naming it, as `layout_of` does, and for a class of which
    there is nothing to train on."""
    names = []
    for folder, folders, files in os.walk(path, followlinks=True):
        names += [Path(folder, file).relative_to(path).as_posix() for file in files]
        here = Path(os.path.realpath(folder))
        # A link to a folder that it is in would go round for ever.
        targets = {name: Path(os.path.realpath(Path(folder, name))) for name in folders}
        folders[:] = [n for n in folders if targets[n] not in (here, *here.parents)]

    def read(name: str, limit: int = MAX_FILE) -> bytes:
        return read_content(path / name, limit, "an image" if limit == MAX_FILE else "a text")

    return _source(path, {name: name for name in names}, read)


@contextmanager
def zip_source(path: Path) -> Iterator[ImageSource]:
    """Images in a zip file, laid out as in a folder; within, they can be read. Raises BadInput too
    where it is damaged."""
    with opened_zip(path) as archive:
        # Some programs of Windows put backslashes between folders.
        names = {n.replace("\\", "/"): n for n in archive.namelist() if n[-1:] not in ("/", "\\")}

        def read(name: str, limit: int = MAX_FILE) -> bytes:
            _check_size(archive.getinfo(name).file_size, limit)
            return archive.read(name)

        yield _source(path, names, read)


def _source(path: Path, names: Mapping[str, str], read: Callable[[str, int], bytes]) -> ImageSource:
    """names: {with "/" between folders: in the container}."""

    def text(name: str) -> str:
        try:
            return read(names[name], _MAX_TEXT).decode("utf-8-sig")
        except ValueError as error:
            raise BadInput(f"{path}: '{name}' cannot be read: {error}") from error

    found = layout_of(str(path), sorted(names), text)
    files = sorted(found.files, key=lambda file: (file[2], file[0]))
    classes = sorted({label for _, label, part in files if part == TRAIN} or {f[1] for f in files})
    stray = sorted({label for _, label, _ in files} - set(classes))
    if stray:
        raise BadInput(f"{path}: class '{stray[0]}' is in its test part only")
    numbers = {name: i for i, name in enumerate(classes)}
    # Underscores stand for spaces in the names of folders.
    words = [found.words.get(name, name.replace("_", " ")) for name in classes]
    if len(set(words)) < len(words):
        twice = next(name for name in words if words.count(name) > 1)
        raise BadInput(f"{path}: two classes are called '{twice}', underscores being spaces")
    return ImageSource(
        name=path.stem,
        labels=np.array([numbers[label] for _, label, _ in files], np.int64),
        parts=np.array([part for _, _, part in files], np.int64),
        class_names=tuple(words),
        title=lambda i: f"{path}: image '{files[i][0]}'",
        read=lambda i: decoded(read(names[files[i][0]], MAX_FILE)),
        notes=found.notes,
    )


def decoded(content: bytes) -> Image.Image:
    """An image of one of our formats. Raises ValueError, and what Pillow does where it is damaged."""
    try:
        return Image.open(BytesIO(bare(content)), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is none of {', '.join(_FORMATS)}") from None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"its {size} bytes exceed {limit}")
