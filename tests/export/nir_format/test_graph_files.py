"""NIR files of other tools through the command: versions, scalars, several inputs and outputs, fan-in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from deploy.emulate.trace import load_trace
from deploy.program.file import load_program
from export.commands.main import main
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir

R = 1e4


def fire(*shape: int, vth: float = 5.0) -> nir.IF:
    return nir.IF(np.full(shape, R), np.full(shape, vth), np.zeros(shape))


def graph(nodes: dict[str, Any], *edges: tuple[str, str]) -> nir.NIRGraph:
    return nir.NIRGraph(nodes, list(edges), type_check=False)


def export(model: Path, data: Path, out: Path, *more: str) -> int:
    arguments = [model, "--data", data, "--target", "emulator", "--out", out, "--record", "all"]
    return main([*map(str, arguments), *more])


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    """Each input from the array of its name; the output node called "output" predicts."""
    two = graph(
        {
            "a": nir.Input(np.array([2])),
            "b": nir.Input(np.array([3])),
            "wa": nir.Linear(np.array([[2.0, 0], [0, 2]])),
            "wb": nir.Linear(np.array([[2.0, 0, 0], [0, 2, 4]])),
            "n": fire(2, vth=3.0),
            "w": nir.Linear(np.array([[2.0, 0], [0, 2], [2, 2]])),
            "m": fire(3, vth=1.0),
            "first": nir.Output(np.array([2])),
            "output": nir.Output(np.array([3])),
        },
        ("a", "wa"), ("b", "wb"), ("wa", "n"), ("wb", "n"), ("n", "w"), ("w", "m"),
        ("n", "first"), ("m", "output"),
    )  # fmt: skip
    write_nir(tmp_path / "two.nir", two)
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (4, 6, 2)), rng.integers(0, 2, (4, 6, 3))
    np.savez(tmp_path / "x.npz", a=a, b=b, labels=np.array([2, 2, 2, 2]))
    assert export(tmp_path / "two.nir", tmp_path / "x.npz", tmp_path / "out") == 0
    program = load_program(tmp_path / "out" / "program.npz")
    assert [(o.name, o.source) for o in program.outputs] == [("output", "m"), ("first", "n")]
    trace, v = load_trace(tmp_path / "out" / "trace.npz"), np.zeros((4, 2))
    for t in range(6):
        v += a[:, t] @ two.nodes["wa"].weight.T + b[:, t] @ two.nodes["wb"].weight.T
        s = v > 3
        v[s] = 0
        assert np.array_equal(trace["n/s"][:, t], s)
        # m's third neuron hears both others: it fires whenever one of them does.
        assert np.array_equal(trace["m/s"][:, t], np.column_stack([s, s.any(axis=1)]))
    predictions = json.loads((tmp_path / "out" / "report.json").read_text())["predictions"]
    assert predictions["outputs"] == {
        name: trace[f"{node}/s"].sum(axis=1).argmax(axis=1).tolist()
        for name, node in (("output", "m"), ("first", "n"))
    }
    assert [x["predicted"] for x in predictions["first"]] == predictions["outputs"]["output"]
    assert len({*predictions["outputs"]["output"], *predictions["outputs"]["first"]}) > 1


def test_missing_and_unequal_inputs(
    tmp_path: Path, refused: Callable[..., str], graph_file: Path
) -> None:
    nodes = dict(read_nir(graph_file).nodes) | {
        "in2": nir.Input(np.array([2])),
        "fc0": nir.Linear(np.full((5, 2), 2.0)),
    }
    edges = [*read_nir(graph_file).edges, ("in2", "fc0"), ("fc0", "lif")]
    write_nir(tmp_path / "two.nir", graph(nodes, *edges))
    x = np.zeros((3, 8, 6), np.uint8)
    run = [tmp_path / "two.nir", "--target", "emulator", "--out", tmp_path / "out", "--data"]
    np.savez(tmp_path / "one.npz", **{"in": x})
    refused(main, *run, tmp_path / "one.npz", says=("two.nir", "one.npz", "no array 'in2'"))
    np.savez(tmp_path / "short.npz", **{"in": x, "in2": np.zeros((3, 7, 2), np.uint8)})
    refused(main, *run, tmp_path / "short.npz", says=("short.npz", "(3, 7)"))


def test_a_file_of_another_version(tmp_path: Path) -> None:
    """A batch dimension, scalars beside arrays, no input shapes and no resets, as older files have."""
    image = {
        "in": nir.Input(np.array([1, 2, 6, 6])),
        "conv": nir.Conv2d((6, 6), np.full((3, 2, 3, 3), 2.0), 1, 0, 1, 1, np.zeros(3)),
        "n": fire(1, 3, 4, 4),
        "flat": nir.Flatten({"input": np.array([1, 3, 4, 4])}, 1),
        "fc": nir.Linear(np.full((2, 48), 2.0)),
        "lif": nir.LIF(*(np.full(2, x) for x in (2e-4, 2.0, 0.0, 9.0, 0.0))),
        "out": nir.Output(np.array([1, 2])),
    }
    edges = [
        ("in", "conv"),
        ("conv", "n"),
        ("n", "flat"),
        ("flat", "fc"),
        ("fc", "lif"),
        ("lif", "out"),
    ]
    nir.write(tmp_path / "old.nir", graph(image, *edges))
    with h5py.File(tmp_path / "old.nir", "r+") as file:
        nodes = file["node/nodes"]
        for entry in ("conv/input_shape", "flat/input_type", "lif/v_reset", "lif/tau", "n/v_reset"):
            del nodes[entry]
        nodes["lif/tau"] = 2e-4
        nodes.create_group("fc/input_type")["input"] = np.array([1, 48])
    with pytest.raises(Exception):  # noqa: B017 - whatever nir raises
        nir.read(tmp_path / "old.nir")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (2, 5, 2, 6, 6)))
    assert export(tmp_path / "old.nir", tmp_path / "x.npy", tmp_path / "out") == 0
    program = load_program(tmp_path / "out" / "program.npz")
    assert program.population("n").shape == (3, 4, 4)
    assert program.population("lif").dv.tolist() == [2048, 2048]
    # What is written states the shapes that were missing, so that nir reads it.
    written = nir.read(tmp_path / "out" / "model.nir", type_check=False)
    assert tuple(written.nodes["conv"].input_shape) == (6, 6)
    assert written.nodes["flat"].input_type["input"].tolist() == [3, 4, 4]


def test_a_threshold_has_no_memory(tmp_path: Path) -> None:
    nodes = {
        "in": nir.Input(np.array([3])),
        "w": nir.Affine(np.array([[2.0, 4, -6], [2, 2, 2]]), np.array([1.0, 0])),
        "t": nir.Threshold(np.array([3.0, 4.0])),
        "out": nir.Output(np.array([2])),
    }
    write_nir(tmp_path / "t.nir", graph(nodes, ("in", "w"), ("w", "t"), ("t", "out")))
    x = np.random.default_rng(0).integers(0, 2, (6, 9, 3))
    np.save(tmp_path / "x.npy", x)
    assert export(tmp_path / "t.nir", tmp_path / "x.npy", tmp_path / "out") == 0
    s = load_trace(tmp_path / "out" / "trace.npz")["t/s"]
    assert np.array_equal(s, x @ nodes["w"].weight.T + nodes["w"].bias > [3, 4])
    assert 0 < s.mean() < 1


def test_another_discretisation_is_another_decay(
    tmp_path: Path, graph_file: Path, spikes_file: Path
) -> None:
    assert export(graph_file, spikes_file, tmp_path / "exp", "--discretisation", "exp") == 0
    dv = load_program(tmp_path / "exp" / "program.npz").population("lif").dv
    euler = np.array([1, 700, 1500, 2500, 4095])
    assert np.abs(dv - 4096 * -np.expm1(-euler / 4096)).max() <= 1


@pytest.mark.parametrize("kernel", [None, 130])
def test_a_fan_in_that_no_core_holds(
    tmp_path: Path, refused: Callable[..., str], kernel: int | None
) -> None:
    layer: Any = nir.Linear(np.full((2, 40_000), 2.0))
    nodes = {"in": nir.Input(np.array([40_000])), "w": layer, "n": fire(2)}
    if kernel:
        nodes["in"] = nir.Input(np.array([1, 200, 200]))
        nodes["w"] = nir.Conv2d(None, np.full((1, 1, kernel, kernel), 2.0), 1, 0, 1, 1, np.zeros(1))
        nodes["n"] = fire(1, 71, 71)
    nodes["out"] = nir.Output(np.array(nodes["n"].r.shape))
    write_nir(tmp_path / "wide.nir", graph(nodes, ("in", "w"), ("w", "n"), ("n", "out")))
    np.save(tmp_path / "x.npy", np.zeros((1, 2, *nodes["in"].input_type["input"]), np.uint8))
    line = refused(
        main, tmp_path / "wide.nir", "--data", tmp_path / "x.npy", "--target", "emulator",
        "--out", tmp_path / "out", says=("wide.nir", "node 'n'", "a core of loihi2 holds 16000"),
    )  # fmt: skip
    assert f"{kernel**2 if kernel else 40_000} input axons" in line
