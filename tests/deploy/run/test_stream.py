"""A long run piece by piece: what is kept of it is not run again, unless it is damaged or another's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.run.stream import Kept, grouped, stream


@dataclass(frozen=True, eq=False)
class Squares:
    number: int
    values: np.ndarray

    def packed(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"number": self.number}, {"squares/all": self.values}

    @staticmethod
    def unpacked(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Squares":
        return Squares(header["number"], grouped(arrays, ("squares",))["squares"]["all"])


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[list[tuple[int, list[int]]], list[int]]]:
    """Streams the squares of five items; returns the pieces, and which items were worked on."""

    def run(key: str = "k", folder: Path | None = tmp_path, stop: int = 5, **more: Any) -> Any:
        ran: list[int] = []

        def work(item: int) -> np.ndarray:
            ran.append(item)
            return np.arange(item) ** 2

        kept = Kept(Squares.unpacked, folder, key)
        pieces = stream(work, range(5), Squares, kept, **more)
        return [
            (p.number, p.values.tolist()) for p, _ in zip(pieces, range(stop), strict=False)
        ], ran

    return run


def test_only_what_is_missing_runs_again(run: Any, tmp_path: Path) -> None:
    expected = [(i, [n * n for n in range(i)]) for i in range(5)]
    assert run(folder=None) == (expected, [0, 1, 2, 3, 4])
    assert not list(tmp_path.iterdir())
    # One piece is worked on at a time, and kept before the next.
    first, ran = run(stop=2)
    assert first == expected[:2] and ran == [0, 1, 2] and len(list(tmp_path.iterdir())) == 3
    assert run() == (expected, [3, 4])
    assert run() == (expected, [])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    files[1].unlink()
    files[3].write_bytes(files[3].read_bytes()[:100])
    assert run() == (expected, [1, 3])
    assert run(always=(4,)) == (expected, [4])


def test_another_runs_pieces_are_not_taken(run: Any) -> None:
    assert run()[1] == run(key="of other data")[1] == [0, 1, 2, 3, 4]
    assert run()[1] == [0, 1, 2, 3, 4]


def test_what_always_runs_is_not_kept(run: Any, tmp_path: Path) -> None:
    run(always=(4,))
    assert len(list(tmp_path.iterdir())) == 4
