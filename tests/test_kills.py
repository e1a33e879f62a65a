"""Killed runs, at any moment and by any signal: nothing is left, and the next run's results are the same."""

import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("nir")

ROOT = Path(__file__).parents[1]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
SHARED_MEMORY = Path("/dev/shm")
EXPORT, LEARN = "export.commands.main", "neuroclip.commands.main"
TINY = ("--shots", "1", "--variants", "1", "--quantized-epochs", "3", "--threshold", "0")
SWEEP = ("--seeds", "2", "--jobs", "2", "--rates", "0.05", "--message-exponents", "2")
# What a run leaves that does not depend on how long anything took. Of a training's state, `state-…`, the
# metadata come in any order.
RESULTS = ("[!s]*.safetensors", "config.json", "history.json", "sweep.json", "cells/*.json",
           "program.npz", "trace.npz", "mapping.json")  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and /dev/shm")


def has(package):
    return importlib.util.find_spec(package) is not None


def commands(graph, spikes, recordings):
    """What is killed: a module, its arguments, and what it needs."""
    export = (EXPORT, graph, "--data", spikes)
    data = ("--data", recordings, *TINY)
    return {
        "emulator": ((*export, "--target", "emulator"), "nir"),
        "sanafe": ((*export, "--target", "sanafe", "--samples", "2"), "sanafe"),
        "lava": ((*export, "--target", "lava", "--samples", "3"), "lava"),
        "train": ((LEARN, "train", *data, "--epochs", "40"), "snntorch"),
        # A table without the methods that take long; the processes are the same.
        "sweep": ((LEARN, "sweep", *data, *SWEEP, "--epochs", "4"), "snntorch"),
    }  # fmt: skip


@pytest.fixture
def place(tmp_path, graph_file, spikes_file, recordings_folder):
    """Starts a command of `commands` in a temporary folder of its own, told by its environment."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {
        "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def start(name, out):
        (module, *arguments), needs = commands(graph_file, spikes_file, recordings_folder)[name]
        if not has(needs):
            pytest.skip(f"{needs} is not installed")
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments), "--out", str(out), "--resume"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # A shell that starts the tests in the background has them ignore Ctrl-C, and so would this.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    start.temporary = temporary
    return start


def left_processes(temporary):
    """Processes that the run of this temporary folder has started and that still are there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={temporary}".encode() in (process / "environ").read_bytes():
                found.append((int(process.name), (process / "cmdline").read_bytes()[:200]))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def shared_memory():
    mine = ("neuroclip", "sem.", "psm_", "torch_", "joblib")
    return {path.name for path in SHARED_MEMORY.iterdir() if path.name.startswith(mine)}


def left_in_memory(before):
    """What is there of processes that have ended, or that do not say whose it is, and was not before.

    Tests that run beside these keep theirs for minutes; what a killed run leaves is of a dead process.
    """
    names = shared_memory() - before
    owners = {name: re.search(r"(?:loky-|folder_|torch_)(\d+)", name) for name in names}
    return {n for n in names if (of := owners[n]) is None or not Path(f"/proc/{of[1]}").exists()}


def gone(found):
    """What is still found after a while of looking, or nothing as soon as nothing is."""
    deadline = time.monotonic() + 60
    while (left := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def results(out):
    return {p.relative_to(out): p.read_bytes() for kind in RESULTS for p in out.glob(kind)}


def finished(process):
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors.decode()[-500:]


def check_kills(place, out, name, kills, seed):
    """An unbroken run, then one that is killed again and again, resumed each time, and then ends."""
    rng, before = random.Random(seed), shared_memory()
    begun = time.monotonic()
    finished(place(name, out / "unbroken"))
    lasts = time.monotonic() - begun
    for _ in range(kills):
        process, how = place(name, out / "killed"), rng.choice(SIGNALS)
        try:
            process.wait(rng.uniform(0.02, 1) * lasts)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        # A signal before the command's first line is Python's own to answer.
        assert process.returncode in (0, -how, 128 + how), (how, errors.decode()[-500:])
        # The kernel needs a moment to end what was killed.
        assert gone(lambda: left_processes(place.temporary)) == [], how
    finished(place(name, out / "killed"))
    made = results(out / "killed")
    assert made and made == results(out / "unbroken")
    assert list(place.temporary.iterdir()) == []
    assert [p.name for p in (out / "killed").iterdir() if p.name.startswith(".")] == []
    assert gone(lambda: left_in_memory(before)) == set()


@pytest.mark.parametrize(
    ("name", "kills"), [("emulator", 4), ("sanafe", 2), ("lava", 2), ("train", 2), ("sweep", 1)]
)
def test_nothing_is_left_of_a_killed_run(place, tmp_path, name, kills):
    check_kills(place, tmp_path, name, kills, 0)


@pytest.mark.long
@pytest.mark.timeout(7200)  # minutes for each on an idle machine
@pytest.mark.parametrize(
    ("name", "kills"),
    [("emulator", 30), ("sanafe", 20), ("lava", 20), ("train", 20), ("sweep", 10)],
)
def test_nothing_is_left_of_many_killed_runs(place, tmp_path, name, kills):
    check_kills(place, tmp_path, name, kills, 1)
