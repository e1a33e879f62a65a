"""The examples run as a reader would run them."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.program.file import load_program, save_program
from deploy.program.program import Dense, Output, Program, make_input, make_population

ROOT = Path(__file__).parents[1]


def example(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")
def test_bring_your_own(tmp_path: Path) -> None:
    printed = example("bring_your_own.py", tmp_path)
    assert "torch = emulator" in printed
    assert (tmp_path / "report.html").exists()
    assert load_program(tmp_path / "program.npz").populations[-1].kind == "integrator"


@pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")
def test_nmnist_network(tmp_path: Path, recordings_folder: Path) -> None:
    from neuroclip.commands.main import main

    model = f"{ROOT / 'examples' / 'nmnist_network.py'}:Net"
    arguments = ["train", "network", model, "--data", str(recordings_folder), "--frame-ms", "0.06"]
    short = ["--steps", "2", "--epochs", "1", "--quantized-epochs", "1", "--batch", "64"]
    assert main([*arguments, *short, "--out", str(tmp_path / "run")]) == 0
    from neuroclip.network.checkpoint import load_network

    chip = load_network(tmp_path / "run").chip
    assert chip.outputs == ("lif3",) and chip.inputs == {"input": (2, 34, 34)}


def test_own_connection(tmp_path: Path) -> None:
    printed = dict(
        line.split(maxsplit=1) for line in example("own_connection.py", tmp_path).splitlines()
    )
    assert printed["parity"] == "equal"
    assert printed["report"].startswith("not compared")
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.skipif(find_spec("lava") is None, reason="Lava is not installed")
def test_own_lava_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    program = Program(
        (make_input("input", (5,), -7, 7),),
        (
            make_population("lif", (6,), dv=900, vth=60),
            make_population("out", (2,), kind="integrator"),
        ),
        (
            Dense("fc1", "input", "lif", (2 * rng.integers(-60, 60, (6, 5))).astype(np.int32)),
            Dense("fc2", "lif", "out", (2 * rng.integers(-60, 60, (2, 6))).astype(np.int32)),
        ),
        (Output("scores", "out", "v"),),
    )
    save_program(tmp_path / "program.npz", program)
    lava, emulator = example("own_lava_program.py", tmp_path / "program.npz", 8).splitlines()[-2:]
    assert lava.partition("v = ")[2] == emulator.partition("v = ")[2] != ""


@pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")
def test_run_in_other_simulators(graph_file: Path, spikes_file: Path) -> None:
    printed = example("run_in_other_simulators.py", graph_file, spikes_file).splitlines()
    assert printed[0] == "graph.nir: 12 samples of 8 steps"
    for reader in ("snntorch", "norse", "sinabs"):
        lines = [line for line in printed if line.startswith(reader)]
        assert len(lines) == 2
        if find_spec(reader) is not None:
            assert "in its dialect  lif: 0 of 480 steps differ (76 spikes on the chip)" in lines[1]


@pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")
def test_a_whole_spikeclip_in_other_simulators() -> None:
    printed = example(
        "run_in_other_simulators.py", "spikeclip-digits", "--samples", 10
    ).splitlines()
    assert printed[0] == "spikeclip-digits: 10 samples of 4 steps"
    for reader in ("snntorch", "norse", "sinabs"):
        if find_spec(reader) is None:
            continue
        lines = [line for line in printed if line.startswith(f"{reader:9} in its dialect")]
        assert len(lines) == 12 and all(": 0 of " in line for line in lines), lines


def run_notebook(name: str, **other: str) -> dict[str, Any]:
    """The names of a notebook once its cells ran in order; other: what stands in place of a text."""
    notebook = json.loads((ROOT / "examples" / name).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            # Nothing is kept in it that another run would not show.
            assert cell["outputs"] == [] and cell["execution_count"] is None
            code = "".join(cell["source"])
            for written, instead in other.items():
                code = code.replace(written, instead)
            exec(code, names)
    assert "<iframe" in names["report"]._repr_html_()
    return names


NOTEBOOKS = ("snntorch", "open_clip", "tonic", "sklearn")


@pytest.mark.skipif(any(find_spec(p) is None for p in NOTEBOOKS), reason="torch is not installed")
def test_the_notebook_of_ones_own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "examples" / "own_network.ipynb").read_text(encoding="utf-8"))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert sum(bool(line.strip()) for line in first["source"]) < 10
    lava = find_spec("lava") is not None
    names = run_notebook("own_network.ipynb", **({} if lava else {'"lava"': '"emulator"'}))
    assert names["report"].ok
    pairs = [(pair["a"], pair["b"]) for pair in names["report"].json["parity"]["pairs"]]
    assert pairs == [("torch", "emulator"), ("emulator", "lava")][: 1 + lava]


@pytest.mark.skipif(any(find_spec(p) is None for p in NOTEBOOKS), reason="torch is not installed")
def test_the_notebook_of_ones_own_recordings(
    tmp_path: Path, recordings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROCLIP_CACHE", str(tmp_path / "cache"))
    given = {'"digits"': repr(str(recordings_folder)), "EPOCHS, SEED = 100": "EPOCHS, SEED = 2"}
    names = run_notebook("neuroclip_recordings.ipynb", **given)
    assert names["report"].ok and names["dataset"].test.size == 20
    assert (tmp_path / "runs" / "events-to-chip" / "report" / "report.html").exists()


def test_own_neuron(tmp_path: Path) -> None:
    printed = example("own_neuron.py", tmp_path)
    assert "reference = fast: 35840 spikes and 81920 states compared" in printed
    assert "reference = cores: 35840 spikes and 81920 states compared" in printed
    assert "value beyond 32 bits: no bounds known" in printed
    if find_spec("numba") is not None:
        assert "fast emulator        the step is compiled" in printed
    assert "3 cores, 0 violations" in printed
    assert (
        "node 'adaptive': no Lava process is registered for neurons of kind 'adaptive'" in printed
    )
    assert (
        "report               not compared" in printed
        and (tmp_path / "report" / "report.html").exists()
    )
