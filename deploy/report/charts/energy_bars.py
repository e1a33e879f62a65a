"""Energies as stacked bars, one a coefficient set, a colour a category."""

from collections.abc import Sequence

from deploy.report.charts.svg import Child, Drawing, el, join, picture, text
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
        name = join([el("title", title), shorten(title, 22)])
        drawn.append(text(name, LEFT - 10, y + 15, None, "end"))
        for part, energy in parts.items():
            width = energy / largest * (WIDTH - LEFT - RIGHT)
            # A hair of space between the parts, where a part is wide enough to lose it.
            shown = round(width - 1 if width > 4 else max(width, 0), 2)
            place = {"x": round(x, 2), "y": y, "width": shown, "height": BAR}
            said = el("title", f"{title}, {part}: {joules(energy)}")
            drawn.append(el("rect", said, cls=f"energy c{colour[part]}", **place))
            x += max(width, 0)
        drawn.append(text(joules(total), round(x + 8, 1), y + 15, "total"))
    label = "Energy per inference by coefficient set and category"
    return picture(WIDTH, len(bars) * ROW, label, *drawn)
