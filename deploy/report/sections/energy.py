"""Energy: every coefficient set side by side, all sources named, then a dense ANN like for like."""

from deploy.report.charts.svg import picture
from deploy.report.sections.baseline import baseline_part
from deploy.report.words import sentences as words
from deploy.report.words.figures import joules, shorten
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at, items, number, numbers

WIDTH, LEFT, RIGHT, ROW, BAR = 760, 170, 80, 34, 20
# Colours after Okabe and Ito, told apart by colour-blind readers; further categories share the last.
COLOURS = 7


def energy_section(report: object) -> Markup:
    """Range in words, stacked bars per set, what each includes and excludes, and the ANN."""
    sets = [e for e in items(at(report, "energy")) if number(at(e, "total_j")) is not None]
    bars = [(str(at(e, "coefficients")), _parts(e), at(e, "total_j")) for e in sets]
    if not bars:
        nothing = el("p", missing(), " – no coefficient set was applied.")
        return section("energy", "Energy", nothing, baseline_part(report))
    return section(
        "energy",
        "Energy",
        el(
            "p",
            el("strong", value(words.energy_sentence(report))),
            " per inference over all coefficient sets. These are operation counts times "
            "published coefficients, not a measurement on a chip; one figure alone would mislead."
            + _never_included(sets),
        ),
        _bars(bars),
        _scope(sets),
        baseline_part(report),
    )


def _never_included(sets: list[object]) -> str:
    """What every coefficient set leaves out, as a sentence."""
    left_out = [[str(x) for x in items(at(e, "excluded"))] for e in sets]
    common = [x for x in left_out[0] if all(x in found for found in left_out)] if left_out else []
    return f" Not included in any: {', '.join(common)}." if common else ""


def _parts(entry: object) -> dict[str, int | float]:
    """Joules per category, with what the categories do not add up to as "not broken down"."""
    parts = numbers(at(entry, "joules"))
    rest = (number(at(entry, "total_j")) or 0) - sum(parts.values())
    if rest > 1e-6 * max(1e-30, number(at(entry, "total_j")) or 0):
        parts["not broken down"] = rest
    return parts


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
            _range(e),
            _listed(at(e, "included")),
            _listed(at(e, "excluded")),
            str(at(e, "source")) if at(e, "source") else missing("no source stated"),
        ]
        for e in sets
    ]
    head = ["coefficients", "range", "included", "excluded", "source"]
    return table(
        head, rows, "lrlll", "What each figure covers, and where its coefficients are from"
    )


def _range(entry: object) -> str:
    """From the low end of a set, idle neurons and no zero weights, to its cautious total."""
    low, total = number(at(entry, "low_j")), number(at(entry, "total_j"))
    return words.between(None if total is None else (total if low is None else low, total), joules)


def _listed(entries: object) -> Child:
    return ", ".join(str(x) for x in items(entries)) or missing("not stated")
