"""`import neuroclip as nc`: what it costs, what it holds, and every example of its documentation."""

import doctest
import json
import pydoc
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import neuroclip as nc
from deploy.errors import BadInput
from deploy.files import read_npz
from deploy.map.validate import validate
from export.commands.main import main

NAMES = [name for name in nc.__all__ if not name.startswith("_")]
needs_torch = pytest.mark.skipif(find_spec("snntorch") is None, reason="snnTorch is not installed")


def test_importing_it_loads_nothing(own_python):
    code = "import sys, neuroclip; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    assert not {"numpy", "torch", "export", "deploy", "nir"} & set(own_python("-c", code).split())


def test_a_checker_of_types_sees_what_it_holds(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "one.py").write_text(
        "import neuroclip as nc\nreveal_type(nc.load('x').order)\n"
        "reveal_type(nc.export('a', out='b').ok)\nnc.nothing\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports"]
    command += ["--cache-dir", str(tmp_path / "cache"), str(tmp_path / "one.py")]
    found = subprocess.run(command, capture_output=True, text=True, cwd=root).stdout
    assert 'one.py:2: note: Revealed type is "tuple[str, ...]"' in found.replace("builtins.", "")
    assert 'one.py:3: note: Revealed type is "bool"' in found.replace("builtins.", "")
    assert 'one.py:4: error: Module has no attribute "nothing"' in found
    assert "Found 1 error" in found


def test_it_says_what_it_holds():
    page = pydoc.plain(pydoc.render_doc(nc))
    assert "nc.export(model, spikes" in page
    for name in NAMES:
        assert name in dir(nc) and f"{name}" in page
        assert pydoc.getdoc(getattr(nc, name)), name
    assert nc.__version__
    with pytest.raises(AttributeError, match="nothing"):
        nc.nothing  # noqa: B018


@needs_torch
@pytest.mark.parametrize("name", NAMES)
def test_every_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"np": np, **{each: getattr(nc, each) for each in NAMES}}
    found = doctest.DocTestFinder(recurse=False)
    (program,) = found.find(nc.Program, "Program", globs=dict(given))
    runner = doctest.DocTestRunner()
    runner.run(program, clear_globs=False)
    (test,) = found.find(getattr(nc, name), name, globs=program.globs)
    assert test.examples
    assert runner.run(test).failed == 0


def test_it_does_what_the_command_does(graph_file: Path, spikes_file: Path, tmp_path: Path):
    command = [graph_file, "--data", spikes_file, "--target", "emulator", "--record", "all"]
    assert main([*map(str, command), "--out", str(tmp_path / "command")]) == 0
    named = nc.export(graph_file, spikes_file, out=str(tmp_path / "named"), record="all")
    arrays = dict(np.load(spikes_file))
    labels = arrays.pop("labels", None)
    more = {"record": "all", "out": tmp_path / "arrays"}
    given = nc.export(str(graph_file), arrays["spikes"], labels, **more)
    expected = json.loads((tmp_path / "command" / "report.json").read_text())
    for report in (named, given):
        assert report.ok and isinstance(report.path, Path)
        for key in ("data_sha256", "parity", "counts", "energy", "proof", "cores"):
            assert json.loads(json.dumps(report.json[key])) == expected[key]
        for file in ("program.npz", "trace.npz"):
            a, b = (read_npz(folder / file) for folder in (report.path, tmp_path / "command"))
            assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
        assert report.trace.keys() == read_npz(report.path / "trace.npz").keys()
        assert validate(report.chip_program, nc.load_chip("loihi2"), report.mapping) == []
    assert str(named).startswith("result               NOT COMPARED: graph.nir → emulator")
    page = named._repr_html_()
    assert (
        page.startswith("<iframe sandbox srcdoc=") and "graph.nir" in page and "<script" not in page
    )


def test_scales_are_chosen_on_arrays_too(tmp_path: Path):
    nir = pytest.importorskip("nir")
    rng = np.random.default_rng(3)
    node = nir.LIF(
        tau=np.full(4, 0.002), r=np.full(4, 20.0), v_leak=np.zeros(4), v_threshold=np.ones(4)
    )
    nodes = {
        "in": nir.Input({"input": np.array([6])}), "fc": nir.Linear(rng.normal(size=(4, 6))),
        "lif": node, "out": nir.Output({"output": np.array([4])}),
    }  # fmt: skip
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "out")]
    nir.write(tmp_path / "float.nir", nir.NIRGraph(nodes, edges))
    spikes, few = rng.integers(0, 2, (2, 6, 9, 6), dtype=np.uint8)
    np.save(tmp_path / "few.npy", few)
    found = [
        nc.export(tmp_path / "float.nir", spikes, calibrate=few, out=tmp_path / "out")
        for few in (few, tmp_path / "few.npy")
    ]
    assert found[0].json["quantization"]["calibration"] == "arrays"
    assert found[0].json["counts"] == found[1].json["counts"]


