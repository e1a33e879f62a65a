"""Two runs side by side: the key figures of both and by how much they differ."""

from collections.abc import Callable, Sequence
from typing import Any

from deploy.compare.mcnemar import discordant, mcnemar
from deploy.report.changed import Stage
from deploy.report.charts.changes import change_bars, differing_bars
from deploy.report.charts.series import curve, curves
from deploy.report.charts.svg import Drawing
from deploy.report.fill import fill
from deploy.report.words import sentences as words
from deploy.report.words.figures import MINUS, NOT_MEASURED, count, joules, percent, seconds
from deploy.report.words.read import at, items, number, numbers, pair
from deploy.report.words.verdict import verdict

Row = tuple[str, str, str, str]
COUNTS = (
    *("synaptic_ops", "synaptic_ops_dense", "neuron_updates", "spikes", "input_messages"),
    *("messages", "hops", "weight_bytes"),
)
# Bars of what differs most.
MAX_BARS = 12
# What is compared node by node, and step by step.
PARTS = {"synaptic_ops": "synaptic ops", "spikes": "spikes", "messages": "packets"}


def compare_rows(a: object, b: object) -> list[Row]:
    """(figure, in A, in B, difference) for everything that two reports can be compared in."""
    rows = [
        _same(key, at(a, key), at(b, key)) for key in ("model", "target", "data_sha256", "seed")
    ]
    rows.append(_same("identity", *(_short(at(r, "evidence", "identity")) for r in (a, b))))
    for name in ("program.npz", "trace.npz", "mapping.json"):
        rows.append(_same(name, *(_short(at(r, "evidence", "files", name)) for r in (a, b))))
    rows.append(_same("result", verdict(a).word, verdict(b).word))
    rows.append(_same("chip", words.chip(a) or None, words.chip(b) or None))
    rows += [_figure(key, at(a, key), at(b, key), count) for key in ("samples", "timesteps")]
    shown = words.titles(a) | words.titles(b)
    for executor in (e for e in words.TITLES if e in shown):
        rows += _accuracy(executor, a, b)
    for kind, key in (("spike", "spike_mismatches"), ("state", "state_mismatches")):
        rows.append(_figure(f"{kind} mismatches", _mismatches(a, key), _mismatches(b, key), count))
    entries = [
        ("cores used", count, ("cores", "used")),
        ("chips", count, ("cores", "chips")),
        ("neurons, fullest core", percent, ("cores", "utilisation", "neurons", "max")),
        ("synapse words, fullest core", percent, ("cores", "utilisation", "synapse_words", "max")),
        *((key.replace("_", " "), count, ("counts", key, "total")) for key in COUNTS),
        ("spikes per neuron and step", percent, ("counts", "spike_rate")),
        ("busiest link, packets", count, ("traffic", "busiest_link")),
        ("mean of the links in use, packets", count, ("traffic", "mean_link")),
    ]
    rows += [_figure(name, at(a, *path), at(b, *path), form) for name, form, path in entries]
    for key, end in (("total_j", ""), ("low_j", ", low end")):
        energy = [_of_sets(r, key) for r in (a, b)]
        for name in dict.fromkeys([*energy[0], *energy[1]]):
            ends = energy[0].get(name), energy[1].get(name)
            rows.append(_figure(f"energy, {name}{end}", ends[0], ends[1], joules))
    times = [_inference(r) for r in (a, b)]
    for name in dict.fromkeys([*times[0], *times[1]]):
        for i, end in enumerate(("low", "high")):
            of_end = [t[name][i] if name in t else None for t in times]
            rows.append(_figure(f"inference, {name}, {end} end", of_end[0], of_end[1], seconds))
    rows.append(_figure("ANN baseline", words.baseline_total(a), words.baseline_total(b), joules))
    systems = [pair(at(r, "system", "total_range_j")) for r in (a, b)]
    if any(systems):
        for i, end in enumerate(("low", "high")):
            of_end = [None if ends is None else ends[i] for ends in systems]
            rows.append(_figure(f"whole system, {end} end", of_end[0], of_end[1], joules))
    rows.append(_figure("time", words.total_time(a), words.total_time(b), seconds))
    return rows


def node_rows(a: object, b: object) -> list[Row]:
    """(node and count, in A, in B, difference) for every count of every node of either run."""
    rows = []
    for key, name in PARTS.items():
        found = [numbers(at(r, "counts", key, "per_node")) for r in (a, b)]
        for node in dict.fromkeys([*found[0], *found[1]]):
            rows.append(_figure(f"{node}: {name}", found[0].get(node), found[1].get(node), count))
    return rows


