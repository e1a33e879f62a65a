"""Names of the classes of known data sets of images, in the order of their labels."""

from functools import cache
from pathlib import Path

from deploy.files import read_json

_FILE = Path(__file__).parent / "class_names.json"


@cache
def class_names() -> dict[str, tuple[str, ...]]:
    """{data set: its classes}, by the names that `neuroclip.data.images.images.open_images` takes.

    Sources are in the file. They do not depend on which version of torchvision is installed: some have
    no names of the flowers.
    """
    return {name: tuple(held["names"]) for name, held in read_json(_FILE).items()}
