"""Bars of what differs between two runs."""

from collections.abc import Sequence

from deploy.report.charts.bands import band, figure, stretched
from deploy.report.charts.svg import Drawing, el
from deploy.report.words.figures import count, percent

HEIGHT = 14


def change_bars(rows: Sequence[tuple[str, float, str]]) -> Drawing:
    """Bars to the right for more, to the left for less: (figure, change in percent, how it is written)."""
    largest = max((abs(x) for _, x, _ in rows), default=0.0) or 1.0
    drawn = []
    for name, x, said in rows:
        width = 50 * abs(x) / largest
        left = 50.0 if x > 0 else 50 - width
        place = {"x": round(left, 2), "y": 0, "width": round(width, 2), "height": HEIGHT}
        bar = el("rect", **place, cls="more" if x > 0 else "less")
        middle = el("rect", x=49.9, y=0, width=0.2, height=HEIGHT, cls="middle")
        drawn.append(band(name, [], stretched(100, HEIGHT, bar, middle), [said]))
    return figure("Relative change of figures from A to B", *drawn, cls="bars changes")


def differing_bars(parts: Sequence[tuple[str, int, int]], label: str) -> Drawing:
    """A bar for each part: (name, values that differ, of how many)."""
    drawn = []
    for name, differ, of in parts:
        share = differ / max(1, of)
        bar = el("rect", x=0, y=0, width=round(100 * share, 3), height=HEIGHT, cls="more")
        said = [f"{count(differ)} of {count(of)}", percent(share)]
        drawn.append(band(name, [], stretched(100, HEIGHT, bar), said))
    return figure(label, *drawn, cls="bars changes")
