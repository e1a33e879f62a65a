"""Output folders that several processes check at the same time."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from deploy.errors import BadInput
from deploy.files import read_npz, staged

ROOT = Path(__file__).parents[2]
CHECK = """
import sys
from deploy.files import staged
for _ in range(60):
    with staged(sys.argv[1], ()):
        pass
"""


def test_processes_that_check_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    """As `torchrun` starts them: each may find no folder, make it, and remove it again."""
    out = tmp_path / "deep" / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHECK, str(out)], env=environment, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-500:]
    assert not list(tmp_path.rglob("*.part"))


def test_what_a_library_repeats_of_a_file_is_shortened(tmp_path: Path) -> None:
    """zipfile quotes both names of an entry, and a name may be as long as the file."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("spikes.npy" + "\n" * 20_000, b"")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"spikes", b"Spikes", 1))
    with pytest.raises(BadInput) as error:
        read_npz(path)
    assert "a.npz" in str(error.value) and len(str(error.value)) < 1000
    assert "\n" not in str(error.value)


def test_a_folder_removed_in_between_is_made_again(tmp_path, monkeypatch):
    out, make = tmp_path / "out", tempfile.mkdtemp
    times = iter((True, True, False))

    def removed(**options):
        if next(times):
            Path(options["dir"]).rmdir()
        return make(**options)

    monkeypatch.setattr("deploy.files.tempfile.mkdtemp", removed)
    with staged(out, ("a",)) as folder:
        (folder / "a").write_text("x")
    assert (out / "a").read_text() == "x"

    def always(**options):
        Path(options["dir"]).rmdir()
        return make(**options)

    monkeypatch.setattr("deploy.files.tempfile.mkdtemp", always)
    with pytest.raises(BadInput, match="other: cannot write"), staged(tmp_path / "other", ()):
        pass
