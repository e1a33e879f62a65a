"""What a distribution of one's own adds: installed as any other, then listed, run and refused."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroclip as nc
from deploy import connections, neurons
from deploy.errors import BadInput
from export.commands.main import main
from export.frontends.table import frontend_lines
from export.targets.table import find_target, target_lines, target_names

pytest.importorskip("setuptools", reason="setuptools builds the distribution")

TOY = Path(__file__).with_name("toy_distribution")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy distribution, built as a wheel and unpacked, as an installer does it."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(TOY, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=folder / "source",
        capture_output=True,
        text=True,
    )
    if "No module named 'wheel'" in done.stderr:
        pytest.skip("this setuptools needs the package wheel")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if it were installed, for one test: what it adds to the tables goes again."""
    monkeypatch.syspath_prepend(str(site))
    before = [(kinds, dict(kinds)) for kinds in (neurons.KINDS, connections.KINDS)]
    yield
    for kinds, had in before:
        kinds.clear()
        kinds.update(had)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.toy"
    path.write_text("input 6\nlif 8\nparity 5\nshift 5\nlif 3\n")
    return path


@pytest.fixture
def spikes(tmp_path: Path) -> Path:
    path = tmp_path / "spikes.npy"
    np.save(path, np.random.default_rng(0).integers(0, 2, (7, 12, 6), dtype=np.uint8))
    return path


def test_it_is_not_there_before_it_is_installed(model: Path, spikes: Path) -> None:
    assert "toy" not in target_names()
    with pytest.raises(BadInput, match="target 'toy' is not known; known are lava, emulator"):
        find_target("toy")


def test_the_command_lists_it(site: Path) -> None:
    help_of = [sys.executable, "-m", "export.commands.main", "--help"]
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": f"{site}:{root}", "PATH": ""}
    done = subprocess.run(help_of, capture_output=True, text=True, env=environment, cwd=root)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["toy", "a chip of at most eight neurons a layer"] in lines
    assert [".toy", "a chain of layers in words"] in lines


def test_it_runs(installed: None, model: Path, spikes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [model, "--data", spikes, "--target", "toy", "--out", out]
    assert main([*map(str, command)]) == 0
    assert (out / "toy.txt").read_text() == "\n".join(
        ["lif2 lif 8", "parity3 toy-parity 5", "shift4 lif 5", "lif5 lif 3", ""]
    )
    report = json.loads((out / "report.json").read_text())
    (pair,) = report["parity"]["pairs"]
    assert (pair["a"], pair["b"], pair["ok"]) == ("emulator", "toy", True)
    assert pair["spikes_compared"] == 7 * 12 * 21
    assert report["target"] == "toy" and report["toy"]["cores"] == report["cores"]["used"]
    assert report["toy"]["messages"]["lif5"] > 0
    assert report["latency_steps"] == {"lif2": 1, "parity3": 2, "shift4": 3, "lif5": 4}
    assert "the toy has no power switch" in report["warnings"]
    # What a folder holds is of one run.
    assert nc.export(model, spikes, out=out).ok and not (out / "toy.txt").exists()
    in_python = nc.export(model, np.load(spikes), target="toy", out=tmp_path / "python")
    assert in_python.ok and in_python.json["data_sha256"] == report["data_sha256"]
    labels = np.arange(7) % 3
    labelled = nc.export(model, np.load(spikes), labels, target="toy", out=tmp_path / "labelled")
    assert labelled.accuracy["toy"] == labelled.accuracy["emulator"] != report["accuracy"]["toy"]


def test_it_refuses_by_name(
    installed: None, spikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large, odd = tmp_path / "large.toy", tmp_path / "odd.toy"
    large.write_text("input 6\nlif 9\n")
    odd.write_text("input 6\nconv 3\n")
    end = ["--data", str(spikes), "--target", "toy", "--out", str(tmp_path / "out")]
    for path, more, says in (
        (large, [], "node 'lif2': 9 neurons, a layer of the toy holds 8"),
        (odd, [], f"{odd}: line 2: no layer 'conv'"),
        (large, ["--labels", "a,b"], f"--labels: {large} is no checkpoint"),
    ):
        assert main([str(path), *end, *more]) == 2
        assert capsys.readouterr().err == f"neuroclip-export: {says}\n"
    assert not (tmp_path / "out").exists()


def test_a_broken_one_is_named_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[neuroclip.targets]\nbroken = no_such_module:Target\nlava = json:loads\n"
        "other = json:loads\n[neuroclip.frontends]\nbroken = no_such_module:it\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, says in (("broken", "no_such_module"), ("other", "is no Target")):
        with pytest.raises(BadInput, match=f"entry point '{name}' of .*{says}"):
            find_target(name)
    listed = "\n".join(target_lines())
    assert "broken     cannot be used: entry point" in listed
    assert "lava       Lava's fixed-point" in listed
    assert "broken     cannot be used: entry point" in "\n".join(frontend_lines())


def test_what_its_check_finds_fails_the_run(
    installed: None, model: Path, spikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    toy = type(find_target("toy"))
    command = [model, "--data", spikes, "--target", "toy", "--out", tmp_path / "out"]
    monkeypatch.setattr(toy, "cross_check", lambda *_: {"ok": False, "why": "a lamp is red"})
    assert main([*map(str, command)]) == 1
    assert capsys.readouterr().err.endswith("neuroclip-export: target 'toy': a lamp is red\n")


def test_its_spikes_are_compared(
    installed: None, model: Path, spikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    toy = type(find_target("toy"))
    executor = toy.executor

    def wrong(self: Any, job: Any) -> Any:
        right = executor(self, job)

        def run(inputs: Any) -> Any:
            trace = right.run(inputs)
            trace.s["lif5"][1, 5, 2] ^= 1
            return trace

        return replace(right, run=run)

    monkeypatch.setattr(toy, "executor", wrong)
    command = [model, "--data", spikes, "--target", "toy", "--out", tmp_path / "out"]
    assert main([*map(str, command)]) == 1
    said = capsys.readouterr().err
    assert "emulator ≠ toy" in said and "node lif5, sample 1, step 5" in said
    monkeypatch.setattr(toy, "executor", lambda *a: replace(executor(*a), name="emulator"))
    assert main([*map(str, command)]) == 2
    assert "its executor calls itself 'emulator', as ours" in capsys.readouterr().err
