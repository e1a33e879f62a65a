"""However a Lava run ends, nothing of it is left: no process, no shared memory, no temporary file."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import export.targets.lava.client as client
from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.program.program import Dense, Output, Program, make_input, make_population
from export.targets.lava.client import run_lava
from export.targets.lava.supervise import follow


def network():
    rng = np.random.default_rng(0)
    weight = (2 * rng.integers(-60, 60, (4, 6))).astype(np.int32)
    return Program(
        (make_input("image", (6,)),),
        (make_population("hidden", (4,), vth=10, dv=100),),
        (Dense("w", "image", "hidden", weight),),
        (Output("o", "hidden", "s"),),
    )


def data(samples=5, timesteps=4):
    return {"image": np.random.default_rng(1).integers(0, 2, (samples, timesteps, 6))}


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Gives runs a temporary folder of their own, and checks afterwards what is left of them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names, mkdtemp = [], tempfile.mkdtemp

    def named(*arguments, **keywords):
        names.append(Path(mkdtemp(*arguments, **keywords)).name)
        return str(tmp_path / names[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", named)
    yield tmp_path
    names += [folder.name for folder in tmp_path.glob("neuroclip-lava-*")]
    deadline = time.monotonic() + 60  # the kernel needs a moment to end what was killed
    while processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes(tmp_path) == []
    assert list(tmp_path.glob("neuroclip-lava-*")) == []
    assert [memory for name in names for memory in shared_memory(name)] == []


def shared_memory(name):
    return sorted(Path("/dev/shm").glob(f"{name}*"))


def processes(folder):
    """Processes of runs in `folder`, in order of their start: worker, tracker, Lava's processes.

    All inherit the worker's environment, which names the run's own folder.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/neuroclip-lava-".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return sorted(found)


def wait_for(condition):
    for _ in range(2400):
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("waited two minutes in vain")


def steps_reached(folder):
    files = list(folder.glob("neuroclip-lava-*/progress.npy"))
    return files and files[0].stat().st_size and int(np.load(files[0], mmap_mode="r")[0])


@pytest.mark.usefixtures("lava")
def test_a_normal_end(nothing_left):
    run_lava(network(), data(), progress=False)


@pytest.mark.usefixtures("lava")
def test_a_timeout_names_the_network_and_the_step(nothing_left):
    with pytest.raises(
        CheckFailed, match=r"'hidden': .* within 4 s; it reached step \d+ of 100001"
    ):
        run_lava(network(), data(1000, 100), "none", timeout=4, progress=False)


@pytest.mark.usefixtures("lava")
def test_a_timeout_while_lava_starts(nothing_left):
    with pytest.raises(CheckFailed, match="reached step 0 of 21"):
        run_lava(network(), data(), timeout=0.3, progress=False)


@pytest.mark.usefixtures("lava")
def test_a_hang_is_told_from_the_recorders_file_long_before_the_timeout(nothing_left):
    """One stopped neuron stops all: Lava's processes wait for each other in every step."""

    def stop():
        wait_for(lambda: steps_reached(nothing_left))
        os.kill(processes(nothing_left)[-2], signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    told = r"'hidden': Lava hangs: no step for 3 s after step \d+ of 100001"
    with pytest.raises(CheckFailed, match=told):
        run_lava(network(), data(1000, 100), "none", timeout=500, hang=3, progress=False)
    stopper.join()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([0], "reached step 0 of 50, not begun yet"),
        ([4, 0], r"reached step 4 of 50, where it stood for \d+ s"),
        ([50], "reached step 50 of 50, and was stopping"),
        (range(1, 49), r"reached step \d+ of 50, still running"),
    ],
    ids=["start", "stand", "stop", "slow"],
)
def test_a_timeout_tells_slow_from_standing(tmp_path, steps, told):
    np.save(tmp_path / "progress.npy", np.zeros(1, np.int64))
    reached = np.load(tmp_path / "progress.npy", mmap_mode="r+")
    ended = threading.Event()

    def advance():
        for step in steps:
            reached[0] = max(step, reached[0])
            if ended.wait(0.1):
                return

    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    recorder = threading.Thread(target=advance)
    recorder.start()
    try:
        with pytest.raises(CheckFailed, match=rf"net: Lava did not end within 2 s; it {told}"):
            follow(sleeper, tmp_path, "net", 50, 2, False)
    finally:
        ended.set()
        recorder.join()
        sleeper.kill()
        sleeper.wait()


