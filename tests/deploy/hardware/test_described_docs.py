"""The documented formats: the examples load, and the tables name what the code reads."""

import re
from pathlib import Path

import pytest

from deploy.count.energy import COEFFICIENTS, LATENCIES, load_coefficients
from deploy.hardware.chip import _OPTIONAL, _UNSAID, LIMITS, amount, load_chip

DOCS = Path(__file__).parents[3] / "docs"


def example(name: str, folder: Path) -> Path:
    (found,) = re.findall(r"```json\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.S)
    path = folder / "mine.json"
    path.write_text(found, encoding="utf-8")
    return path


def rows(name: str, heading: str) -> dict[str, list[str]]:
    """The table whose first column has this heading: {name: its other cells}."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = {}
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found |= dict.fromkeys(re.findall(r"`(\w+)`", cells[0]), cells[1:])
    return found


def test_the_chip_of_the_documentation_loads_and_extends(tmp_path: Path) -> None:
    mine, loihi2 = load_chip(example("chips.md", tmp_path)), load_chip("loihi2")
    assert (mine.name, mine.chips, mine.cores) == ("two-small-chips", 2, 32)
    assert (amount(mine.neurons), mine.mesh_columns.assumption) == (1024, True)
    assert mine.synapse_words == loihi2.synapse_words


def test_the_documentation_names_every_limit() -> None:
    found = rows("chips.md", "limit")
    assert set(found) == set(LIMITS)
    assert {name for name, (_, null, _) in found.items() if null == "yes"} == set(_OPTIONAL)
    said = {name: int(default) for name, (*_, default) in found.items() if default}
    assert said == {name: limit.value for name, limit in _UNSAID.items()}


def test_the_coefficients_of_the_documentation_load(tmp_path: Path) -> None:
    mine = load_coefficients(example("coefficients.md", tmp_path))
    assert mine.zero_weights
    assert mine.values["neuron_update"].joules == pytest.approx(0.08e-9)
    assert mine.values["synapse_mac"].assumption
    assert mine.latency["barrier"].seconds == 1.8e-6


def test_the_documentation_names_every_coefficient_and_duration() -> None:
    assert set(rows("coefficients.md", "coefficient")) == set(COEFFICIENTS)
    assert set(rows("coefficients.md", "duration")) == set(LATENCIES)
