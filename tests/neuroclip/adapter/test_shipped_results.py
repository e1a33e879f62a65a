"""The documentation's table of N-MNIST is the shipped file's, whose figures are of its own answers."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")

from neuroclip.adapter.methods import METHODS
from neuroclip.adapter.tables import DIFFERENCES, accuracy_markdown
from neuroclip.results.statistics import paired_difference

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def right(table: dict, method: str, shots: str) -> np.ndarray:
    """Which recordings each seed has right, from the digits that are shipped."""
    rows = [np.frombuffer(bytes.fromhex(h), np.uint8) for h in table["correct"][method][shots]]
    return np.unpackbits(np.array(rows), axis=1)[:, : table["test_recordings"]].astype(bool)


def test_the_page_shows_the_shipped_table() -> None:
    table = json.loads((RESULTS / "nmnist.json").read_text(encoding="utf-8"))
    assert accuracy_markdown(table) in (RESULTS / "accuracy.md").read_text(encoding="utf-8")
    assert tuple(table["accuracy"]) == METHODS and table["data"] == "nmnist"
    for method, by_shots in table["accuracy"].items():
        for shots, each in by_shots.items():
            found = right(table, method, shots)
            assert len(found) == len(table["seeds"]) and each == pytest.approx(100 * found.mean(1))
    assert [(d["a"], d["b"]) for d in table["differences"][:: len(table["shots"])]] == [
        *DIFFERENCES
    ]
    for d in table["differences"]:
        a, b = (right(table, d[side], str(d["shots"])) for side in "ab")
        assert (d["mean"], d["low"], d["high"]) == pytest.approx(paired_difference(a, b), abs=1e-3)
