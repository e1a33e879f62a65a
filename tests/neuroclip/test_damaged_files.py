"""Checkpoints, settings and reports of strangers: read whole, or refused in one line."""

import runpy
from pathlib import Path

import pytest

WORKER = Path(__file__).parent / "damage_worker.py"
SHARED = Path(__file__).parents[1] / "deploy" / "damage_worker.py"
outcome = runpy.run_path(str(SHARED))["outcome"]
KINDS = ["report", "checkpoints"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_copies_are_read_or_refused(kind: str) -> None:
    if kind != "report":
        pytest.importorskip("torch")
        pytest.importorskip("open_clip")
    found = outcome(WORKER, kind, 0, 60)
    assert found["read"] and found["refused"]


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_copies_are_read_or_refused(kind: str) -> None:
    outcome(WORKER, kind, 1000, 2000)
