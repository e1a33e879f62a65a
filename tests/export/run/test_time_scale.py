"""A graph in other units than its step is said to be, with the --dt that would make sense."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

pytest.importorskip("h5py")

from deploy.files import read_json
from export.commands.main import main
from export.nir_format.write.file import write_nir

Export = Callable[..., tuple[list[str], str]]


@pytest.fixture
def export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    """The command on a chain of one neuron node; returns (report's warnings, printed)."""
    spikes = np.random.default_rng(0).integers(0, 2, (3, 40, 4))
    np.savez(tmp_path / "x.npz", spikes=spikes)

    def run(neuron: Any, *more: object, weight: float = 1.0) -> tuple[list[str], str]:
        nodes = {
            "input": nir.Input(np.array([4])),
            "fc": nir.Linear(np.full((2, 4), weight)),
            "n": neuron,
            "output": nir.Output(np.array([2])),
        }
        write_nir(tmp_path / "g.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
        command = [tmp_path / "g.nir", "--data", tmp_path / "x.npz", "--out", tmp_path / "out"]
        assert main([str(a) for a in (*command, "--target", "emulator", *more)]) == 0
        found: list[str] = read_json(tmp_path / "out" / "report.json")["warnings"]
        return found, capsys.readouterr().err

    return run


def lif(tau: Any, **more: Any) -> nir.LIF:
    fields = {"tau": tau, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | more
    return nir.LIF(**{name: np.full(2, value) for name, value in fields.items()})


def dt_of(more: tuple[str, ...]) -> float:
    return float(more[1]) if more else 1e-4


@pytest.mark.parametrize(
    ("tau", "more", "wanted"),
    [
        (20.0, (), "--dt 1 would make them 20 steps, if the file states them in steps"),
        (0.02, ("--dt", "1e-6"), "--dt 0.001 would make them 20 steps"),
        (20_000.0, (), "--dt 1000 would make them 20 steps"),
    ],
)
def test_long_time_constants_name_the_step_that_makes_sense(
    export: Export, tau: float, more: tuple[str, ...], wanted: str
) -> None:
    warnings, printed = export(lif(tau), *more, weight=tau / dt_of(more) * 1e-4)
    (said,) = [w for w in warnings if w.startswith("all time constants are above 10000 steps")]
    assert wanted in said and said in printed
    dt = wanted.split()[1]
    warnings, _ = export(lif(tau), "--dt", dt, weight=20.0)
    assert not any("time constants" in w or "fires" in w for w in warnings)


def test_where_no_registers_hold_a_graph_its_units_are_named(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError, match="2 == 0"):
        export(lif(20.0))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "all its weights are nothing beside its threshold" in error
    assert "they are 2e+05 steps of --dt 0.0001; --dt 1 would make them 20 steps" in error


def test_one_short_time_constant_or_none_is_nothing_to_say(export: Export) -> None:
    mixed = lif(np.array([1e-3, 20.0]), r=np.array([30.0, 6e5]))
    for neuron in (mixed, nir.IF(*(np.full(2, x) for x in (1.0, 0.5, 0.0)))):
        warnings, _ = export(neuron)
        assert not any("time constants" in w or "fires" in w for w in warnings)


def test_a_graph_that_never_fires_says_so(export: Export) -> None:
    warnings, printed = export(lif(0.02))
    (said,) = [w for w in warnings if w.startswith("no neuron fires on the data")]
    assert "they are 200 steps of --dt 0.0001; --dt 0.001 would make them 20 steps" in said
    assert said in printed
    slow = nir.IF(*(np.full(2, x) for x in (300.0, 4.0, 0.0)))
    warnings, _ = export(slow, weight=0.02)
    (said,) = [w for w in warnings if w.startswith("no neuron fires on the data")]
    assert "a message of weight 1 adds 0.03 to a potential under --dt 0.0001; --dt 0.00333" in said
