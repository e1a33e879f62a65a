"""Curves over time steps, and a map of cores over time steps, on one axis of steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.bands import band, figure, steps_axis, stretched
from deploy.report.charts.pixels import binned, image, strengths
from deploy.report.charts.raster import MAX_COLUMNS
from deploy.report.charts.svg import Drawing, el
from deploy.report.words.figures import count
from deploy.report.words.read import items, number

HEIGHT = 56
# Upper ends of the classes of a map of shares; its largest value is the last class.
SHARES = (0.25, 0.5, 0.75, 1.0)
# More rows than these cannot be told apart on a page.
MAX_ROWS = 128


def curve(values: object) -> list[float] | None:
    """The finite numbers of a list, or None where it is not one of them throughout."""
    found = [number(x) for x in items(values)]
    return [float(x) for x in found if x is not None] if found and None not in found else None


def curves(
    named: Sequence[tuple[str, Sequence[list[float]], str]], label: str, scale: float | None = None
) -> Drawing:
    """Filled curves over time steps, one band for each name.

    named: (title, one or two curves of the same steps, what its largest value is written as). Of two
    curves the space between them is filled. scale: the value at the top of every band; each band's
    own largest where none is given.
    """
    steps = max(len(each) for _, group, _ in named for each in group)
    rows = []
    for title, group, largest in named:
        top = scale or max((max(each) for each in group), default=0.0) or 1.0
        area = el("path", d=_area(group, top), cls="area")
        rows.append(band(title, [], stretched(steps, HEIGHT, area), [largest, "largest step"]))
    return figure(label, *rows, steps_axis(steps), cls="curves")


def _area(group: Sequence[list[float]], top: float) -> str:
    """The path around the space below one curve, or between two, in steps as wide as they last."""

    def points(values: Sequence[float]) -> list[str]:
        heights = [HEIGHT - max(0.0, value) / top * (HEIGHT - 2) for value in values]
        return [f"{t + i} {height:.1f}" for t, height in enumerate(heights) for i in (0, 1)]

    upper = points(group[-1])
    lower = points(group[0]) if len(group) > 1 else points([0.0] * len(group[0]))
    return f"M{'L'.join([*upper, *reversed(lower)])}Z"


def heat(values: NDArray[np.float64], name: str, label: str) -> Drawing:
    """A map of shares of the largest value [rows, steps], the first row on top."""
    shown = binned(values, (MAX_ROWS, MAX_COLUMNS))
    height = min(320.0, max(30.0, 12.0 * len(shown)))
    drawn = image(strengths(shown), label, style=f"height:{height:g}px")
    largest = count(float(values.max(initial=0.0)))
    row = band(name, ["the first on top"], drawn, [largest, "largest"], label)
    return figure(label, row, steps_axis(values.shape[1]))
