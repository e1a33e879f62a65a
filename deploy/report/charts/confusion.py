"""Which classes were taken for which, and how many of each class are right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.bands import band, figure, stretched
from deploy.report.charts.svg import Child, Drawing, el
from deploy.report.words.figures import count, percent, shorten

# Classes of a matrix whose cells can be told apart, and of one whose counts can be read.
MAX_MATRIX, MAX_WRITTEN = 30, 12
# Upper ends of the shares of a row, from which its shade follows.
SHADES = (0.1, 0.4, 0.7, 1.0)


def matrix(counts: NDArray[np.int64], names: Sequence[str]) -> Drawing:
    """Counts [true class, predicted class], a row shaded by its shares; on the diagonal is what is right."""
    written = len(names) <= MAX_WRITTEN
    heads = [el("th", el("span", shorten(name, 12), title=name), scope="col") for name in names]
    rows: list[Child] = []
    for i, name in enumerate(names):
        total = int(counts[i].sum())
        cells = [
            _cell(int(n), total, i == j, written, f"{name} taken for {names[j]}: {count(int(n))}")
            for j, n in enumerate(counts[i])
        ]
        rows.append(el("tr", el("th", shorten(name, 12), scope="row", title=name), *cells))
    return el(
        "table",
        el("caption", "Label, a row each, against prediction"),
        el("thead", el("tr", el("td"), *heads)),
        el("tbody", *rows),
        cls="confusion",
    )


def _cell(n: int, total: int, right: bool, written: bool, said: str) -> Drawing:
    if not n:
        return el("td", cls="right" if right else None)
    share = n / max(1, total)
    shade = next(i for i, end in enumerate(SHADES) if share <= end)
    kind = f"load{shade} right" if right else f"load{shade}"
    return el("td", count(n) if written else "", cls=kind, title=said)


def class_bars(rows: Sequence[tuple[str, int, int]]) -> Drawing:
    """A bar for each class: (name, right, of how many)."""
    drawn = []
    for name, right, total in rows:
        share = right / max(1, total)
        bar = stretched(100, 14, el("rect", x=0, y=0, width=round(100 * share, 2), height=14))
        drawn.append(band(name, [], bar, [percent(share, 0), f"{count(right)} of {count(total)}"]))
    return figure("Share of each class that is right", *drawn, cls="bars classes")
