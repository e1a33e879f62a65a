"""Energies as stacked bars, one a coefficient set, a colour a category."""

from collections.abc import Sequence

from deploy.report.charts.bands import band, figure, stretched
from deploy.report.charts.svg import Drawing, el
from deploy.report.words.figures import joules

WIDTH, BAR = 500, 20
# Colours after Okabe and Ito, told apart by colour-blind readers; further categories share the last.
COLOURS = 7

# (coefficient set, joules per category, its total).
Bars = Sequence[tuple[str, dict[str, int | float], int | float]]


def colours(bars: Bars) -> dict[str, int]:
    """The colour of every category."""
    names = dict.fromkeys(name for _, parts, _ in bars for name in parts)
    return {name: min(i, COLOURS - 1) for i, name in enumerate(names)}


def energy_bars(bars: Bars) -> Drawing:
    """A bar for each set, as long as what its categories add up to."""
    colour = colours(bars)
    largest = max(sum(parts.values()) for _, parts, _ in bars) or 1
    rows = []
    for title, parts, total in bars:
        drawn, x = [], 0.0
        for part, energy in parts.items():
            width = energy / largest * WIDTH
            # A hair of space between the parts, where a part is wide enough to lose it.
            shown = round(width - 1 if width > 4 else max(width, 0), 2)
            place = {"x": round(x, 2), "y": 0, "width": shown, "height": BAR}
            said = el("title", f"{title}, {part}: {joules(energy)}")
            drawn.append(el("rect", said, cls=f"energy c{colour[part]}", **place))
            x += max(width, 0)
        rows.append(band(title, [], stretched(WIDTH, BAR, *drawn), [joules(total)]))
    return figure("Energy per inference by coefficient set and category", *rows, cls="bars")
