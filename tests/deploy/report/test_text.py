"""The printed summary, two runs side by side, and how figures are written."""

import copy
import json
from pathlib import Path

import pytest

from deploy.report import compare, summary
from deploy.report.charts.svg import round_ticks, spread
from deploy.report.compare import compare_html, compare_rows, node_rows
from deploy.report.text import MAX_LINES
from deploy.report.words.figures import count, joules, percent, plain, ratio, seconds, shorten

SYNTHETIC = json.loads(Path(__file__).with_name("report_synthetic.json").read_text())


def lines_of(text):
    """{first column: the rest} of a summary, wrapped lines joined."""
    found, name = {}, ""
    for line in text.splitlines():
        name = line[:20].strip() or name
        found[name] = f"{found.get(name, '')} {line[21:].strip()}".strip()
    return found


def test_summary_says_what_went_beyond_an_edge(report):
    assert "register edges" not in lines_of(summary(report))
    edges = {"current u wraps": 0, "membrane potential v clips": 0}
    report["proof"]["observed"] = {"hidden": edges, "up": dict(edges)}
    said = "within reach in hidden, up; no value of this run went beyond"
    assert lines_of(summary(report))["register edges"] == said
    report["proof"]["observed"]["up"]["current u wraps"] = 1200
    said = "values went beyond: up: current u wraps (1 200 ×)"
    assert lines_of(summary(report))["register edges"] == said


def test_summary_says_what_the_run_found(report):
    text = summary(report, Path("out") / "report.html")
    assert lines_of(text) == {
        "result": "EQUAL: checkpoints/synthetic → lava",
        "run": "100 samples × 16 timesteps, seed 7",
        "accuracy float": "94.0 %  95 % interval 87.5 – 97.2 %  94 of 100",
        "accuracy quantized": "93.0 %  95 % interval 86.3 – 96.6 %  93 of 100",
        "accuracy emulator": "93.0 %  95 % interval 86.3 – 96.6 %  93 of 100",
        "accuracy Lava": "93.0 %  95 % interval 86.3 – 96.6 %  93 of 100",
        "torch = emulator": "registers equal; "
        "mismatches 0 of 128 000 spike values, 0 of 288 000 states",
        "emulator = lava": "registers equal; "
        "mismatches 0 of 128 000 spike values, 0 of 288 000 states",
        "cores": "5 of 120 on 1 chip (loihi2)",
        "synaptic operations": "20 515 per inference",
        "energy": "18.5 nJ (horowitz45nm) – 954 nJ (loihi1-sanafe) per inference",
        "time": "24.0 µs – 40.0 µs per inference",
        "cross-check": "SANA-FE 2.2.9, 4 samples: it counts as we do, in all 2 quantities.",
        "like for like": "INT8 arithmetic: 2.27 nJ; dense ANN at every step 2.76 nJ "
        "(0.82×); in one pass 172 pJ (13×, spiking loses)",
        "on the host": "CLIP image encoder; event frames; arg max of the class scores",
        "not mapped": "nothing",
        "report": str(Path("out") / "report.html"),
    }


def test_summary_of_a_failed_run_names_the_first_divergence(report):
    report["ok"] = False
    report["parity"]["pairs"] *= 3
    report["parity"]["pairs"][1] = report["parity"]["pairs"][1] | {
        "state_mismatches": 5,
        "first_divergence": {
            **{"quantity": "v", "node": "up", "sample": 0, "step": 2, "index": [1, 3]},
            **{"a": -640, "b": -639},
        },
    }
    text = summary(report, Path("report.html"))
    assert len(text.splitlines()) <= MAX_LINES
    assert lines_of(text)["result"].startswith("FAILED")
    assert lines_of(text)["first divergence"] == (
        "membrane potential v of node 'up', sample 0, step 2, index [1, 3]: "
        "emulator has -640, lava has -639"
    )


def test_summary_stays_within_its_lines_of_100_columns(report):
    report["placement"]["host"] = [
        f"part {i} of what the host does beside the chip" for i in range(40)
    ]
    report["unsupported"] = ["node 'up': it can leave its register"] * 9
    report["parity"]["pairs"] *= 2
    path = Path("a folder with spaces", *["and a long name"] * 9, "report.html")
    text = summary(report, path)
    *lines, last = text.splitlines()
    assert len(lines) == MAX_LINES - 1 and max(len(line) for line in lines) <= 100
    assert last.endswith(str(path))  # never broken: it is copied
    found = lines_of("\n".join(lines))
    assert found["on the host"].startswith("part 0 of what the host does beside the chip; part 1")
    assert found["on the host"].endswith("…") and found["not mapped"].endswith("…")
    assert found["energy"].endswith("per inference")


