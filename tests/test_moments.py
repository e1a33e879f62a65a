"""At whatever moment a run is killed, its output folder is one that the next run takes."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("nir")

from deploy.errors import BadInput
from deploy.output import require_ours
from export.commands.main import main as export
from neuroclip.commands.main import main as neuroclip

EXAMPLES = Path(__file__).parents[1] / "examples"
# What Python tells of before it changes a folder.
EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
TINY = ("--shots", "1", "--variants", "1", "--quantized-epochs", "1", "--threshold", "0",
        "--epochs", "1")  # fmt: skip


class Moments:
    """Asks of a folder what the next run does, before each change of a folder anywhere."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.looked = 0
        self.refused: list[str] = []
        sys.addaudithook(self.look)  # for good: a hook cannot be taken back

    def look(self, event: str, _: object = None) -> None:
        if self.folder is None or event not in EVENTS:
            return
        folder, self.folder = self.folder, None
        if folder.is_dir():
            self.looked += 1
            try:
                require_ours(folder)
            except BadInput as error:
                self.refused.append(str(error))
        self.folder = folder


MOMENTS = Moments()


def watched(main, out, *arguments):
    MOMENTS.folder, MOMENTS.looked, MOMENTS.refused = out, 0, []
    try:
        assert main([*map(str, arguments), "--out", str(out)]) == 0
        MOMENTS.look("os.mkdir")
    finally:
        MOMENTS.folder = None
    assert MOMENTS.refused == []
    assert MOMENTS.looked > 4, "nothing was seen of the run"


@pytest.fixture
def data(recordings_folder):
    for package in ("snntorch", "open_clip"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return ("--data", recordings_folder)


@pytest.mark.parametrize("target", ["emulator", "nir"])
def test_of_an_export(tmp_path, graph_file, spikes_file, target):
    arguments = (graph_file, "--data", spikes_file, "--target", target)
    watched(export, tmp_path / "out", *arguments)
    watched(export, tmp_path / "out", *arguments)


def test_of_a_training(tmp_path, data):
    watched(neuroclip, tmp_path / "out", "train", *data, *TINY)


def test_of_a_sweep(tmp_path, data):
    sweep = ("--seeds", "1", "--jobs", "1", "--rates", "0.05", "--message-exponents", "2")
    watched(neuroclip, tmp_path / "out", "sweep", *data, *TINY, *sweep)


def test_of_ones_own_network(tmp_path, data):
    short = ("--frame-ms", "0.06", "--steps", "2", "--epochs", "1", "--quantized-epochs", "1")
    model = f"{EXAMPLES / 'nmnist_network.py'}:Net"
    watched(neuroclip, tmp_path / "out", "train", "network", model, *data, *short, "--batch", "64")
