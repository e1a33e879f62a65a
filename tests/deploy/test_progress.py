"""What is said of long work: bars on a terminal, lines in a log, nothing where nobody asks."""

import io
import os
import re
import struct
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr

import pytest

from deploy import progress
from deploy.progress import say, set_verbosity, track

WORK = """
import time
from deploy import progress
progress.FIRST_S = 0.03
for _ in progress.track(range(50), desc="work"):
    time.sleep(0.01)
"""


@contextmanager
def logged(first=0.02):
    """stderr as a file, which no terminal is; the first line comes early."""
    before = progress.FIRST_S
    progress.FIRST_S = first
    try:
        with redirect_stderr(io.StringIO()) as stream:
            yield stream
    finally:
        progress.FIRST_S = before
        set_verbosity("normal")


def steps(count, **options):
    for _ in track(range(count), desc="work", **options):
        time.sleep(0.005)


@pytest.mark.parametrize("leave", [True, False])
def test_a_log_gets_whole_lines_ever_more_rarely(leave):
    with logged() as log, track(total=7, desc="around", leave=leave) as around:
        steps(100, leave=leave)
        around.update(7)
    lines = log.getvalue().splitlines(keepends=True)
    shape = r"(work|around): \d+ of \d+, \d\d:\d\d passed, (\d\d:\d\d|\?) to go\n"
    assert all(re.fullmatch(shape, line) for line in lines), lines
    assert 2 <= sum(line.startswith("work") for line in lines) <= 8
    assert ("work: 100 of 100" in log.getvalue()) is leave


def test_a_log_hears_nothing_of_short_work():
    with logged(first=60) as log:
        steps(10)
    assert log.getvalue() == ""


def test_of_what_has_no_end_a_log_hears_how_much_is_done():
    with logged() as log:
        for _ in track(iter(range(40)), desc="work"):
            time.sleep(0.005)
    assert re.search(r"^work: 40, \d\d:\d\d passed$", log.getvalue(), re.M)


def test_who_asks_for_quiet_hears_nothing_and_who_asks_for_more_hears_it():
    with logged() as log:
        set_verbosity("quiet")
        steps(20)
        say("a stage")
        assert log.getvalue() == ""
        set_verbosity("verbose")
        say("a stage")
    assert log.getvalue() == "a stage\n"


def test_a_terminal_gets_a_bar():
    pty, fcntl = pytest.importorskip("pty"), pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", WORK], stderr=slave, check=True)
    os.close(slave)
    assert b"\rwork: 100%|" in os.read(master, 1 << 16)
    os.close(master)
    log = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert "work: 50 of 50" in log.stderr and "\r" not in log.stderr


@pytest.fixture
def exported(graph_file, spikes_file, tmp_path):
    """Arguments of a short export."""
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--out", tmp_path / "out"]
    return [str(argument) for argument in command]


def test_both_commands_are_quiet_and_verbose(exported, capsys, tmp_path):
    from export.commands.main import main as export
    from neuroclip.commands.main import main as neuroclip

    assert export([*exported, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert export([*exported, "--verbose"]) == 0
    told = capsys.readouterr()
    assert "NOT COMPARED" in told.out
    assert "map: " in told.err and f"wrote {tmp_path / 'out' / 'report.json'}\n" in told.err
    # Which command made the files does not depend on what it told meanwhile.
    assert export([*exported, "-q", "--resume"]) == 0
    assert capsys.readouterr() == ("", "")
    program = str(tmp_path / "out" / "program.npz")
    assert neuroclip(["inspect", "-q", program]) == 0
    assert "lif" in capsys.readouterr().out
    assert neuroclip(["inspect", "-v", f"{program}x"]) == 2
    told = capsys.readouterr().err
    assert "Traceback" in told and told.splitlines()[-1].startswith("neuroclip: ")
    assert neuroclip(["inspect", f"{program}x"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
