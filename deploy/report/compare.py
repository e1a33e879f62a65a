"""Two runs side by side: the key figures of both and by how much they differ."""

from collections.abc import Callable
from typing import Any

from deploy.report import words
from deploy.report.figures import MINUS, NOT_MEASURED, count, joules, percent, seconds
from deploy.report.html import page
from deploy.report.markup import Child, el, table, value
from deploy.report.read import at, items, mapping, number, numbers, pair

Row = tuple[str, str, str, str]
COUNTS = ("synaptic_ops", "neuron_updates", "spikes", "messages", "hops", "weight_bytes")


def compare_rows(a: object, b: object) -> list[Row]:
    """(figure, in A, in B, difference) for everything that two reports can be compared in."""
    rows = [
        _same(key, at(a, key), at(b, key)) for key in ("model", "target", "data_sha256", "seed")
    ]
    rows.append(_same("result", words.status(a), words.status(b)))
    rows += [_figure(key, at(a, key), at(b, key), count) for key in ("samples", "timesteps")]
    rows += [_accuracy(e, words.accuracy(a, e), words.accuracy(b, e)) for e in words.TITLES]
    for kind, key in (("spike", "spike_mismatches"), ("state", "state_mismatches")):
        rows.append(_figure(f"{kind} mismatches", _mismatches(a, key), _mismatches(b, key), count))
    rows.append(_figure("cores used", at(a, "cores", "used"), at(b, "cores", "used"), count))
    rows.append(_figure("chips", at(a, "cores", "chips"), at(b, "cores", "chips"), count))
    for key in COUNTS:
        first, second = (at(r, "counts", key, "total") for r in (a, b))
        rows.append(_figure(key.replace("_", " "), first, second, count))
    energy = [_totals(r) for r in (a, b)]
    for name in dict.fromkeys([*energy[0], *energy[1]]):
        rows.append(_figure(f"energy, {name}", energy[0].get(name), energy[1].get(name), joules))
    rows.append(_figure("ANN baseline", words.baseline_total(a), words.baseline_total(b), joules))
    rows.append(_figure("time", _time(a), _time(b), seconds))
    return rows


def compare_html(a: object, b: object) -> str:
    """`compare_rows` as one self-contained HTML page."""
    cells: list[list[Child]] = [
        [name, value(first), value(second), change]
        for name, first, second, change in compare_rows(a, b)
    ]
    return page(
        "Two runs",
        el("header", el("p", "neuroclip", cls="kicker"), el("h1", "Two runs side by side")),
        el(
            "main", table(["", "A", "B", "difference"], cells, "lrrr", "Key figures, per inference")
        ),
    )


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


def _accuracy(executor: str, a: dict[str, Any] | None, b: dict[str, Any] | None) -> Row:
    """Accuracy differs in points, and is called within the intervals where those overlap."""
    x, y = number(at(a, "value")), number(at(b, "value"))
    change = ""
    if x is not None and y is not None:
        change = "same" if x == y else _signed(100 * (y - x), " points")
        ends = [pair([at(e, "low"), at(e, "high")]) for e in (a, b)]
        if x != y and ends[0] and ends[1] and ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]:
            change += ", intervals overlap"
    return f"accuracy {words.TITLES[executor]}", percent(x), percent(y), change


def _mismatches(report: object, key: str) -> int | float | None:
    found = [n for p in words.parity_pairs(report) if (n := number(at(p, key))) is not None]
    return sum(found) if found else None


def _totals(report: object) -> dict[str, int | float]:
    return numbers(
        {str(at(e, "coefficients")): at(e, "total_j") for e in items(at(report, "energy"))}
    )


def _time(report: object) -> int | float | None:
    timings = numbers(mapping(at(report, "timings")))
    return timings.get("total", sum(timings.values())) if timings else None
