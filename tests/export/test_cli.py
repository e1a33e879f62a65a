"""`neuroclip-export` as a person runs it: options, outputs, resume, kills and interrupts."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

nir = pytest.importorskip("nir")

from deploy.emulate.reference import emulate
from deploy.emulate.trace import first_samples, load_trace
from deploy.files import read_json, read_npz
from deploy.map.partition import Task, search
from deploy.program.file import load_program
from deploy.program.program import registers
from export.commands.main import main
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.run import executors
from export.targets.lava.parts.job import shared_memory_prefix

ROOT = Path(__file__).parents[2]
FILES = {
    "model.nir",
    "program.npz",
    "inputs.npz",
    "chip_program.npz",
    "trace.npz",
    "mapping.json",
    "report.html",
    "report.json",
}
KEYS = """schema command model target data_sha256 seed ok samples timesteps latency_steps timings
accuracy proof placement parity counts energy energy_range_j baseline system cores unsupported versions"""


@pytest.fixture
def export(graph_file: Path, spikes_file: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs the small graph on the emulator into tmp_path/out, with further arguments."""

    def run(*more: object, out: Path = tmp_path / "out") -> int:
        command = [graph_file, "--data", spikes_file, "--out", out, "--target", "emulator", *more]
        return main([str(a) for a in command])

    return run


def python(code: str, *arguments: object, **keywords: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **keywords,
    )


# ---------------------------------------------------------------- what comes out


