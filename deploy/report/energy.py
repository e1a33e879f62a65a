"""Energy: every coefficient set side by side, the ANN baseline beside them, all sources named."""

from collections.abc import Mapping

from deploy.report import words
from deploy.report.figures import count, joules, ratio, shorten
from deploy.report.markup import Child, Markup, el, missing, section, table, value
from deploy.report.read import at, items, mapping, number, numbers
from deploy.report.svg import picture

WIDTH, LEFT, RIGHT, ROW, BAR = 760, 170, 80, 34, 20
# Colours after Okabe and Ito, told apart by colour-blind readers; further categories share the last.
COLOURS = 7


def energy_section(report: object) -> Markup:
    """Range in words, stacked bars per set, what each includes and excludes, and the baseline."""
    sets = [e for e in items(at(report, "energy")) if number(at(e, "total_j")) is not None]
    baseline = words.baseline_total(report)
    bars = [(str(at(e, "coefficients")), _parts(e), at(e, "total_j")) for e in sets]
    if baseline is not None:
        bars.append(
            (
                f"ANN: {at(report, 'baseline', 'name') or 'baseline'}",
                _ann(report, baseline),
                baseline,
            )
        )
    if not bars:
        return section("energy", "Energy", el("p", missing(), " – no coefficient set was applied."))
    return section(
        "energy",
        "Energy",
        el(
            "p",
            el("strong", value(words.energy_sentence(report))),
            " per inference over all coefficient sets. These are operation counts times "
            "published coefficients, not a measurement on a chip; one figure alone would mislead.",
        ),
        el("p", _against(report, baseline), cls="note") if baseline else None,
        _bars(bars),
        _scope(sets) if sets else None,
        _baseline(report),
    )


def _parts(entry: object) -> dict[str, int | float]:
    """Joules per category, with what the categories do not add up to as "not broken down"."""
    parts = numbers(at(entry, "joules"))
    rest = (number(at(entry, "total_j")) or 0) - sum(parts.values())
    if rest > 1e-6 * max(1e-30, number(at(entry, "total_j")) or 0):
        parts["not broken down"] = rest
    return parts


def _ann(report: object, total: float) -> dict[str, int | float]:
    parts = _parts({"joules": at(report, "baseline", "joules"), "total_j": total})
    return {f"ANN {name}" if not name.startswith("not ") else name: x for name, x in parts.items()}


def _against(report: object, baseline: float) -> str:
    limits = words.energy_range(report)
    if limits is None:
        return f"The dense ANN baseline: {joules(baseline)}."
    low, high = limits[0] / baseline, limits[1] / baseline
    factors = f"{ratio(low)} to {ratio(high)}" if low != high else ratio(low)
    text = f"That is {factors} the {joules(baseline)} of the dense ANN baseline: "
    if high < 1:
        return text + "less under every coefficient set."
    if low > 1:
        return text + "more under every coefficient set."
    return text + "whether it saves energy depends on the coefficient set."


def _bars(bars: list[tuple[str, dict[str, int | float], int | float]]) -> Markup:
    names = list(dict.fromkeys(name for _, parts, _ in bars for name in parts))
    colour = {name: min(i, COLOURS - 1) for i, name in enumerate(names)}
    largest = max(sum(parts.values()) for _, parts, _ in bars) or 1
    drawn: list[Child] = []
    for i, (title, parts, total) in enumerate(bars):
        y, x = i * ROW, float(LEFT)
        text = el(
            "text", el("title", title), shorten(title, 22), x=LEFT - 10, y=y + 15, text_anchor="end"
        )
        drawn.append(text)
        for name, energy in parts.items():
            width = energy / largest * (WIDTH - LEFT - RIGHT)
            drawn.append(
                el(
                    "rect",
                    el("title", f"{title}, {name}: {joules(energy)}"),
                    x=round(x, 2),
                    y=y,
                    # A hair of space between the parts, where a part is wide enough to lose it.
                    width=round(width - 1 if width > 4 else max(width, 0), 2),
                    height=BAR,
                    cls=f"energy c{colour[name]}",
                )
            )
            x += max(width, 0)
        drawn.append(el("text", joules(total), x=round(x + 8, 1), y=y + 15, cls="total"))
    legend = el(
        "p",
        *(el("span", el("i", cls=f"swatch c{colour[n]}"), n.replace("_", " ")) for n in names),
        cls="legend",
    )
    label = "Energy per inference by coefficient set and category"
    return Markup(legend + picture(WIDTH, len(bars) * ROW, label, *drawn))


def _scope(sets: list[object]) -> Markup:
    rows: list[list[Child]] = [
        [
            str(at(e, "coefficients")),
            joules(at(e, "total_j")),
            _listed(at(e, "included")),
            _listed(at(e, "excluded")),
            str(at(e, "source")) if at(e, "source") else missing("no source stated"),
        ]
        for e in sets
    ]
    head = ["coefficients", "total", "included", "excluded", "source"]
    return table(
        head, rows, "lrlll", "What each figure covers, and where its coefficients are from"
    )


def _listed(entries: object) -> Child:
    return ", ".join(str(x) for x in items(entries)) or missing("not stated")


def _baseline(report: object) -> Markup:
    baseline = mapping(at(report, "baseline"))
    if not baseline:
        return el("p", "ANN baseline: ", missing())
    operations: Mapping[str, int | float] = numbers(baseline.get("operations"))
    parts = numbers(baseline.get("joules"))
    rows: list[list[Child]] = [
        [
            name.replace("_", " "),
            count(operations[name]) if name in operations else "",
            joules(parts[name]) if name in parts else "",
        ]
        for name in dict.fromkeys([*operations, *parts])
    ]
    total = joules(words.baseline_total(report))
    title = f"ANN baseline: {baseline.get('name') or 'unnamed'}"
    return Markup(
        table(["", "operations", "energy"], rows, "lrr", title, ["total", "", value(total)])
        + (el("p", str(baseline["note"]), cls="note") if baseline.get("note") else "")
    )
