"""Whether a data set is one of still images or of event recordings, told before it is opened."""

from pathlib import Path, PurePosixPath

from deploy.errors import BadInput
from deploy.reading import opened_zip
from neuroclip.data.events.recording import SUFFIXES as RECORDINGS
from neuroclip.data.images.layout import SUFFIXES as IMAGES
from neuroclip.data.images.torchvision_sets import IMAGE_SETS

# Files that are looked at: of a large data set not all.
_ENOUGH = 4096


def require_recordings(name_or_path: str, root: str | None) -> None:
    """Raise BadInput of a data set of still images, where recordings are asked for."""
    path = Path(name_or_path)
    one = path.is_file() and path.suffix.lower() != ".zip"
    if not one and holds_images(name_or_path, root):
        raise BadInput(
            f"{name_or_path}: holds still images, and an adapter takes recordings of events, over whose time "
            "steps its neurons integrate; on images `neuroclip train spikeclip` trains a whole encoder"
        )


def holds_images(name_or_path: str, root: str | None) -> bool:
    """True for a known set of images, a file (recordings come in folders), and a folder with more images
    than recordings among its first files, in the order of names.

    A text may be a recording or a list beside images (Tiny-ImageNet has one in every class), so no single
    folder decides; what lies beside the folders of the classes tells nothing. Raises BadInput of a zip file
    of recordings.
    """
    if name_or_path in IMAGE_SETS:
        return True
    path = Path(name_or_path)
    if not path.exists() and root is not None:
        path = Path(root) / name_or_path
    if path.suffix.lower() == ".zip" and path.is_file():
        _refuse_recordings(path)
    if not path.is_dir():
        return path.is_file() and path.suffix.lower() not in RECORDINGS
    # Links are followed, never in a circle.
    waiting, been = [path], {path.resolve()}
    images = recordings = 0
    while waiting and images + recordings < _ENOUGH:
        folder = waiting.pop()
        entries = sorted(folder.iterdir(), reverse=True)
        suffixes = [
            e.suffix.lower() for e in entries if folder != path and not e.name.startswith("._")
        ]
        images += sum(suffix in IMAGES for suffix in suffixes)
        recordings += sum(suffix in RECORDINGS for suffix in suffixes)
        inside = [e for e in entries if e.is_dir() and e.resolve() not in been]
        been.update(e.resolve() for e in inside)
        waiting += inside
    return images > recordings


def _refuse_recordings(path: Path) -> None:
    """Raises BadInput of an archive with more recordings in it than images."""
    with opened_zip(path) as archive:
        suffixes = [PurePosixPath(name).suffix.lower() for name in archive.namelist()]
    if sum(s in RECORDINGS for s in suffixes) > sum(s in IMAGES for s in suffixes):
        raise BadInput(f"{path}: an archive of recordings, which are read from folders: unpack it")