def compare_html(a: object, b: object, causes: Sequence[Stage] = ()) -> str:
    """Two runs as one self-contained HTML page: what changed first, by how much, and every figure.

    causes: where their folders first differ (`changed.stages`), where these are at hand.
    """
    rows, nodes = compare_rows(a, b), node_rows(a, b)
    differing = [row for row in rows if row[1] != row[2]]
    changes = [(row[0], x, row[3]) for row in [*differing, *nodes] if (x := _percent(row[3]))]
    first = next((s for s in causes if s.first is not None), None)
    return fill(
        "compare.html",
        title="Two runs",
        stages=causes,
        first=first,
        equal=", ".join(s.title for s in causes if s.compared and s.first is None),
        missing=", ".join(s.title for s in causes if not s.compared),
        parts=[
            (f"In {s.title}", differing_bars(s.parts[:MAX_BARS], f"What differs in {s.title}"))
            for s in causes
            if s.parts
        ],
        bars=change_bars(sorted(changes, key=lambda c: -abs(c[1]))[:MAX_BARS]) if changes else None,
        differing=differing,
        tables=[("Key figures, per inference", rows), ("Node by node, per inference", nodes)],
        steps=_steps(a, b),
    )


def _percent(change: str) -> float | None:
    """A relative change as a number, from how `_change` writes it; None for what is no such change."""
    figure = change.removesuffix(" %")
    return None if figure == change else float(figure.replace(MINUS, "-"))


def _steps(a: object, b: object) -> list[Drawing]:
    """Both runs on one scale, step by step; a run without totals of each step has no curve."""
    drawn = []
    for key, name in PARTS.items():
        found = [
            (f"{side}: {name}", [values], count(max(values)))
            for side, report in (("A", a), ("B", b))
            if (values := curve(at(report, "counts", "per_step", key))) is not None
        ]
        if found:
            largest = max(max(group[0]) for _, group, _ in found)
            drawn.append(curves(found, f"{name} of each step in both runs", largest or None))
    return drawn


def _short(digest: object) -> str | None:
    return None if digest is None else str(digest)[:12]


def _same(name: str, a: object, b: object) -> Row:
    texts = [NOT_MEASURED if x is None else str(x) for x in (a, b)]
    change = "" if None in (a, b) else "same" if a == b else "differs"
    short = [t[:12] if name == "data_sha256" and t != NOT_MEASURED else t for t in texts]
    return name.replace("_sha256", "").replace("_", " "), short[0], short[1], change


def _figure(name: str, a: object, b: object, form: Callable[[object], str]) -> Row:
    x, y = number(a), number(b)
    return name, form(x), form(y), "" if x is None or y is None else _change(x, y, form)


def _change(x: float, y: float, form: Callable[[object], str]) -> str:
    if x == y:
        return "same"
    if x == 0:
        return f"{'+' if y > 0 else ''}{form(y)}"
    return _signed(100 * (y - x) / abs(x), " %")


def _signed(x: float, unit: str) -> str:
    return f"{'+' if x > 0 else MINUS}{abs(x):.1f}{unit}"


def _accuracy(executor: str, a: object, b: object) -> list[Row]:
    """Accuracy of an executor, differing in points, and over the same samples the paired test."""
    name = f"accuracy {words.TITLES[executor]}"
    x, y = (number(at(words.accuracy(report, executor), "value")) for report in (a, b))
    if x is None or y is None:
        return [(name, percent(x), percent(y), "")]
    change = "same" if x == y else _signed(100 * (y - x), " points")
    alone = f"{words.TITLES[executor]}, right in one run alone"
    found = [at(report, "predictions", "correct", executor) for report in (a, b)]
    if why := _unpaired(a, b, found):
        paired = (alone, "", "", f"not paired: {why}")
    else:
        only = discordant(*found)
        paired = (
            alone,
            count(only[0]),
            count(only[1]),
            f"p = {mcnemar(*only):.2g}, McNemar's test",
        )
    return [(name, percent(x), percent(y), change), paired]


def _unpaired(a: object, b: object, found: list[Any]) -> str | None:
    """Why the samples of two runs cannot be taken in pairs; None where they can.

    They are the same where all messages are, or, since each model encodes them in its own way, where
    the name of the data, the seed that drew them, and all labels in their order are.
    """
    if not all(isinstance(text, str) and text for text in found):
        return "a run has not recorded which samples are right"
    keys = (("data_sha256",), ("data",), ("seed",), ("predictions", "labels_sha256"))
    messages, *others = (at(a, *key) is not None and at(a, *key) == at(b, *key) for key in keys)
    if len(found[0]) != len(found[1]) or not (messages or all(others)):
        return "the runs saw other samples"
    return None


def _mismatches(report: object, key: str) -> int | float | None:
    found = [n for p in words.parity_pairs(report) if (n := number(at(p, key))) is not None]
    return sum(found) if found else None


def _of_sets(report: object, key: str) -> dict[str, int | float]:
    """A figure of every coefficient set, by its name."""
    return numbers({str(at(e, "coefficients")): at(e, key) for e in items(at(report, "energy"))})


def _inference(report: object) -> dict[str, tuple[int | float, int | float]]:
    """The range of the time of an inference, by the name of the set."""
    found = {
        str(at(e, "coefficients")): pair(at(e, "inference_s")) for e in items(at(report, "latency"))
    }
    return {name: ends for name, ends in found.items() if ends is not None}
