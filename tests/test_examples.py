"""The examples run as a reader would run them."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

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


@pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")
def test_events_to_chip(tmp_path: Path, recordings_folder: Path) -> None:
    printed = example("events_to_chip.py", recordings_folder, tmp_path, "emulator", 2)
    assert "zero-shot: " in printed and "torch = emulator" in printed
    assert (tmp_path / "report" / "report.html").exists()


def test_own_neuron(tmp_path: Path) -> None:
    printed = example("own_neuron.py", tmp_path)
    assert "reference = fast: 40960 spikes and 81920 states compared" in printed
    assert "reference = cores: 40960 spikes and 81920 states compared" in printed
    assert "value beyond 32 bits: no bounds known" in printed
    assert "3 cores, 0 violations" in printed
    assert (
        "node 'adaptive': no Lava process is registered for neurons of kind 'adaptive'" in printed
    )
    assert (
        "report               not compared" in printed
        and (tmp_path / "report" / "report.html").exists()
    )
