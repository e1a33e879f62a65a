"""The whole system by hand: host, transfer, static power and chip, and the ANN in the chip's place."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deploy.count.energy import (
    Coefficient,
    Coefficients,
    bundled_coefficients,
    energy_report,
    load_coefficients,
)
from deploy.count.host import Work
from deploy.count.operations import Counts, count
from deploy.count.system import Around, system_report
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.program.program import Dense, Output, Program, make_input, make_population
from deploy.report.words.system import system_line, system_sentence, uncounted

PARTS = ("frames", "encoder", "text", "reading")
WORK = (
    Work("frames", 100, "by hand"),
    Work("encoder", 5000, "2 × 2500"),
    Work("text", 700, "", True),
)


def counted() -> tuple[Program, Counts]:
    """2 samples of 4 steps: x [2] sends 6 messages to a [2], which fires 4 times; b [3] is read."""
    program = Program(
        (make_input("x", (2,), 0, 9),),
        (make_population("a", (2,)), make_population("b", (3,), kind="integrator")),
        (
            Dense("xa", "x", "a", np.full((2, 2), 2, np.int32)),
            Dense("ab", "a", "b", np.full((3, 2), 2, np.int32)),
        ),
        (Output("read", "b", "v"), Output("fired", "a", "s")),
    )
    cores = (Core(0, (Slice("a", 0, 2),)), Core(1, (Slice("b", 0, 3),)))
    sent = {"x": np.array([5, 1]), "a": np.array([3, 1]), "b": np.zeros(3, int)}
    return program, count(program, sent, 2, 4, Mapping("loihi2", cores))


def made(sets: tuple[Coefficients, ...], **around: Any) -> dict[str, Any]:
    program, counts = counted()
    chip = energy_report(counts, sets)["energy"]
    given = {"parts": PARTS, "work": WORK, "seconds": (1e-6, 3e-6)} | around
    return system_report(program, counts, Around(**given), sets, chip, ann_macs=10)


def test_by_hand() -> None:
    davies = load_coefficients("loihi1-davies2018")
    report = made((davies,), static_w=0.5, chips=2, reads=2)
    assert (report["operations"], report["once_operations"]) == (5100, 700)
    # 6 messages of two samples; each of 3 potentials read twice, and 4 spikes of two samples.
    assert report["messages"] == {"to_chip": 3, "from_chip": 3 * 2 + 4 / 2}
    (entry,) = report["sets"]
    host, transfer = 5100 * 23.6e-12, (11 * 1.3e-9, 11 * 2.6e-9)
    static = (0.5 * 2 * 1e-6, 0.5 * 2 * 3e-6)
    chip = energy_report(counted()[1], (davies,))["energy"][0]
    assert entry["joules"]["host"] == pytest.approx((host, host))
    assert entry["joules"]["transfer"] == pytest.approx(transfer)
    assert entry["joules"]["static"] == pytest.approx(static)
    assert entry["joules"]["chip"] == (chip["low_j"], chip["total_j"])
    low = host + transfer[0] + static[0] + chip["low_j"]
    high = host + transfer[1] + static[1] + chip["total_j"]
    assert entry["total_j"] == pytest.approx((low, high))
    assert entry["once_j"] == pytest.approx(700 * 23.6e-12)
    # The ANN's 10 MACs on the host need no transfer and no chip.
    assert entry["without_chip_j"] == pytest.approx(host + 10 * 23.6e-12)
    assert entry["saved_j"] == pytest.approx(
        (entry["without_chip_j"] - high, entry["without_chip_j"] - low)
    )
    assert "costs" in str(system_sentence({"system": report}))
    json.dumps(report, allow_nan=False)


def test_what_is_not_counted_is_named_and_never_priced() -> None:
    report = made(bundled_coefficients())
    assert [p["operations"] for p in report["host"]] == [100, 5000, 700, None]
    assert uncounted({"system": report}) == ["reading"]
    nothing = made(bundled_coefficients(), parts=("reading",), work=())
    assert nothing["operations"] == 0
    assert "no work of a host counted" in str(system_sentence({"system": nothing}))


def test_the_published_static_power_is_taken_unless_another_is_given() -> None:
    assert made(bundled_coefficients())["static"]["watts"] == 0.232
    none = made(bundled_coefficients(), static_w=0.0)
    assert none["static"]["source"] == "given by --static-power"
    assert all(e["joules"]["static"] == (0, 0) for e in none["sets"])
    unknown = made(bundled_coefficients(), seconds=None)
    assert all(e["joules"]["static"] is None for e in unknown["sets"])


def test_the_range_is_over_the_sets_of_a_whole_chip() -> None:
    report = made(bundled_coefficients())
    arithmetic, *whole = report["sets"]
    assert arithmetic["coefficients"] == "horowitz45nm" and not arithmetic["whole"]
    low, high = report["total_range_j"]
    assert low == min(e["total_j"][0] for e in whole) > arithmetic["total_j"][0]
    assert high == max(e["total_j"][1] for e in whole)
    assert str(system_line({"system": report})).count("J") == 4
    alone = made((load_coefficients("horowitz45nm"),))
    assert alone["total_range_j"] == list(alone["sets"][0]["total_j"])


def test_a_set_without_a_host_s_operation_takes_its_own_and_says_so() -> None:
    davies = load_coefficients("loihi1-davies2018")
    bare = replace(
        davies,
        values={
            n: c
            for n, c in davies.values.items()
            if n not in ("host_mac", "transfer", "transfer_min")
        }
        | {"synapse_mac": Coefficient(7e-12, "by hand")},
    )
    (entry,) = made((bare,))["sets"]
    assert entry["host_mac_j"] == 7e-12 and entry["joules"]["transfer"] is None
    assert any("synapse_mac" in text for text in entry["assumptions"])


def test_where_the_chip_saves_it_is_said() -> None:
    program, counts = counted()
    sets = (load_coefficients("loihi1-davies2018"),)
    around = Around(PARTS, WORK, static_w=0.0, seconds=(0.0, 0.0))
    chip = energy_report(counts, sets)["energy"]
    report = system_report(program, counts, around, sets, chip, ann_macs=10**6)
    (entry,) = report["sets"]
    assert 0 < entry["saved_j"][0] < entry["saved_j"][1]
    said = str(system_sentence({"system": report}))
    assert "the chip saves" in said and "nothing" not in said
