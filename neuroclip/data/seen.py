"""Which samples a model has seen, by their content: it is not evaluated on any of them.

A sample goes by 8 bytes of a hash of what it shows (events and sensor of a recording, colours of a
picture), so that neither another name, another folder nor another split hides that it is the same.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz

Ids = NDArray[np.uint64]
FILE = "seen.npz"
"""Its name in the folder of a model."""


def _none() -> Ids:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model, and whatever it was made from, has seen.

    learned: of the samples that it was trained on; chose: of those that chose an epoch or a strength;
    both sorted, uint64. complete: False where some of it is not recorded, as for weights of others.
    """

    learned: Ids = field(default_factory=_none)
    chose: Ids = field(default_factory=_none)
    complete: bool = True

    @staticmethod
    def of(learned: Ids, chose: Ids) -> "Seen":
        """A complete record of these samples."""
        return Seen(np.unique(learned), np.unique(chose))

    def __or__(self, other: "Seen") -> "Seen":
        """What either has seen."""
        return Seen(
            np.union1d(self.learned, other.learned),
            np.union1d(self.chose, other.chose),
            self.complete and other.complete,
        )

    def among(self, ids: Ids, part: str) -> NDArray[np.bool_]:
        """Which samples are not to be evaluated as a part: of "validation", those learned from; of any
        other, those that chose something too."""
        found = np.isin(ids, self.learned)
        return found if part == "validation" else found | np.isin(ids, self.chose)


UNKNOWN = Seen(complete=False)
"""Nothing is recorded."""


def left_out(seen: int, total: int, part: str) -> str:
    """What a report says of `seen` samples among the `total` of a part."""
    return f"left out {seen} of {total} {part} samples that the model was trained or chosen on"


UNRECORDED = (
    "what the model, or one that it was made from, was trained on is not recorded in full: it may have "
    "seen what it is evaluated on"
)
"""What a report says of a record that is not complete."""


def sample_id(kind: str, content: NDArray[np.uint8]) -> int:
    """The 8 bytes by which a sample goes, as an integer. kind: of sample, with its sizes."""
    digest = hashlib.blake2b(kind.encode(), digest_size=8)
    digest.update(np.ascontiguousarray(content).tobytes())
    return int.from_bytes(digest.digest(), "little")


def picture_id(pixels: NDArray[np.uint8]) -> int:
    """The id of a picture of any size, uint8 [H, W, 3]."""
    height, width, _ = pixels.shape
    return sample_id(f"picture {width}x{height}", pixels)


def ids_of(ids: Iterable[int]) -> Ids:
    """Ids as an array."""
    return np.fromiter(ids, np.uint64)


def save_seen(folder: Path, seen: Seen) -> None:
    """Write the record of a model into its folder."""
    complete = np.array(seen.complete)
    write_npz(folder / FILE, {"learned": seen.learned, "chose": seen.chose, "complete": complete})


def read_seen(folder: Path) -> Seen:
    """The record of a model; `UNKNOWN` where its folder holds none. Raises BadInput for a damaged one."""
    path = folder / FILE
    if not path.is_file():
        return UNKNOWN
    held = read_npz(path)
    kinds = {"learned": (np.uint64, 1), "chose": (np.uint64, 1), "complete": (np.bool_, 0)}
    for name, (dtype, dimensions) in kinds.items():
        found = held.get(name)
        if found is None or found.dtype != dtype or found.ndim != dimensions:
            raise BadInput(f"{path}: array '{name}' is missing, or of another type")
    return Seen(np.unique(held["learned"]), np.unique(held["chose"]), bool(held["complete"]))
