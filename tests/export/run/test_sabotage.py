"""Sabotage: whatever is changed by the least step, the command ends in 1 and says what and where."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nir")

import export.targets.lava.client as client
from deploy.emulate.reference import emulate
from deploy.emulate.trace import Trace
from deploy.files import read_json
from deploy.program.file import load_program
from deploy.program.program import Program, registers
from export.commands.main import main
from export.run import executors
from export.targets.lava.client import LavaRun

# Register, index and step of each change, in the program of `graph_file`.
CHANGES = {
    "weight": ("fc1/weight", 2),
    "decay": ("lif/dv", 1),
    "threshold": ("lif/vth", 1),
}


@pytest.fixture(scope="session")
def program(
    graph_file: Path, spikes_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    """The program that the command itself makes of the graph."""
    out = tmp_path_factory.mktemp("program")
    assert main([*arguments(graph_file, spikes_file, out), "--target", "nir"]) == 0
    return load_program(out / "program.npz")


@pytest.fixture(scope="session")
def messages(spikes_file: Path) -> dict[str, np.ndarray]:
    return {"in": np.load(spikes_file)["spikes"].astype(np.int32)}


def arguments(graph: Path, spikes: Path, out: Path) -> list[str]:
    return [str(graph), "--data", str(spikes), "--out", str(out)]


def changed(program: Program, register: str, index: tuple[int, ...], by: int) -> Program:
    """The program with one value of one register moved."""
    node, _, name = register.partition("/")

    def moved(part: Any) -> Any:
        if part.name != node:
            return part
        values = np.array(getattr(part, name))
        values[index] += by
        return replace(part, **{name: values})

    return Program(
        program.inputs,
        tuple(map(moved, program.populations)),
        tuple(map(moved, program.connections)),
        program.outputs,
    )


def first_difference(program: Program, a: Trace, b: Trace) -> dict[str, Any] | None:
    """Found the slow and plain way: by step, sample, node in network order, and u, v, s."""
    for step in range(a.timesteps):
        for sample in range(a.samples):
            for node in program.order:
                for quantity in "uvs":
                    x, y = getattr(a, quantity)[node], getattr(b, quantity)[node]
                    for neuron in range(x.shape[2]):
                        first, second = int(x[sample, step, neuron]), int(y[sample, step, neuron])
                        if first != second:
                            where = {"sample": sample, "step": step, "index": [neuron]}
                            found = {"quantity": quantity, "node": node, **where}
                            return found | {"a": first, "b": second}
    return None


@pytest.fixture(scope="session")
def sabotage(
    program: Program, messages: Mapping[str, np.ndarray]
) -> Callable[[str], tuple[str, tuple[int, ...], int, Program]]:
    """An active place for each kind of change: one where the emulator's run really differs."""

    def find(kind: str) -> tuple[str, tuple[int, ...], int, Program]:
        register, step = CHANGES[kind]
        right = emulate(program, messages)
        for index in np.ndindex(*registers(program)[register].shape):
            for by in (step, -step):
                try:
                    other = changed(program, register, index, by)
                except Exception:  # beyond the register's range
                    continue
                if first_difference(program, right, emulate(other, messages)):
                    return register, index, by, other
        raise AssertionError(f"no active {register}")

    return find


@pytest.fixture(scope="session")
def lava_runs() -> dict[str, LavaRun]:
    """Lava's runs by what was changed, so that each is made once."""
    return {}


def run_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    lava: Callable[..., LavaRun],
) -> tuple[int, dict[str, Any], str]:
    monkeypatch.setattr(client, "run_lava", lava)
    capsys.readouterr()
    status = main([*command, "--target", "lava"])
    out = Path(command[command.index("--out") + 1])
    return status, read_json(out / "report.json"), capsys.readouterr().err


def pair(report: dict[str, Any], a: str, b: str) -> dict[str, Any]:
    (found,) = [p for p in report["parity"]["pairs"] if (p["a"], p["b"]) == (a, b)]
    return found


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("hidden", [False, True], ids=["truthful", "hidden"])
@pytest.mark.parametrize("kind", CHANGES)
def test_one_register_changed_in_lava(
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: Program,
    messages: dict[str, np.ndarray],
    sabotage: Any,
    lava_runs: dict[str, LavaRun],
    kind: str,
    hidden: bool,
) -> None:
    """Lava runs another program: found in the registers, or, where those lie, in what it did."""
    register, index, by, other = sabotage(kind)
    really = client.run_lava

    def lava(given: Program, inputs: Any, *more: Any, **keywords: Any) -> LavaRun:
        assert np.array_equal(registers(given)[register], registers(program)[register])
        if kind not in lava_runs:
            lava_runs[kind] = really(other, inputs, *more, **keywords)
        run = lava_runs[kind]
        return replace(run, registers=dict(registers(given))) if hidden else run

    command = arguments(graph_file, spikes_file, tmp_path)
    status, report, told = run_command(monkeypatch, capsys, command, lava)
    found = pair(report, "emulator", "lava")
    assert status == 1 and not report["ok"] and not report["parity"]["ok"] and not found["ok"]
    expected = first_difference(program, emulate(program, messages), emulate(other, messages))
    assert found["first_divergence"] == expected
    (line,) = told.splitlines()
    assert line.startswith("neuroclip-export: emulator ≠ lava: ")
    if hidden:
        assert found["registers_equal"] and found["first_register"] is None
        assert expected is not None
        for value in (expected["node"], expected["sample"], expected["step"], expected["index"]):
            assert str(value) in line
        assert f"quantity {expected['quantity']}" in line
    else:
        value = int(registers(program)[register][index])
        where = {"register": register, "index": list(index)}
        assert found["first_register"] == where | {"a": value, "b": value + by}
        assert not found["registers_equal"] and register in line and str(list(index)) in line


