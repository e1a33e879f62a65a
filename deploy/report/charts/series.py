"""Curves over time steps, and a map of cores over time steps, on one axis of steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.raster import time_axis
from deploy.report.charts.svg import Child, Drawing, el, picture, text
from deploy.report.words.figures import count, shorten
from deploy.report.words.read import items, number

WIDTH, LEFT, RIGHT, HEIGHT, GAP, AXIS = 760, 150, 90, 56, 14, 34
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
    drawn: list[Child] = []
    y = 4.0
    for title, group, largest in named:
        top = scale or max((max(each) for each in group), default=0.0) or 1.0
        drawn += [
            el("rect", x=LEFT, y=y, width=WIDTH - LEFT - RIGHT, height=HEIGHT, cls="band"),
            el("path", d=_area(group, steps, top, y), cls="area"),
            text(title, LEFT - 10, y + 13, "name", "end"),
            text(largest, WIDTH - RIGHT + 10, y + 13, "name"),
            text("largest step", WIDTH - RIGHT + 10, y + 26, "tick"),
        ]
        y += HEIGHT + GAP
    drawn.append(time_axis(steps, y - GAP + 2, WIDTH - LEFT - RIGHT, LEFT))
    return picture(WIDTH, y + AXIS, label, *drawn)


def _area(group: Sequence[list[float]], steps: int, top: float, y: float) -> str:
    """The path around the space below one curve, or between two, in steps as wide as they last."""
    width = (WIDTH - LEFT - RIGHT) / steps

    def points(values: Sequence[float]) -> list[str]:
        found = []
        for t, value in enumerate(values):
            height = y + HEIGHT - max(0.0, value) / top * (HEIGHT - 2)
            found += [f"{LEFT + (t + i) * width:.1f} {height:.1f}" for i in (0, 1)]
        return found

    upper = points(group[-1])
    lower = points(group[0]) if len(group) > 1 else points([0.0] * len(group[0]))
    return f"M{'L'.join([*upper, *reversed(lower)])}Z"


def heat(rows: Sequence[str], values: NDArray[np.float64], label: str) -> Drawing:
    """A map of shares of the largest value: [rows, steps], a row for each name."""
    largest = float(values.max(initial=0.0)) or 1.0
    shown = values[:MAX_ROWS]
    steps, row = shown.shape[1], min(16.0, max(4.0, 320 / max(1, len(shown))))
    height, width = row * len(shown), WIDTH - LEFT - RIGHT
    drawn: list[Child] = [el("rect", x=LEFT, y=4, width=width, height=height, cls="band")]
    scaled = f"translate({LEFT} 4) scale({width / steps:.5g} {row:.5g})"
    classes = np.searchsorted(SHARES, shown / largest)
    paths: list[Child] = []
    for each in range(len(SHARES)):
        where = np.argwhere((classes == each) & (shown > 0))
        if len(where):
            d = "".join(f"M{t} {n + 0.5:g}h1" for n, t in where.tolist())
            paths.append(el("path", d=d, cls=f"cell heat{each}"))
    drawn.append(el("g", *paths, transform=scaled))
    every = -(-12 // row)
    drawn += [
        text(shorten(name, 20), LEFT - 10, 4 + (i + 0.8) * row, "tick", "end")
        for i, name in enumerate(rows[: len(shown)])
        if i % every == 0
    ]
    drawn.append(text(count(largest), WIDTH - RIGHT + 10, 16, "name"))
    drawn.append(text("largest", WIDTH - RIGHT + 10, 29, "tick"))
    drawn.append(time_axis(steps, height + 6, width, LEFT))
    return picture(WIDTH, height + AXIS + 10, label, *drawn)