def test_a_target_that_only_writes_says_so(graph_file: Path, spikes_file: Path, tmp_path: Path):
    report = nc.export(graph_file, spikes_file, target="nir", out=tmp_path)
    assert report.ok and (tmp_path / "model.nir").is_file()
    assert not (tmp_path / "report.json").exists()
    assert str(report).startswith(f"{tmp_path / 'model.nir'}: written, read back")
    assert report._repr_html_().startswith("<pre>") and report.program.populations


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "Lava"}, "target 'Lava' is not known; known are lava, emulator, nir"),
        ({"target": "emulator "}, "'emulator '"),
        ({"record": "ALL"}, "record 'ALL'"),
        ({"record_samples": 0}, "record_samples 0"),
        ({"jobs": -1}, "jobs -1"),
        ({"ann_zeros": 1.01}, "--ann-zeros 1.01: expected a share from 0 to 1"),
        ({"ann_zeros": -0.1}, "--ann-zeros -0.1"),
        ({"ann_zeros": float("nan")}, "--ann-zeros nan"),
        ({"dt": float("nan")}, "dt nan"),
        ({"samples": 0}, "samples 0"),
        ({"discretisation": "Euler"}, "discretisation 'Euler'"),
        ({"net_decay": "stored"}, "is no .net file"),
        ({"skips": "streams"}, "skips 'streams'"),
        ({"labels": ["a", "b"]}, "--labels"),
        ({"labels": np.zeros(12, int)}, "labels: integers belong to spikes"),
    ],
)
def test_a_wrong_value_is_refused_in_python_too(
    graph_file: Path, spikes_file: Path, tmp_path: Path, options, says
):
    with pytest.raises(BadInput) as refused:
        nc.export(graph_file, spikes_file, **{"out": tmp_path / "out", **options})
    assert says in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_is_refused(graph_file: Path, spikes_file: Path):
    with pytest.raises(TypeError, match=r"no option .sample.; it has .*samples"):
        nc.export(graph_file, spikes_file, sample=3)
    with pytest.raises(BadInput, match="a dict is no model"):
        nc.export({}, np.zeros((1, 2, 3), int))


@needs_torch
def test_a_module_of_ones_own_is_converted_and_proven(tmp_path: Path):
    import snntorch as snn
    import torch

    torch.manual_seed(0)
    leaky = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 5), snn.Leaky(beta=0.9, **leaky), torch.nn.Linear(5, 3),
        snn.Leaky(beta=0.8, **leaky, output=True),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    spikes = torch.randint(0, 2, (10, 7, 6), generator=generator)
    labels = torch.arange(10) % 3
    report = nc.export(model, spikes, labels, out=tmp_path, samples=8, class_names=("a", "b", "c"))
    (pair,) = report.json["parity"]["pairs"]
    assert report.ok and (pair["a"], pair["b"], pair["samples"]) == ("torch", "emulator", 8)
    assert report.accuracy["emulator"]["total"] == 8
    assert report.json["predictions"]["labels"] == ["a", "b", "c"]


def python_block(page: str) -> str:
    """The first block of Python on a page."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return text.split("```python\n")[1].split("```")[0]


@needs_torch
@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_a_network_of_ones_own_runs_as_it_is_written(page: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given: dict = {}
    exec(python_block(page).replace('target="lava"', 'target="emulator"'), given)
    report = given["report"]
    assert report.ok and report.json["parity"]["pairs"][0]["a"] == "torch"


def test_python_as_the_documentation_says(graph_file, spikes_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph.nir").write_bytes(graph_file.read_bytes())
    (tmp_path / "spikes.npz").write_bytes(spikes_file.read_bytes())
    given = {"messages": np.load("spikes.npz")["spikes"]}
    exec(python_block("docs/reference/python.md").replace('"input"', '"in"'), given)
    report = given["report"]
    assert report.accuracy["emulator"]["total"] == 12
    for name, values in given["trace"].s.items():
        assert np.array_equal(values, report.trace[f"{name}/s"])
