"""The verdict: EQUAL is said only of what was compared, and doubts are said beside it."""

import pytest

from deploy.report import summary
from deploy.report.words.figures import GROUP
from deploy.report.words.verdict import verdict


def test_what_was_compared_and_equal(report):
    found = verdict(report)
    assert (found.word, found.doubts) == ("EQUAL", ())
    assert [x.replace(GROUP, " ") for x in found.sentences] == [
        "torch = emulator = lava: all 128 000 spike values and 288 000 states are equal.",
    ]


@pytest.mark.parametrize("pairs", [[], None, [{"a": "torch", "b": "emulator"}]])
def test_a_run_of_one_executor_is_not_called_equal(report, pairs):
    report["parity"]["pairs"] = pairs
    assert report["ok"] is True
    assert verdict(report).word == "NOT COMPARED"
    assert summary(report).startswith("result               NOT COMPARED: ")


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.update(ok=False),
        lambda r: r["parity"]["pairs"][0].update(spike_mismatches=1),
        lambda r: r["parity"]["pairs"][1].update(registers_equal=False),
    ],
)
def test_what_did_not_hold_is_failed_whatever_ok_says(report, damage):
    damage(report)
    found = verdict(report)
    assert found.word == "FAILED" and found.sentences


@pytest.mark.parametrize(
    ("fired", "rate", "differ", "doubted"),
    # 100 values: f fired in float, q in integers; both fire in (f + q - d) / 2 of them.
    [
        (20, 0.2, 20, True),
        (20, 0.2, 14, True),
        (20, 0.2, 13, False),
        (0, 0.0, 0, False),
        (0, 0.01, 1, True),
    ],
)
def test_integers_that_spike_otherwise_than_the_float_graph_are_a_doubt(
    report, fired, rate, differ, doubted
):
    node = {"spikes_compared": 100, "spike_mismatches": differ, "spikes_float": fired}
    report["quantization"] = {"nodes": {"hidden": node | {"rate_quantized": rate}}}
    found = verdict(report)
    assert found.word == "EQUAL" and bool(found.doubts) == doubted
    if doubted:
        assert "more often than they agree, in hidden" in found.doubts[0]
        assert "but                  the integers' spikes differ" in summary(report)


def test_values_beyond_their_registers_are_a_doubt(report):
    report["proof"]["observed"] = {"up": {"current u wraps": 37_000, "potential clips": 938}}
    (doubt,) = verdict(report).doubts
    assert doubt.replace(GROUP, " ") == "37 938 values left their registers, in up"
    report["proof"]["observed"]["up"] = {"current u wraps": 0}
    assert verdict(report).doubts == ()
