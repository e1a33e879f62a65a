"""NIR files damaged byte by byte and node by node: each runs, or is refused in one line.

A process of its own works on many of them under a limit of memory; what it answers is checked here.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("h5py")

WORKER = Path(__file__).with_name("fuzz_worker.py")
# Beside what Python, numpy and h5py take; a graph of these files takes a few kilobytes.
GROWTH_MB = 100
# Of the processor, for any of them: what this is to find takes minutes.
LIMIT_S = 20


def outcomes(told: str) -> list[dict]:
    return [json.loads(line) for line in told.splitlines()]


def check(found: list[dict]) -> None:
    for mutant in found:
        where = f"mutant {mutant['seed']} ({mutant['damage']}): {mutant}"
        assert mutant["status"] in (0, 2), where
        if mutant["status"] == 2:
            (line,) = mutant["lines"]
            assert "mutant.nir: " in line and len(line) < 1000, where
        else:
            assert mutant["lines"] == [] or all("warning" in x for x in mutant["lines"]), where
        assert "Traceback" not in " ".join(mutant["lines"]), where
        assert mutant["seconds"] < LIMIT_S, where
        assert mutant["grown_mb"] < GROWTH_MB, where
    refused = sum(m["status"] == 2 for m in found) / len(found)
    assert 0.3 < refused < 0.98, refused


def test_damaged_files_run_or_are_refused(own_python: Callable[..., str], tmp_path: Path) -> None:
    check(outcomes(own_python(WORKER, 0, 80, tmp_path)))


@pytest.mark.parametrize(
    "bad",
    [
        {"status": 3},
        {"lines": []},
        {"lines": ["mutant.nir: one line", "and another"]},
        {"lines": ["Traceback mutant.nir: of an error"]},
        {"lines": ["no file is named"]},
        {"seconds": 20.0},
        {"grown_mb": 200},
    ],
)
def test_what_the_check_would_see(bad: dict) -> None:
    good = {"seed": 0, "damage": "", "seconds": 0.1, "grown_mb": 1}
    ran, refused = good | {"status": 0, "lines": []}, {"status": 2, "lines": ["mutant.nir: what"]}
    found = [ran, *[good | refused] * 2]
    check(found)
    with pytest.raises((AssertionError, ValueError)):
        check([*found, good | refused | bad])


@pytest.mark.long
def test_many_damaged_files_run_or_are_refused(
    own_python: Callable[..., str], tmp_path: Path
) -> None:
    for first in range(80, 5080, 500):
        check(outcomes(own_python(WORKER, first, first + 500, tmp_path)))