def test_the_comparison_says_when_the_spiking_network_loses(report):
    first = report["baseline"]["like_for_like"][0]
    first |= {"snn_j": 3e-9, "ann_j": 1e-9, "ann_one_pass_j": 3e-9}
    assert lines_of(summary(report))["like for like"] == (
        "INT8 arithmetic: 3.00 nJ; dense ANN at every step 1.00 nJ (3.00×); "
        "in one pass 3.00 nJ (1.00×, equal)"
    )
    del report["baseline"]["like_for_like"]
    assert "like for like" not in lines_of(summary(report))


def test_the_energy_range_names_the_sets_at_its_ends(report):
    report["energy"][0]["low_j"] = 1e-9
    report["energy_range_j"] = [1e-9, 9.537e-7]
    assert lines_of(summary(report))["energy"] == (
        "1.00 nJ (loihi1-davies2018) – 954 nJ (loihi1-sanafe) per inference"
    )


def test_summary_of_an_empty_report_measures_nothing():
    found = lines_of(summary({}))
    assert found["result"].startswith("NOT COMPARED")
    for name in ("accuracy", "predicted", "parity", "cores", "synaptic operations", "energy"):
        assert found[name] == "not measured"


def test_summary_without_labels_says_what_was_predicted(report):
    report["accuracy"] = dict.fromkeys(report["accuracy"])
    report["predictions"] = {
        "labels": ["zebra", "boat"],
        "first": [{"sample": 0, "label": None, "predicted": 1}, {"sample": 1, "predicted": 7}],
    }
    lines = summary(report).splitlines()
    assert any(line.split() == ["accuracy", "not", "measured"] for line in lines)
    assert any(line.endswith("sample 0: boat, sample 1: 7") for line in lines)


def test_summary_prints_no_control_characters(report):
    report["placement"]["host"] = ["\x1b[2Jgone\nnext line"]
    text = summary(report)
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(summary(SYNTHETIC).splitlines())


def test_compare_shows_both_and_the_difference(report):
    other = copy.deepcopy(report)
    other["accuracy"]["lava"] = {"value": 0.90, "low": 0.825, "high": 0.945}
    other["counts"]["synaptic_ops"]["total"] = 1.2 * report["counts"]["synaptic_ops"]["total"]
    other["parity"]["pairs"][0]["spike_mismatches"] = 3
    other["target"] = "emulator"
    del other["energy"][2]
    rows = {name: rest for name, *rest in compare_rows(report, other)}
    assert rows["target"] == ["lava", "emulator", "differs"]
    assert rows["accuracy float"][2] == "same"
    assert rows["accuracy Lava"][2] == "−3.0 points"
    assert rows["synaptic ops"][2] == "+20.0 %"
    assert rows["spike mismatches"] == ["0", "3", "+3"]
    assert rows["hops"] == [count(4200), count(4200), "same"]
    assert rows["energy, horowitz45nm"][1:] == ["not measured", ""]
    text = compare(report, other)
    table = text.splitlines()
    assert len(table) == len(rows) + 1
    column = table[0].index("difference")
    assert all(line[column - 2 : column] in ("  ", "") for line in table)
    assert "−" not in text and "+20.0 %" in text
    page = compare_html(report, other)
    assert page.startswith("<!doctype html>") and "+20.0" in page


def test_compare_covers_time_traffic_and_every_node(report):
    other = copy.deepcopy(report)
    other["traffic"]["busiest_link"] = 45
    other["latency"][0]["inference_s"] = [1.2e-5, 4e-5]
    other["energy"][0]["low_j"] = 1e-9
    other["counts"]["synaptic_ops"]["per_node"]["fc1"] = 1
    other["counts"]["per_step"]["spikes"][3] = 1000
    rows = {name: rest for name, *rest in compare_rows(report, other)}
    assert rows["busiest link, packets"] == ["90", "45", "−50.0 %"]
    assert rows["inference, loihi1-sanafe, low end"][2] == "−50.0 %"
    assert rows["inference, loihi1-sanafe, high end"][2] == "same"
    assert rows["neurons, fullest core"][2] == "same" and rows["chip"][2] == "same"
    assert any(name.endswith(", low end") and name.startswith("energy") for name in rows)
    nodes = {name: rest for name, *rest in node_rows(report, other)}
    assert nodes["fc1: synaptic ops"][1] == "1" and nodes["fc1: synaptic ops"][2].startswith("−")
    page = compare_html(report, other)
    assert page.count(">A: ") == page.count(">B: ") == 3 and "Node by node" in page
    # Both runs on one scale: the same step of A is drawn smaller beside a larger one of B.
    alone = compare_html(report, report)
    assert alone.count('class="area"') == page.count('class="area"') == 6
    assert alone.split('class="area"')[2] != page.split('class="area"')[2]
    assert "Each step" not in compare_html({}, {})