def lasting():
    """What outlives its process: POSIX shared memory and semaphores, and those of System V."""
    found = {("posix", path.name) for path in Path("/dev/shm").iterdir()}
    for kind in ("shm", "sem", "msg"):
        lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        found |= {(kind, line.split()[1]) for line in lines}
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("lava")
def test_fifty_runs_in_a_row_leave_nothing(nothing_left):
    before, open_files = lasting(), len(list(Path("/proc/self/fd").iterdir()))
    expected = emulate(network(), data())
    for _ in range(50):
        run = run_lava(network(), data(), timeout=120, progress=False)
        np.testing.assert_array_equal(run.trace.s["hidden"], expected.s["hidden"])
        assert list(nothing_left.iterdir()) == []
    # Another program's may be there for a moment.
    wait_for(lambda: not lasting() - before)
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_files + 1


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize(
    ("victim", "told"),
    [
        ("worker", "was ended by signal 9"),
        ("neuron", "failed at step .*: a Lava process ended by signal 9"),
    ],
)
def test_a_killed_process_is_noticed(nothing_left, victim, told):
    def kill():
        wait_for(lambda: steps_reached(nothing_left))
        pids = processes(nothing_left)
        os.kill(pids[0] if victim == "worker" else pids[-2], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(CheckFailed, match=told):
        run_lava(network(), data(1000, 100), "none", timeout=300, progress=False)
    killer.join()


@pytest.mark.usefixtures("lava")
def test_an_exception_in_a_lava_process_is_told(nothing_left, monkeypatch):
    """A recording of the wrong size, so that the neuron's recorder fails in its first row."""
    allocate = client.allocate

    def too_narrow(folder, program, job, where):
        allocate(folder, program, job, where)
        np.save(where.populations["hidden"].file("s"), np.zeros((20, 3), np.uint8))

    monkeypatch.setattr(client, "allocate", too_narrow)
    with pytest.raises(CheckFailed, match=r"failed at step \d+ of 21: ValueError: .*shape"):
        run_lava(network(), data(), timeout=300, progress=False)


CLIENT = """
import sys, tempfile, time
import numpy as np
tempfile.tempdir = sys.argv[1]
import export.targets.lava.client as client
from deploy.program.program import Dense, Output, Program, make_input, make_population

program = Program(
    (make_input("image", (6,)),), (make_population("hidden", (4,)),),
    (Dense("w", "image", "hidden", np.zeros((4, 6), np.int32)),), (Output("o", "hidden", "s"),),
)
"""
LONG_RUN = """
client.run_lava(program, {"image": np.zeros((1000, 100, 6), int)}, "none")
"""
LONG_READING = """
client.read_trace = lambda *arguments: time.sleep(600)
client.run_lava(program, {"image": np.zeros((1, 1, 6), int)})
"""


def start_client(code, folder):
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT + code, str(folder)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_the_client_ends_everything(nothing_left, how):
    started = start_client(LONG_RUN, nothing_left)
    wait_for(lambda: steps_reached(nothing_left))
    (folder,) = nothing_left.glob("neuroclip-lava-*")
    # Worker, resource tracker, source, synapses, neurons, Lava's runtime service.
    assert len(processes(nothing_left)) == 6
    assert shared_memory(folder.name)
    started.send_signal(how)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == -how
    wait_for(lambda: not shared_memory(folder.name))
    if how == signal.SIGINT:
        assert errors.strip().endswith("KeyboardInterrupt")
    assert "leaked" not in errors


@pytest.mark.usefixtures("lava")
def test_killing_the_client_while_it_reads_the_result(nothing_left):
    started = start_client(LONG_READING, nothing_left)
    wait_for(lambda: list(nothing_left.glob("neuroclip-lava-*/result.json")))
    started.kill()
    started.communicate(timeout=120)
    wait_for(lambda: not list(nothing_left.glob("neuroclip-lava-*")))


@pytest.mark.usefixtures("lava")
def test_from_a_python_without_lava(nothing_left, tmp_path, graph_file, spikes_file, own_python):
    """The command under an interpreter that cannot import Lava, with another named for the worker."""
    code = """
        import sys, tempfile
        tempfile.tempdir = sys.argv[1]

        class NoLava:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "lava":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NoLava())
        from export.commands.main import main
        sys.exit(main(sys.argv[2:]))
    """
    # A virtual environment's own name for the interpreter, so that it is not "this one".
    python = tmp_path / "python-with-lava"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    command = [graph_file, "--data", spikes_file, "--out", tmp_path / "out", "--target", "lava"]
    own_python("-c", textwrap.dedent(code), tmp_path, *command, "--lava-python", python)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["parity"]["ok"] and report["parity"]["pairs"][0]["b"] == "lava"
    timings = {"lava start", "lava run", "lava stop", "lava read"}
    assert timings <= report["timings"].keys()
    assert all(report["timings"][stage] > 0 for stage in timings)


@pytest.mark.usefixtures("lava")
def test_from_a_thread_with_torch_imported(nothing_left):
    torch = pytest.importorskip("torch")
    torch.zeros(200, 200).matmul(torch.zeros(200, 200))  # starts torch's own threads
    runs = []
    thread = threading.Thread(
        target=lambda: runs.append(run_lava(network(), data(), timeout=300, progress=False))
    )
    thread.start()
    thread.join()
    expected = emulate(network(), data())
    assert expected.s["hidden"].any()
    np.testing.assert_array_equal(runs[0].trace.s["hidden"], expected.s["hidden"])


@pytest.mark.usefixtures("lava")
def test_the_worker_imports_no_torch(own_python):
    code = """
        import sys
        import export.targets.lava.worker, export.targets.lava.processes.recorded
        print(sorted({m.split(".")[0] for m in sys.modules} & {"torch", "tqdm"}),
              [m for m in sys.modules if m.startswith("lava.lib")])
    """
    assert own_python("-c", textwrap.dedent(code)).strip() == "[] []"


def test_a_python_without_lava_is_told_what_to_install(nothing_left, tmp_path):
    python = tmp_path / "python"
    # -S: no site-packages, so neither Lava nor numpy.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    with pytest.raises(BadInput, match=r"python: cannot import Lava \(.*pip install lava-nc") as e:
        run_lava(network(), data(), python=python, progress=False)
    assert "\n" not in str(e.value)


def test_a_python_that_is_none(nothing_left, tmp_path):
    with pytest.raises(BadInput, match="nowhere: not an executable Python"):
        run_lava(network(), data(), python=tmp_path / "nowhere", progress=False)


def test_a_python_by_a_relative_path_that_cannot_start(nothing_left, tmp_path, monkeypatch):
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="/broken: cannot run: No such file"):
        run_lava(network(), data(), python="./broken", progress=False)


def test_inputs_are_checked_before_anything_starts(nothing_left):
    with pytest.raises(BadInput, match="message 2 at sample 0"):
        run_lava(network(), {"image": np.full((1, 1, 6), 2)}, progress=False)
