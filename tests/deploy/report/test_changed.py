"""Where two runs first differ, from their folders; and the page that shows it."""

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.emulate.trace import save_trace
from deploy.files import write_npz
from deploy.program.file import save_program
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.report import compare_html, stages


def written(folder: Path, weight: np.ndarray, x: np.ndarray) -> Path:
    """The files of a small run."""
    folder.mkdir()
    program = Program(
        (make_input("in", (3,)),),
        (make_population("mine", (4,), vth=3),),
        (Dense("fc1", "in", "mine", weight),),
        (Output("out", "mine", "s"),),
    )
    save_program(folder / "program.npz", program)
    save_trace(folder / "trace.npz", emulate(program, {"in": x}))
    write_npz(folder / "inputs.npz", {"in": x})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run, one of another weight, and one of other inputs."""
    rng = np.random.default_rng(0)
    weight = np.full((4, 3), 8, np.int32)
    x = rng.integers(0, 2, (2, 5, 3)).astype(np.int32)
    other = weight.copy()
    other[2, 1] = -40
    return (
        written(tmp_path / "a", weight, x),
        written(tmp_path / "b", other, x),
        written(tmp_path / "c", weight, 1 - x),
    )


def test_the_cause_is_named_before_what_follows_from_it(
    runs: tuple[Path, Path, Path], report: dict[str, Any]
) -> None:
    a, b, c = runs
    inputs, network, did, place = stages(a, b)
    assert inputs.compared and inputs.first is None and not place.compared
    assert network.first == "register 'fc1/weight'[2, 1]: A holds 8, B holds -40"
    assert network.parts == (("fc1/weight", 1, 12),)
    assert did.first is not None and did.first.startswith("'mine/")
    page = compare_html(report, report, stages(a, b))
    assert "<strong>The network</strong>: register &#39;fc1/weight&#39;[2, 1]" in page
    assert "Equal: the inputs." in page and "the place on the cores" in page
    assert stages(a, c)[0].first is not None and stages(a, c)[1].first is None
    assert all(s.first is None for s in stages(a, a))
    assert (
        "Nothing that was compared: the inputs, the network, what the network did."
        in compare_html(report, report, stages(a, a))
    )


def test_runs_of_other_sizes_are_told_and_not_subtracted(
    runs: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, _, _ = runs
    longer = written(tmp_path / "d", np.full((4, 3), 8, np.int32), np.zeros((2, 6, 3), np.int32))
    inputs, network, did, _ = stages(a, longer)
    assert "shape (2, 5, 3) in A, (2, 6, 3) in B" in str(inputs.first)
    assert network.first is None and "shapes" in str(did.first)
    shutil.rmtree(longer)
    longer.mkdir()
    assert not any(s.compared for s in stages(a, longer))


def test_bars_are_as_long_as_the_changes(report: dict[str, Any]) -> None:
    import re

    other = copy.deepcopy(report)
    other["counts"]["spikes"]["total"] *= 2
    other["counts"]["hops"]["total"] *= 0.5
    page = compare_html(report, other)
    bars = re.findall(
        r'<rect x="([\d.]+)" y="0" width="([\d.]+)" height="14" class="(more|less)"', page
    )
    assert bars == [("50.0", "50.0", "more"), ("25.0", "25.0", "less")]
    assert "100.0 %" in page and "50.0 %" in page
    assert 'class="bars changes"' not in compare_html(report, report)
