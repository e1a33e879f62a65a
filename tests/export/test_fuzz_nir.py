"""NIR files damaged byte by byte and node by node: each runs, or is refused in one line.

A process of its own works on many of them under a limit of memory; what it answers is checked here.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("h5py")

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("fuzz_worker.py")
# Beside what Python, numpy and h5py take; a graph of these files takes a few kilobytes.
GROWTH_MB = 300


def outcomes(first: int, last: int, tmp_path: Path) -> list[dict]:
    done = subprocess.run(
        [sys.executable, str(WORKER), str(first), str(last), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 + 2 * (last - first),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


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
        assert mutant["seconds"] < 5, where
        assert mutant["grown_mb"] < GROWTH_MB, where
    refused = sum(m["status"] == 2 for m in found) / len(found)
    assert 0.3 < refused < 0.98, refused


def test_damaged_files_run_or_are_refused(tmp_path: Path) -> None:
    check(outcomes(0, 200, tmp_path))


@pytest.mark.long
def test_many_damaged_files_run_or_are_refused(tmp_path: Path) -> None:
    for first in range(200, 5200, 500):
        check(outcomes(first, first + 500, tmp_path))