def paired(report, other):
    """The line on samples that one run alone has right, below the accuracy of the float network."""
    rows = {name: tuple(rest) for name, *rest in compare_rows(report, other)}
    return rows["float, right in one run alone"]


def test_accuracies_over_the_same_samples_are_compared_in_pairs(report):
    report["predictions"] |= {"correct": {"float": "1111111100"}, "labels_sha256": "ab"}
    other = copy.deepcopy(report)
    other["predictions"]["correct"]["float"] = "0011000011"
    # Six in A alone against two in B alone: 2 (1 + 8 + 28) / 256.
    assert paired(report, other) == ("6", "2", "p = 0.29, McNemar's test")
    assert paired(other, report) == ("2", "6", "p = 0.29, McNemar's test")
    assert paired(report, report) == ("0", "0", "p = 1, McNemar's test")
    assert "alone 6 2 p = 0.29" in " ".join(compare(report, other).split())
    assert "p = 0.29" in compare_html(report, other)
    # Another model encodes the same samples in its own way.
    assert paired(report, other | {"data_sha256": "another"})[2] == "p = 0.29, McNemar's test"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"correct": {}}, "not paired: a run has not recorded which samples are right"),
        ({"correct": {"float": 3}}, "not paired: a run has not recorded which samples are right"),
        ({"correct": {"float": "101"}}, "not paired: the runs saw other samples"),
        ({"labels_sha256": "cd"}, "not paired: the runs saw other samples"),
        ({"labels_sha256": None}, "not paired: the runs saw other samples"),
        ({"seed": 8}, "not paired: the runs saw other samples"),
        ({"data": "others"}, "not paired: the runs saw other samples"),
    ],
)
def test_runs_over_other_samples_are_not_paired(report, change, why):
    report["predictions"] |= {"correct": {"float": "1100"}, "labels_sha256": "ab"}
    other = copy.deepcopy(report) | {"data_sha256": "another"}
    place = other if set(change) <= set(other) else other["predictions"]
    place |= change
    assert paired(report, other) == ("", "", why)
    assert paired(other, report) == ("", "", why)


def test_compare_of_empty_reports():
    assert "not measured" in compare({}, {})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (count(12345), "12 345"),
        (count(-1234567), "−1 234 567"),
        (count(12.54), "12.5"),
        (count(3.0), "3"),
        (count(1234.5), "1 234"),
        (count(0.00123), "0.00123"),
        (count(None), "not measured"),
        (count(float("nan")), "not measured"),
        (count(True), "not measured"),
        (percent(0.9345), "93.5 %"),
        (joules(0), "0 J"),
        (joules(1.85e-8), "18.5 nJ"),
        (joules(999.6e-9), "1.00 µJ"),
        (joules(23.6e-12), "23.6 pJ"),
        (joules(2e-15), "0.00 pJ"),
        (joules(1.66e-3), "1.66 mJ"),
        (seconds(0.0123), "12.3 ms"),
        (seconds(95), "95.0 s"),
        (seconds(1234), "1 234 s"),
        (ratio(0.2), "0.20×"),
        (ratio(1234), "1 234×"),
        (shorten("abcdefghij", 7), "abc…hij"),
        (shorten("abc", 7), "abc"),
        (plain("a\nb\ud800"), "a\ufffdb?"),
    ],
)
def test_figures(written, expected):
    assert written.replace("\u202f", " ").replace("\u00a0", " ") == expected


def test_ticks_are_round_and_within():
    assert round_ticks(-87000, 121000) == [-50000, 0, 50000, 100000]
    assert round_ticks(0, 7, 8) == list(range(8))
    assert round_ticks(3, 3) == [3]


def test_labels_are_kept_apart_and_inside():
    placed = spread([10, 11, 12, 200], 13, 0, 205)
    assert placed == [10, 23, 36, 200]
    assert spread([200, 203], 13, 0, 205) == [192, 205]


def test_what_quantization_lost_is_one_row():
    nodes = {
        "a": {"weight_error": 0.004, "spike_mismatches": 2,
              "spikes_compared": 1000},
        "b": {"weight_error": 0.002, "spike_mismatches": 50,
              "spikes_compared": 1000},
    }  # fmt: skip
    found = {"exact": False, "calibration": None, "nodes": nodes}
    text = " ".join(summary(SYNTHETIC | {"quantization": found}).split())
    assert "quantized without calibration, by its values alone; weights within 0.4 %" in text
    assert "weights within 0.4 %; 0.2 % to 5.0 % of a node's spike values differ" in text
    assert "exact: every value" in summary(SYNTHETIC | {"quantization": {"exact": True}})
    assert "quantization" not in summary(SYNTHETIC | {"quantization": None})