@pytest.mark.usefixtures("lava")
def test_one_spike_dropped_in_lava(
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lava_runs: dict[str, LavaRun],
) -> None:
    really, dropped = client.run_lava, []

    def lava(*given: Any, **keywords: Any) -> LavaRun:
        run = lava_runs.setdefault("none", really(*given, **keywords))
        spikes = run.trace.s["lif"].copy()
        # A spike in the middle of the run: neither the first nor the last sample.
        place = tuple(int(i) for i in np.argwhere(spikes)[np.count_nonzero(spikes) // 2])
        dropped.append(place)
        spikes[place] = 0
        return replace(run, trace=replace(run.trace, s=dict(run.trace.s) | {"lif": spikes}))

    command = arguments(graph_file, spikes_file, tmp_path)
    status, report, told = run_command(monkeypatch, capsys, command, lava)
    found = pair(report, "emulator", "lava")
    (sample, step, neuron) = dropped[0]
    assert 0 < sample < 11
    assert status == 1 and not report["ok"]
    assert (found["spike_mismatches"], found["state_mismatches"]) == (1, 0)
    where = {"sample": sample, "step": step, "index": [neuron], "a": 1, "b": 0}
    assert found["first_divergence"] == {"quantity": "s", "node": "lif", **where}
    assert "quantity s, node lif" in told and f"sample {sample}, step {step}" in told
    # Nothing else was wrong: the same run without the drop holds.
    status, report, told = run_command(
        monkeypatch, capsys, command, lambda *_, **__: lava_runs["none"]
    )
    assert (status, report["ok"], told) == (0, True, "")


def test_an_inactive_weight_is_found_in_the_registers(
    graph_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: Program,
) -> None:
    """No spike and no state tells of it: without inputs nothing happens, registers alone differ."""
    silent = tmp_path / "silent.npz"
    np.savez(silent, spikes=np.zeros((3, 8, 6), np.uint8))

    def lava(given: Program, inputs: Any, *_: Any, **__: Any) -> LavaRun:
        other = changed(program, "fc1/weight", (1, 4), 2)
        return LavaRun(emulate(other, inputs), dict(registers(other)), {}, {}, {}, {})

    command = arguments(graph_file, silent, tmp_path / "out")
    status, report, told = run_command(monkeypatch, capsys, command, lava)
    found = pair(report, "emulator", "lava")
    assert status == 1 and found["first_divergence"] is None and "fc1/weight" in told
    assert found["spike_mismatches"] == found["state_mismatches"] == 0


def test_a_lava_that_holds_no_registers_is_not_believed(
    graph_file: Path,
    spikes_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lava(given: Program, inputs: Any, *_: Any, **__: Any) -> LavaRun:
        return LavaRun(emulate(given, inputs), {}, {}, {}, {}, {})

    command = arguments(graph_file, spikes_file, tmp_path)
    status, report, _ = run_command(monkeypatch, capsys, command, lava)
    assert status == 1 and not pair(report, "emulator", "lava")["registers_equal"]


@pytest.mark.parametrize("where", ["bias", "weight", "state"])
def test_a_torch_module_changed_after_the_export(
    checkpoint_folder: Path,
    recordings_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    """torch against the emulator: one bias or weight by one step, or one spike left out."""
    import torch

    import export.run.torch_run as torch_run

    really = torch_run.run_torch

    def sabotaged(network: Any, inputs: Any) -> Trace:
        with torch.no_grad():
            if where == "bias":
                neuron = network.lif1
                neuron.bias[3] += 2.0**neuron.bias_exponent / neuron.unit
            elif where == "weight":
                # An active one: of the channel that sends most.
                channel = int(np.abs(inputs["input"]).sum(axis=(0, 1)).argmax())
                weight = network.fc1.integer_weight()[2, channel]
                step = -2 if weight > 0 else 2
                network.fc1.weight[2, channel] = (weight + step) * 2.0**-network.fc1.exponent
        trace = really(network, inputs)
        if where == "state":
            spikes = trace.s["lif1"].copy()
            spikes[tuple(np.argwhere(spikes)[0])] = 0
            trace = replace(trace, s=dict(trace.s) | {"lif1": spikes})
        return trace

    monkeypatch.setattr(torch_run, "run_torch", sabotaged)
    command = [str(checkpoint_folder), "--data", str(recordings_folder), "--samples", "12"]
    status = main([*command, "--out", str(tmp_path), "--target", "emulator"])
    told, report = capsys.readouterr().err, read_json(tmp_path / "report.json")
    found = pair(report, "torch", "emulator")
    assert status == 1 and not report["ok"] and "torch ≠ emulator" in told
    register = {"bias": "lif1/bias_mant", "weight": "fc1/weight", "state": None}[where]
    assert (found["first_register"] or {"register": None})["register"] == register
    assert found["first_divergence"]["node"] == "lif1"
    assert (register or "quantity s, node lif1") in told


def test_an_emulator_that_is_wrong_is_found_by_torch(
    checkpoint_folder: Path,
    recordings_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The emulator is no judge of its own: here its neurons decay by one part in 4096 too little."""

    def slow(program: Program, inputs: Any, threads: int, per_step: bool) -> Any:
        populations = [replace(p, dv=np.maximum(p.dv - 1, 0)) for p in program.populations]
        return emulate(replace(program, populations=tuple(populations)), inputs, per_step=per_step)

    monkeypatch.setattr(executors, "emulated", slow)
    command = [str(checkpoint_folder), "--data", str(recordings_folder), "--samples", "12"]
    assert main([*command, "--out", str(tmp_path), "--target", "emulator"]) == 1
    assert "torch ≠ emulator: quantity" in capsys.readouterr().err
