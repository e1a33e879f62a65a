"""A finished run for the commands that look at one."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def finished(graph_file: Path, spikes_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run."""
    pytest.importorskip("nir")
    from export.commands.main import main as export

    out = tmp_path_factory.mktemp("finished") / "run"
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--out", out]
    command += ["--record", "all"]
    assert export([str(a) for a in command]) == 0
    return out


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    """A copy of a finished run to damage."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
