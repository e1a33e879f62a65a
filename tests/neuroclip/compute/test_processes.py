"""Trainings in processes: they end with the command, whatever waits to be sent to them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Each item is more than a pipe holds, and the processes are busy with the first ones.
ITEMS = """
import os, signal, sys, time
from neuroclip.compute.processes import in_processes

def work(item):
    if item[0] == 0:
        return os.getpid()
    time.sleep(600)

def run():
    for process in in_processes(work, [bytes([i]) * 10_000_000 for i in range(8)], 2):
        time.sleep(0.5)
        if sys.argv[1] == "stopped":
            raise RuntimeError("the caller stopped")
        os.kill(process, signal.SIGKILL)

if __name__ == "__main__":
    try:
        run()
    except Exception as error:
        print(error, file=sys.stderr)
    sys.exit(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="process groups, SIGKILL")
@pytest.mark.parametrize(
    ("how", "says"),
    [("stopped", "the caller stopped"), ("killed", "a process of a training was ended")],
)
def test_what_waits_to_be_sent_stops_nobody_from_ending(tmp_path, how, says):
    script = tmp_path / "items.py"
    script.write_text(ITEMS)
    command = [sys.executable, str(script), how]
    run = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        _, told = run.communicate(timeout=120)
    finally:
        left = _group(run.pid)
        for process in left:
            os.kill(process, signal.SIGKILL)
    assert says in told and run.returncode == 1
    assert not left


def _group(leader):
    """Processes of a session, after a moment in which they may go."""
    found = []
    for _ in range(50):
        listed = [p for p in Path("/proc").iterdir() if p.name.isdecimal()]
        found = [int(p.name) for p in listed if _session(p) == leader]
        if not found:
            break
        time.sleep(0.1)
    return found


def _session(process):
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[3]) if fields[0] != "Z" else None
