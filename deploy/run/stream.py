"""A long run piece by piece: each is run, kept in a folder as it is done, and found there again.

So a run that was killed goes on where it stopped, with the same result. What a piece is, say a chunk of
samples on several executors, is the caller's business.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.jobs import run_jobs

Arrays = Mapping[str, NDArray[Any]]
_HEADER = "piece.json"


class Piece(Protocol):
    """What can be kept: `packed` gives (what JSON holds, arrays), from which the kept one is made."""

    def packed(self) -> tuple[dict[str, Any], Arrays]: ...


T = TypeVar("T")
R = TypeVar("R")
P = TypeVar("P", bound=Piece)


@dataclass(frozen=True)
class Kept(Generic[P]):
    """Pieces in `folder`, of the run that `key` names; a folder of None keeps nothing.

    unpack: makes a piece of what `packed` gave.
    """

    unpack: Callable[[Mapping[str, Any], Arrays], P]
    folder: Path | None
    key: str = ""

    def save(self, index: int, piece: P) -> None:
        """Write piece `index`, whole or not at all."""
        if self.folder is None:
            return
        header, arrays = piece.packed()
        text = json.dumps({"key": self.key, "piece": header}).encode()
        header_array = np.frombuffer(text, np.uint8)
        # Gone with the run's end: not worth the time of compressing it.
        write_npz(self._file(index), {_HEADER: header_array, **arrays}, packed=False)

    def load(self, index: int) -> P | None:
        """Piece `index`, or None: there is none of this run, or none that is whole."""
        if self.folder is None or not self._file(index).exists():
            return None
        try:
            arrays = read_npz(self._file(index))
            header = json.loads(arrays.pop(_HEADER).tobytes().decode())
            return self.unpack(header["piece"], arrays) if header["key"] == self.key else None
        except (BadInput, KeyError, ValueError, TypeError):  # damaged: it runs again
            return None

    def _file(self, index: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{index:09d}.npz"


def stream(
    work: Callable[[T], R],
    items: Sequence[T],
    then: Callable[[int, R], P],
    kept: Kept[P],
    *,
    workers: int | None = None,
    always: Collection[int] = (),
) -> Iterator[P]:
    """The piece of each item, in order: then(its number, work(item)), or what was kept of it.

    work: here, or on the workers of a cluster (`deploy.jobs.run_jobs`); `then` here, one after
    another. always: numbers of items that are run whatever was kept, and not kept. Memory is taken for
    the items under way only.
    """
    missing = [i for i in range(len(items)) if i in always or kept.load(i) is None]
    done = run_jobs(work, [items[i] for i in missing], workers)
    waiting = set(missing)
    for i in range(len(items)):
        piece = then(i, next(done)) if i in waiting else kept.load(i)
        assert piece is not None
        if i in waiting and i not in always:
            kept.save(i, piece)
        yield piece


def grouped(arrays: Arrays, groups: Collection[str]) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays named "GROUP/NAME" as {group: {name: array}}. Raises KeyError for another group."""
    found: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in groups}
    for entry, array in arrays.items():
        group, _, name = entry.partition("/")
        found[group][name] = array
    return found