def test_the_output_folder_and_its_report(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export() == 0
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == FILES
    report = read_json(out / "report.json")
    assert set(KEYS.split()) <= report.keys()
    assert report["ok"] is True and report["samples"] == 12 and report["timesteps"] == 8
    assert report["target"] == "emulator" and report["seed"] == 0
    assert report["command"].startswith("neuroclip-export ") and "--resume" not in report["command"]
    assert report["accuracy"].keys() == {"float", "quantized", "emulator", "lava"}
    assert report["accuracy"]["lava"] is None and report["accuracy"]["emulator"]["total"] == 12
    assert report["latency_steps"].keys() == {"lif", "sum"}
    assert report["placement"].keys() == {"host", "chip"}
    assert report["cores"]["used"] >= 1
    for name in ("synaptic_ops", "neuron_updates", "spikes", "messages", "hops", "weight_bytes"):
        assert name in report["counts"]
    for entry in report["energy"]:
        assert {"coefficients", "source", "included", "excluded", "total_j"} <= entry.keys()
    assert str(out / "report.html") in capsys.readouterr().out


@pytest.mark.usefixtures("lava")
def test_the_report_of_a_lava_run(
    export: Callable[..., int], tmp_path: Path, spikes_file: Path
) -> None:
    assert export("--target", "lava", "--record", "all") == 0
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == FILES | {"lava_network.py"}
    report = read_json(out / "report.json")
    (pair,) = report["parity"]["pairs"]
    names = """a b samples registers_equal spikes_compared spike_mismatches states_compared
    state_mismatches first_divergence"""
    assert set(names.split()) <= pair.keys()
    assert (pair["a"], pair["b"], pair["samples"]) == ("emulator", "lava", 12)
    assert pair["registers_equal"] and pair["first_divergence"] is None
    # 12 samples × 8 steps: every spike of 5 neurons that can fire, and u and v of these and 3 read-outs.
    assert (pair["spikes_compared"], pair["states_compared"]) == (480, 1536)
    assert pair["spike_mismatches"] == pair["state_mismatches"] == 0
    assert report["accuracy"]["lava"] == report["accuracy"]["emulator"]
    assert {"lava start", "lava run"} <= report["timings"].keys()
    program = load_program(out / "program.npz")
    expected = emulate(program, {"in": np.load(spikes_file)["spikes"]})
    trace = load_trace(out / "trace.npz")
    for node, quantity, array in expected.recorded():
        assert np.array_equal(trace[f"{node}/{quantity}"], array)


def test_the_checkpoint_of_an_adapter(
    checkpoint_folder: Path, recordings_folder: Path, tmp_path: Path
) -> None:
    command = [checkpoint_folder, "--data", recordings_folder, "--target", "emulator"]

    def report(out: str, *more: object) -> Any:
        assert main([str(a) for a in (*command, "--out", tmp_path / out, *more)]) == 0
        return read_json(tmp_path / out / "report.json")

    whole = report("whole")
    assert whole["samples"] == 20 and whole["accuracy"]["quantized"]["total"] == 20
    assert whole["accuracy"]["quantized"] == whole["accuracy"]["emulator"]
    assert [(p["a"], p["b"]) for p in whole["parity"]["pairs"]] == [("torch", "emulator")]
    trace = load_trace(tmp_path / "whole" / "trace.npz")
    spikes = sum(int(a.sum()) for name, a in trace.items() if name.endswith("lif1/s"))
    assert spikes > 20, "a network without spikes would prove nothing"
    part = report("part", "--samples", 7)
    assert part["samples"] == 7 and part["data_sha256"] != whole["data_sha256"]
    named = report("named", "--labels", "one, two ,three", "--samples", 7)
    assert named["predictions"]["labels"] == ["one", "two", "three"]
    assert named["accuracy"]["emulator"] is None
    assert named["predictions"]["labels_sha256"] is None
    for executor, right in whole["predictions"]["correct"].items():
        if right is not None:
            assert len(right) == 20 and right.count("1") == whole["accuracy"][executor]["correct"]
    recording = recordings_folder / "Test" / "3" / "00000.bin"
    one = [checkpoint_folder, "--data", recording, "--target", "emulator", "--out", tmp_path / "1"]
    assert main([str(a) for a in one]) == 0
    assert read_json(tmp_path / "1" / "report.json")["samples"] == 1


def test_the_target_nir_writes_the_graph_and_the_program_only(
    export: Callable[..., int], tmp_path: Path, graph_file: Path
) -> None:
    assert export("--target", "nir") == 0
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {"model.nir", "program.npz"}
    held = registers(load_program(out / "program.npz"))
    for path in (graph_file, out / "model.nir"):
        again = registers(lower(read_nir(path)))
        assert all(np.array_equal(held[name], again[name]) for name in held)


# ---------------------------------------------------------------- --record, --jobs, --strict


@pytest.mark.parametrize("record", ["none", "spikes", "all"])
def test_what_is_recorded(export: Callable[..., int], tmp_path: Path, record: str) -> None:
    assert export("--record", record) == 0
    path = tmp_path / "out" / "trace.npz"
    if record == "none":
        assert not path.exists()
        return
    arrays = read_npz(path)
    states = {"u", "v"} if record == "all" else set()
    # The potential of a read-out is the answer: it is always there.
    kept = {"lif": ({"s"} | states, 5), "sum": ({"s", "v"} | states, 3)}
    assert {n: (a.dtype, a.shape) for n, a in arrays.items()} == {
        f"{node}/{quantity}": (np.uint8 if quantity == "s" else np.int32, (12, 8, size))
        for node, (quantities, size) in kept.items()
        for quantity in quantities
    }


def test_recorded_samples_are_the_first_and_all_are_compared(
    export: Callable[..., int], tmp_path: Path
) -> None:
    assert export("--record", "all") == 0
    whole = read_npz(tmp_path / "out" / "trace.npz")
    assert export("--record", "all", "--record-samples", 5, out=tmp_path / "five") == 0
    five = read_npz(tmp_path / "five" / "trace.npz")
    assert five.keys() == whole.keys()
    assert all(np.array_equal(five[name], whole[name][:5]) for name in whole)
    assert read_json(tmp_path / "five" / "report.json")["samples"] == 12


def test_a_run_without_a_trace_leaves_none_of_an_earlier_run(
    export: Callable[..., int], tmp_path: Path
) -> None:
    assert export("--record", "all") == 0
    (tmp_path / "out" / "notes.txt").write_text("of the user's own")
    assert export("--record", "none") == 0
    found = {p.name for p in (tmp_path / "out").iterdir()}
    assert found == FILES - {"trace.npz"} | {"notes.txt"}


@pytest.mark.parametrize("jobs", [2, 5, 100])
def test_threads_change_nothing(export: Callable[..., int], tmp_path: Path, jobs: int) -> None:
    assert export("--record", "all") == 0
    assert export("--record", "all", "--jobs", jobs, out=tmp_path / "jobs") == 0
    one, many = tmp_path / "out", tmp_path / "jobs"
    for name in ("trace.npz", "program.npz", "model.nir", "mapping.json"):
        assert (one / name).read_bytes() == (many / name).read_bytes(), name
    a, b = read_json(one / "report.json"), read_json(many / "report.json")
    for key in a.keys() - {"timings", "command"}:
        assert a[key] == b[key], key


def test_tries_and_seed_reach_the_partitioner(
    export: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def watched(task: Task) -> Any:
        asked.append((task.seed, task.tries))
        return search(task)

    monkeypatch.setattr("export.run.pipeline.search", watched)
    assert export("--tries", 3, "--seed", 5) == 0
    assert export() == 0
    assert asked == [(5, 3), (0, 1)]


def test_the_same_command_gives_the_same_files(export: Callable[..., int], tmp_path: Path) -> None:
    assert export() == 0
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert export() == 0
    for name in FILES - {"report.json", "report.html"}:
        assert (tmp_path / "out" / name).read_bytes() == first[name], name


@pytest.fixture
def adding(tmp_path: Path) -> str:
    """A NIR file whose integrator adds up 40 · 254 a step, and can reach an edge after enough of them."""
    graph = nir.NIRGraph(
        {
            "in": nir.Input(np.array([40])),
            "w": nir.Linear(np.full((1, 40), 254.0)),
            "sum": nir.I(r=np.full(1, 1e4)),
            "out": nir.Output(np.array([1])),
        },
        [("in", "w"), ("w", "sum"), ("sum", "out")],
    )
    nir.write(tmp_path / "graph.nir", graph)
    return str(tmp_path / "graph.nir")


def test_strict_refuses_what_a_register_can_reach(
    adding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "spikes.npy", np.zeros((2, 20, 40), np.uint8))
    command = [adding, "--data", str(tmp_path / "spikes.npy")]
    command += ["--target", "emulator", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "sum" in read_json(tmp_path / "out" / "report.json")["warnings"][0]
    assert "warning: node 'sum'" in capsys.readouterr().err
    assert "observed" in read_json(tmp_path / "out" / "report.json")["proof"]
    shutil.rmtree(tmp_path / "out")
    assert main([*command, "--strict"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "'sum'" in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("spike", "times"), [(0, 0), (1, 4)])
def test_edges_within_reach_are_counted(
    adding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], spike: int, times: int
) -> None:
    """40 · 254 · 64 a step: 13 steps bring v beyond 23 bits, where it fires as well and starts again."""
    np.save(tmp_path / "spikes.npy", np.full((4, 20, 40), spike, np.uint8))
    command = [adding, "--data", str(tmp_path / "spikes.npy")]
    assert main([*command, "--target", "emulator", "--out", str(tmp_path / "out")]) == 0
    observed = read_json(tmp_path / "out" / "report.json")["proof"]["observed"]
    assert observed == {
        "sum": {
            "synaptic sum beyond 21 bits": 0,
            "current u wraps": 0,
            "u + bias beyond 24 bits": 0,
            "membrane potential v clips": times,
            "integrator fires": times,
        }
    }
    assert ("values went beyond: sum:" in capsys.readouterr().out) is bool(times)


def test_a_chip_too_small_ends_in_one(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = {"value": 1, "source": "made up", "assumption": True}
    chip = {"format": "neuroclip-chip", "version": 1, "name": "tiny", "description": "one neuron"}
    chip |= {"extends": "loihi2", "chips": 1, "limits": {"neurons": limit, "cores_per_chip": limit}}
    (tmp_path / "tiny.json").write_text(json.dumps(chip))
    assert export("--chip", tmp_path / "tiny.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neuroclip-export: ") and not (tmp_path / "out").exists()


# ---------------------------------------------------------------- many samples


def test_chunks_of_samples_change_nothing(
    export: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five samples at a time, of which seven are recorded: the files of one piece."""
    more = ("--record", "all", "--record-samples", 7)
    assert export(*more) == 0
    # 9 bytes for each of 8 neurons in 8 steps, for 5 samples.
    monkeypatch.setattr(executors, "_CHUNK_BYTES", 5 * 9 * 8 * 8)
    assert export(*more, out=tmp_path / "chunks") == 0
    one, many = tmp_path / "out", tmp_path / "chunks"
    assert (one / "trace.npz").read_bytes() == (many / "trace.npz").read_bytes()
    a, b = read_json(one / "report.json"), read_json(many / "report.json")
    for key in a.keys() - {"timings", "command"}:
        assert a[key] == b[key], key


@pytest.mark.parametrize("sample", [0, 4, 5, 11])
def test_a_difference_in_any_chunk_is_found_under_its_own_number(
    export: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    import export.targets.lava.client as client

    starts: list[int] = []

    def lava(program: Any, inputs: Any, **_: Any) -> Any:
        trace, start = emulate(program, inputs), sum(starts)
        starts.append(trace.samples)
        if start <= sample < start + trace.samples:
            trace.v["sum"][sample - start, 6, 1] += 1
        return client.LavaRun(trace, dict(registers(program)), {}, {}, {}, {})

    monkeypatch.setattr(client, "run_lava", lava)
    monkeypatch.setattr(executors, "_CHUNK_BYTES", 5 * 9 * 8 * 8)
    assert export("--target", "lava") == 1
    assert starts == [5, 5, 2]
    (pair,) = read_json(tmp_path / "out" / "report.json")["parity"]["pairs"]
    assert (pair["samples"], pair["state_mismatches"]) == (12, 1)
    first = pair["first_divergence"]
    assert (first["sample"], first["step"], first["index"]) == (sample, 6, [1])


def test_a_trace_stays_below_its_limit(
    export: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "MAX_RECORD_BYTES", 4 * 9 * 8 * 8 + 5)
    assert export("--record", "all") == 0
    assert len(load_trace(tmp_path / "out" / "trace.npz")["lif/v"]) == 4


def test_samples_that_are_not_kept_take_no_memory(graph_file: Path, spikes_file: Path) -> None:
    program = lower(read_nir(graph_file))
    trace = emulate(program, {"in": np.load(spikes_file)["spikes"]})
    for _, _, array in first_samples(trace, 2).recorded():
        assert len(array) == 2 and array.base is None


def test_a_graph_is_not_exported_onto_itself(
    export: Callable[..., int], refused: Callable[..., str], tmp_path: Path, spikes_file: Path
) -> None:
    assert export() == 0
    out = tmp_path / "out"
    command = [out / "model.nir", "--data", spikes_file, "--out", out, "--target", "emulator"]
    refused(main, *command, says=("MODEL", "model.nir", "lies in the output folder"))


# ---------------------------------------------------------------- --resume


def test_resume_keeps_a_finished_run_and_repeats_another(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out" / "report.json"
    assert export("--resume") == 0, "nothing to resume is a run from the start"
    told, first = capsys.readouterr().out, report.read_bytes()
    assert export("--resume") == 0
    assert report.read_bytes() == first and capsys.readouterr().out == told
    assert export("--resume", "--record", "all") == 0
    assert report.read_bytes() != first
    assert export() == 0
    again = report.read_bytes()
    assert again != first, "without --resume everything is done again"
    for damaged in (b"{", b"[]", json.dumps({"command": 1}).encode()):
        report.write_bytes(damaged)
        assert export("--resume") == 0
        assert read_json(report)["ok"]


def test_resume_gives_the_status_of_the_finished_run(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export() == 0
    path = tmp_path / "out" / "report.json"
    report = read_json(path)
    path.write_text(json.dumps(report | {"ok": False}))
    capsys.readouterr()
    assert export("--resume") == 1


# ---------------------------------------------------------------- start-up


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lava", "snntorch", "open_clip", "nirtorch", "sklearn"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from export.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_graph_on_the_emulator_needs_neither_torch_nor_lava(
    graph_file: Path, spikes_file: Path, tmp_path: Path, without_progress: Callable[[str], str]
) -> None:
    command = (graph_file, "--data", spikes_file, "--target", "emulator", "--out", tmp_path / "o")
    result = python(BLOCKED, *command)
    assert (result.returncode, without_progress(result.stderr)) == (0, "")
    assert read_json(tmp_path / "o" / "report.json")["ok"]


def test_without_torch_a_checkpoint_is_refused_in_one_line(
    checkpoint_folder: Path, tmp_path: Path
) -> None:
    result = python(BLOCKED, checkpoint_folder, "--target", "emulator", "--out", tmp_path / "o")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1 and "torch" in result.stderr


def test_help_shows_examples_and_imports_little() -> None:
    code = """
import sys
from export.commands.main import main
try:
    main(["--help"])
except SystemExit as end:
    status = end.code
heavy = {"torch", "lava", "open_clip", "snntorch", "sklearn", "matplotlib"} & set(sys.modules)
print(status, sorted(heavy))
"""
    result = python(code)
    assert result.stdout.rstrip().endswith("0 []")
    assert "examples:" in result.stdout and "exit status:" in result.stdout
    for line in ("--target lava", "graph.nir --data spikes.npz", "--resume", "--lava-python"):
        assert line in result.stdout


def test_a_reader_that_leaves_is_no_error(
    graph_file: Path, spikes_file: Path, tmp_path: Path, without_progress: Callable[[str], str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "export.commands.main", graph_file, "--data", spikes_file]
    command += ["--target", "emulator", "--out", tmp_path / "o"]
    result = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert without_progress(result.stderr) == "" and (tmp_path / "o" / "report.json").exists()


def test_a_terminal_without_utf_8(
    graph_file: Path, spikes_file: Path, tmp_path: Path, without_progress: Callable[[str], str]
) -> None:
    command = [sys.executable, "-m", "export.commands.main", graph_file, "--data", spikes_file]
    command += ["--target", "emulator", "--out", tmp_path / "o"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert (result.returncode, without_progress(result.stderr.decode())) == (0, "")
    assert b"12 samples ? 8 timesteps" in result.stdout


def test_a_name_that_is_no_text(
    graph_file: Path, spikes_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = shutil.copy(graph_file, tmp_path / "a\udcff.nir")
    command = [graph, "--data", spikes_file, "--out", tmp_path / "o", "--target", "emulator"]
    assert main([str(a) for a in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a\\udcff.nir" in line and len(line) < 200 and not (tmp_path / "o").exists()


# ---------------------------------------------------------------- kills and interrupts


KILLED = """
import os, signal, sys
import numpy as np
from export.commands.main import main

def killed_at(module, name, count):
    original = getattr(module, name)
    calls = 0
    def wrapped(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == count:
            if name == "write_array":
                arguments[0].write(b"half of an array")
                arguments[0].flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **keywords)
    setattr(module, name, wrapped)

# What the first run imports and compiles, the killed ones have.
sys.stdout.flush()
told = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
assert main([*sys.argv[1:-1], sys.argv[-1] + "-first"]) == 0
sys.stdout.flush()
os.dup2(told, 1)

for module, name, counts in ((os, "replace", range(1, 40)), (np.lib.format, "write_array", (1, 9, 30))):
    for count in counts:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            killed_at(module, name, count)
            os._exit(main(sys.argv[1:]))
        status = os.waitpid(child, 0)[1]
        print(name, count, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
        with open("/proc/self/fd/0") as told:
            sys.stdout.flush()
            assert sys.stdin.readline() == "checked\\n"
        if not os.WIFSIGNALED(status) and name == "replace":
            break
"""


def assert_whole(out: Path) -> None:
    """Every file that a run makes can be read from its beginning to its end."""
    for path in out.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix == ".npz":
            assert read_npz(path)
        elif path.suffix == ".json":
            assert read_json(path)
        elif path.suffix == ".nir":
            assert read_nir(path)
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")


def test_a_killed_run_leaves_whole_files(
    graph_file: Path, spikes_file: Path, tmp_path: Path, export: Callable[..., int]
) -> None:
    """Killed at every replacement of a file, and within arrays: all there is, is whole.

    Where there is a report, it is that of the other files: all are of the old run or of the new.
    """
    old, new, out = tmp_path / "old", tmp_path / "new", tmp_path / "out"
    assert export("--samples", 3, "--record", "all", out=old) == 0
    assert export("--record", "all", out=new) == 0
    programs = {path: path / "trace.npz" for path in (old, new)}
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--record", "all"]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *map(str, command), "--out", str(out)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        kills, states = 0, set()
        shutil.copytree(old, out)
        for line in process.stdout:
            killed = line.split()[-1]
            kills += killed == "9"
            assert_whole(out)
            if (out / "report.json").exists():
                samples = read_json(out / "report.json")["samples"]
                of = {3: old, 12: new}[samples]
                states.add(samples)
                assert (out / "trace.npz").read_bytes() == programs[of].read_bytes()
                assert (out / "mapping.json").read_bytes() == (of / "mapping.json").read_bytes()
            shutil.rmtree(out)
            shutil.copytree(old, out)
            process.stdin.write("checked\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert kills > 10 and states == {3, 12}


@pytest.mark.usefixtures("lava")
def test_an_interrupt_while_lava_runs(
    graph_file: Path, tmp_path: Path, without_progress: Callable[[str], str]
) -> None:
    np.save(tmp_path / "long.npy", np.ones((400, 200, 6), np.uint8))
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    command = [graph_file, "--data", tmp_path / "long.npy", "--target", "lava", "--out", out]
    with subprocess.Popen(
        [sys.executable, "-m", "export.commands.main", *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 300
        while not steps_reached(scratch):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        (job,) = scratch.glob("neuroclip-lava-*")
        # As a terminal does it: to every process of the foreground group.
        os.killpg(process.pid, signal.SIGINT)
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (told, without_progress(errors)) == ("", "neuroclip-export: interrupted\n")
    assert list(scratch.iterdir()) == [] and not out.exists()
    assert not list(Path("/dev/shm").glob(f"{shared_memory_prefix(job)}*"))
    deadline = time.monotonic() + 60  # the kernel needs a moment to end what was killed
    while processes_naming(scratch) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_naming(scratch) == []


def steps_reached(scratch: Path) -> int:
    files = list(scratch.glob("neuroclip-lava-*/progress.npy"))
    return int(np.load(files[0], mmap_mode="r")[0]) if files and files[0].stat().st_size else 0


def processes_naming(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_no_temporary_folder_is_one_line(
    export: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    if importlib.util.find_spec("lava") is None:
        pytest.skip("only Lava's worker needs a temporary folder")
    assert export("--target", "lava") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "nowhere") in line and not (tmp_path / "out").exists()


def test_the_prediction_is_that_of_the_output_node(tmp_path: Path) -> None:
    """The node before the output counts, wherever it stands: here a dead end lies beyond it."""
    weight = np.array([[2.0, 8.0], [8.0, 2.0], [4.0, 4.0]])
    sums = {name: nir.I(r=np.full(3, 1e4)) for name in ("b", "z")}
    graph = nir.NIRGraph(
        {
            "in": nir.Input(np.array([2])),
            "wb": nir.Linear(weight),
            "wz": nir.Linear(weight[::-1].copy()),
            **sums,
            "out": nir.Output(np.array([3])),
        },
        [("in", "wb"), ("wb", "b"), ("in", "wz"), ("wz", "z"), ("b", "out")],
    )
    nir.write(tmp_path / "graph.nir", graph)
    spikes = np.zeros((2, 3, 2), np.uint8)
    spikes[0, :, 0] = spikes[1, :, 1] = 1
    np.savez(tmp_path / "spikes.npz", spikes=spikes, labels=np.array([1, 0]))
    command = [str(tmp_path / "graph.nir"), "--data", str(tmp_path / "spikes.npz")]
    assert main([*command, "--target", "emulator", "--out", str(tmp_path / "out")]) == 0
    report = read_json(tmp_path / "out" / "report.json")
    assert [entry["predicted"] for entry in report["predictions"]["first"]] == [1, 0]
    assert report["accuracy"]["emulator"]["correct"] == 2
    assert report["predictions"]["correct"]["emulator"] == "11"
    assert report["predictions"]["correct"]["float"] is None
