"""Strangers' files at the commands' doors: each is refused in one line, soon and without much memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("h5py")
pytest.importorskip("nir")

ROOT = Path(__file__).parents[1]
WORKERS = Path(__file__).parent / "attacks"


def met(worker: str, *arguments: object) -> int:
    """How many a worker met; it prints what it did not meet."""
    ran = subprocess.run(
        [sys.executable, WORKERS / worker, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    *wrong, last = ran.stdout.splitlines() or [""]
    assert wrong == [] and ran.returncode == 0, (wrong, ran.stderr[-500:])
    return int(json.loads(last)["met"])


@pytest.mark.skipif(sys.platform != "linux", reason="sockets by path, /dev/zero, /proc")
def test_attacks_on_networks_spikes_and_reports_are_met() -> None:
    assert met("worker.py", "light") > 90


@pytest.mark.skipif(sys.platform != "linux", reason="sockets by path, /dev/zero, /proc")
def test_attacks_on_models_and_data_sets_are_met() -> None:
    for package in ("torch", "open_clip", "snntorch"):
        pytest.importorskip(package)
    assert met("worker.py", "learning") > 60


@pytest.mark.long
def test_two_thousand_mutated_files_are_read_or_refused() -> None:
    pytest.importorskip("snntorch")
    assert met("mutations.py", 0, 2000) == 2000


def test_mutated_files_are_read_or_refused() -> None:
    pytest.importorskip("snntorch")
    assert met("mutations.py", 5000, 60) == 60
