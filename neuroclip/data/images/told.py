"""Whether a data set is one of still images or of event recordings, told before it is opened."""

from pathlib import Path

from neuroclip.data.events.recording import SUFFIXES as RECORDINGS
from neuroclip.data.images.layout import SUFFIXES as IMAGES
from neuroclip.data.images.torchvision_sets import IMAGE_SETS


def holds_images(name_or_path: str, root: str | None) -> bool:
    """True for a known set of images, a file (recordings come in folders), and a folder whose first
    folder of files of either kind, in the order of names, has more images than recordings.

    What lies beside the folders of the classes (a list, a text to read) tells nothing.
    """
    if name_or_path in IMAGE_SETS:
        return True
    path = Path(name_or_path)
    if not path.exists() and root is not None:
        path = Path(root) / name_or_path
    if not path.is_dir():
        return path.is_file()
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        entries = sorted(folder.iterdir(), reverse=True)
        suffixes = [entry.suffix.lower() for entry in entries if folder != path]
        images, recordings = (sum(x in kind for x in suffixes) for kind in (IMAGES, RECORDINGS))
        if images or recordings:
            return images > recordings
        waiting += [entry for entry in entries if entry.is_dir()]
    return False
