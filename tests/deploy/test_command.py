"""How commands end on bad days: closed and full streams, signals, and what a killed one left behind."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAYS = """
import sys
from deploy.command import run_command
def action():
    print("said " * 5000)
    print("seen", file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        file.write("written")
    return 0
sys.exit(run_command("command", action))
"""
# Says when it has begun to write, then waits; the last argument is what it writes as both files.
WRITES = """
import sys, time
from pathlib import Path
from deploy.command import run_command
from deploy.files import atomic_path, staged
def action():
    out, text, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    with staged(out, ("a", "b")) as folder, atomic_path(out / "single") as single:
        for path in (folder / "a", folder / "b", single):
            path.write_text(text)
        print("begun", flush=True)
        time.sleep(seconds)
    return 0
sys.exit(run_command("command", action))
"""


def started(script: str, *arguments: object, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # A shell that starts the tests in the background has them ignore Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **more,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_without_standard_streams_works(tmp_path, closed):
    script = tmp_path / "script.py"
    script.write_text(SAYS)
    line = f'"{sys.executable}" "{script}" "{tmp_path / "result"}" {closed}'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0
    # What is opened next does not get the number of a closed stream, and with it what is printed.
    assert (tmp_path / "result").read_text() == "written"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("full", ["stdout", "stderr"])
def test_a_full_stream_is_one_line_and_status_2(tmp_path, full):
    other = "stderr" if full == "stdout" else "stdout"
    with open("/dev/full", "w") as device:
        process = started(SAYS, tmp_path / "result", **{full: device, other: subprocess.PIPE})
        said = process.communicate(timeout=120)[0 if other == "stdout" else 1].decode()
    assert process.returncode == 2
    if other == "stderr":
        assert said == "command: No space left on device\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_has_its_status(tmp_path, how):
    out = tmp_path / "deep" / "out"
    process = started(WRITES, out, "x", 60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + how
    named = "interrupted" if how == signal.SIGINT else f"ended by {how.name}"
    assert errors.decode() == f"command: {named}\n"
    assert not (tmp_path / "deep").exists()


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As under nohup."""
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WRITES
    process = started(ignoring, tmp_path / "out", "x", 0.5, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0 and (tmp_path / "out" / "b").read_text() == "x"


def test_the_next_run_removes_what_a_killed_one_left(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".download.part").write_text("somebody else's")
    killed = started(WRITES, out, "x", 60, stdout=subprocess.PIPE)
    living = started(WRITES, out, "y", 60, stdout=subprocess.PIPE)
    for process in (killed, living):
        assert process.stdout.readline() == b"begun\n"
    killed.kill()
    killed.wait(timeout=60)
    assert len(list(out.glob(".neuroclip-*.part"))) == 4
    done = started(WRITES, out, "z", 0, stdout=subprocess.PIPE)
    done.communicate(timeout=60)
    assert done.returncode == 0
    # The living one's are locked.
    assert len(list(out.glob(".neuroclip-*.part"))) == 2
    living.terminate()
    living.communicate(timeout=60)
    assert {path.name for path in out.iterdir()} == {".download.part", "a", "b", "single"}


def test_runs_that_end_at_the_same_time_do_not_mix_their_files(tmp_path):
    out = tmp_path / "out"
    for _ in range(3):
        runs = [started(WRITES, out, name, 0.05, stdout=subprocess.PIPE) for name in "uvwx"]
        for process in runs:
            process.communicate(timeout=120)
            assert process.returncode == 0
        assert (out / "a").read_text() == (out / "b").read_text()
    assert {path.name for path in out.iterdir()} == {"a", "b", "single"}


# Sends itself signals: one that a destructor swallows, or a second one while it cleans up.
ASKED = """
import os, signal, sys, time
from deploy.command import run_command
class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
def swallowed():
    Swallows()
    time.sleep(60)
    return 0
def twice():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.2)
        print("cleaned up", flush=True)
    return 0
sys.exit(run_command("command", {"swallowed": swallowed, "twice": twice}[sys.argv[1]]))
"""


@pytest.mark.parametrize(("how", "says"), [("swallowed", ""), ("twice", "cleaned up\n")])
def test_one_signal_is_obeyed_and_cleaned_up_after(how, says):
    process = started(ASKED, how, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, errors = process.communicate(timeout=120)
    assert (process.returncode, said.decode()) == (128 + signal.SIGTERM, says)
    assert errors.decode() == "command: ended by SIGTERM\n"


def test_a_name_moves_no_cursor_and_a_progress_bar_does(capsys):
    from tqdm import tqdm

    from deploy.command import run_command

    def action() -> int:
        print("a\x1b[2Jb")
        print("c\x1b]0;d\x07", file=sys.stderr)
        for _ in tqdm(range(2), desc="e\x1b[31m\rf", file=sys.stderr, mininterval=0):
            pass
        return 0

    assert run_command("command", action) == 0
    said = capsys.readouterr()
    assert said.out == "a\\x1b[2Jb\n"
    assert said.err.startswith("c\\x1b]0;d\\x07\n\re\\x1b[31m\\rf:  ")
    assert "\x1b" not in said.err.replace("\x1b[A", "")


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v")
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("import torch", "cannot be loaded: "),
        ("raise MemoryError", "not enough memory"),
        (
            'raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")',
            "not enough memory: ",
        ),
        ('raise RuntimeError("can\'t start new thread")', "not enough memory: can't start"),
    ],
)
def test_little_address_space_is_one_line_that_names_the_limit(fault, says):
    """Of torch's libraries too, which were said to be missing; other faults stay tracebacks."""
    if "torch" in fault:
        pytest.importorskip("torch")
    code = f"""
import sys
from deploy.command import run_command
def action():
    {fault}
sys.exit(run_command("command", action))
"""
    command = f"ulimit -v 400000; exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and says in ended.stderr
    assert "(the process may take 390 MiB, see `ulimit -v`)" in ended.stderr
    other = code.replace(fault, "raise RuntimeError('a fault of ours')")
    ended = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
    assert ended.returncode == 1 and "Traceback" in ended.stderr
