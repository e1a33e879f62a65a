"""The page's table of the whole system, from an object as report.json holds it."""

from typing import Any

import numpy as np
import pytest

from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.report import render
from deploy.report.compare import compare_rows
from deploy.report.html import show
from deploy.report.sections import Run, sections
from deploy.report.words.system import system_line


@pytest.fixture
def program() -> Program:
    weight = np.full((3, 4), 2, np.int32)
    return Program(
        (make_input("input", (4,)),),
        (make_population("fires", (3,)),),
        (Dense("fc", "input", "fires", weight),),
        (Output("answer", "fires", "s"),),
    )


def system() -> dict[str, Any]:
    entry = {
        "coefficients": "mine", "whole": True, "host_mac_j": 1e-12, "transfer_message_j": None,
        "assumptions": ["host_mac: <b>by hand</b>"],
        "joules": {"host": [5e-9, 5e-9], "transfer": None, "static": [1e-9, 2e-9], "chip": [1e-9, 3e-9]},
        "total_j": [7e-9, 10e-9], "once_j": 7e-10, "ann_j": 1e-9, "without_chip_j": 6e-9,
        "saved_j": [-4e-9, -1e-9],
    }  # fmt: skip
    return {
        "host": [
            {"part": "encoder", "operations": 5000, "how": "2 × 2500", "once": False},
            {"part": "texts", "operations": 700, "how": "by hand", "once": True},
            {"part": "reading", "operations": None, "how": "not counted", "once": False},
        ],
        "operations": 5000, "once_operations": 700, "messages": {"to_chip": 3, "from_chip": 1},
        "static": {"watts": 0.232, "chips": 1, "seconds": [1e-6, 2e-6], "source": "Intel"},
        "ann_macs": 1000, "sets": [entry], "total_range_j": [7e-9, 10e-9],
    }  # fmt: skip


def plain(page: str) -> str:
    """With spaces that break lines in place of those that do not."""
    return page.replace("\u00a0", " ")


def test_counts_prices_and_totals_stand_side_by_side(report: Any, program: Program) -> None:
    page = plain(render(report | {"system": system()}, {}, program))
    for text in (
        "Whole system",
        "Estimate per inference",
        "2 × 2500",
        "5.00 nJ",
        "7.00 nJ – 10.0 nJ",
    ):
        assert text in page, text
    assert "the chip saves nothing, it costs 1.00 nJ – 4.00 nJ more" in page
    assert "named and not counted: reading" in page and "<b>by hand" not in page
    assert "energy, estimate" in page and "with its host 7.00 nJ – 10.0 nJ" in page


def test_two_runs_show_both_totals(report: Any) -> None:
    rows = {name: rest for name, *rest in compare_rows(report | {"system": system()}, report)}
    assert plain(rows["whole system, high end"][0]) == "10.0 nJ"
    assert rows["whole system, low end"][1] == "not measured"
    assert "whole system, low end" not in [name for name, *_ in compare_rows(report, report)]


def test_a_report_from_before_has_no_such_section(report: Any, program: Program) -> None:
    page = render(report, {}, program)
    assert "Whole system" not in page and "with its host" not in page


def test_graded_messages_without_a_coefficient_are_marked(report: Any, program: Program) -> None:
    sets = [dict(entry) for entry in report["energy"]]
    assert "Graded messages, which" not in render(report | {"energy": sets}, {}, program)
    sets[0] |= {"assumptions": ["synapse_mac: taken as its synaptic operation"], "whole": False}
    page = render(report | {"energy": sets}, {}, program)
    assert "Graded messages, which Loihi 1 does not have" in page
    assert f"{sets[0]['coefficients']}: no neurons or messages" in page


@pytest.mark.parametrize("odd", [None, "x", [], {}, -1, [1, "2"], True, float("nan")])
def test_no_mistyped_entry_stops_the_section(program: Program, odd: object) -> None:
    (section,) = [each for each in sections() if each.identity == "system"]
    whole = system()
    entry, part = whole["sets"][0], whole["host"][0]
    wrong = [whole | {key: odd} for key in whole]
    wrong += [whole | {"sets": [entry | {key: odd}]} for key in entry]
    wrong += [
        whole | {"sets": [entry | {"joules": entry["joules"] | {key: odd}}]}
        for key in entry["joules"]
    ]
    wrong += [whole | {"host": [part | {key: odd}]} for key in part]
    wrong += [whole | {"static": whole["static"] | {key: odd}} for key in whole["static"]]
    for found in [odd, *wrong]:
        show(section, Run({"system": found}, {}, program))
        system_line({"system": found})
