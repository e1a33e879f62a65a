"""Energies as stacked bars, one a coefficient set, a colour a category."""

from collections.abc import Sequence

from deploy.report.charts.svg import Child, Drawing, el, picture
from deploy.report.words.figures import joules, shorten

WIDTH, LEFT, RIGHT, ROW, BAR = 760, 170, 80, 34, 20
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
    label = "Energy per inference by coefficient set and category"
    return picture(WIDTH, len(bars) * ROW, label, *drawn)
