"""The spike raster of one sample: a band per node, a row per neuron, a tick per spike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.svg import Child, Drawing, el, picture, step_ticks, text
from deploy.report.words.figures import count, percent, shorten

WIDTH, LEFT, RIGHT, TOP, GAP, AXIS = 760, 120, 130, 4, 10, 34
# More rows than this cannot be told apart on a page; an even selection is drawn and said so.
MAX_ROWS = 128
# A graded message is drawn in one of so many strengths of its colour.
LEVELS = 3


@dataclass(frozen=True, eq=False)
class Band:
    """What one node sent in one sample: integers [time, *shape], 0 is silence; what its rows are."""

    name: str
    values: NDArray[Any]
    unit: str


def raster(bands: Sequence[Band], label: str) -> Drawing:
    """Draw the recordings of one sample, a band per node.

    Graded messages are drawn in three strengths of |message|, negative ones in a second colour.
    """
    timesteps = max(len(band.values) for band in bands)
    drawn: list[Child] = []
    y = float(TOP)
    for band in bands:
        height, drawing = _band(band, timesteps, y)
        drawn.append(drawing)
        y += height + GAP
    drawn.append(time_axis(timesteps, y - GAP / 2, WIDTH - LEFT - RIGHT, LEFT))
    return picture(WIDTH, y + AXIS, label, *drawn)


def time_axis(timesteps: int, y: float, width: float, left: float) -> Drawing:
    """Labelled steps below a figure whose columns are time steps."""
    column = width / timesteps
    return el(
        "g",
        *(
            text(str(t), round(left + (t + 0.5) * column, 1), y + 14, None, "middle")
            for t in step_ticks(timesteps)
        ),
        text("time step", left + width / 2, y + 30, None, "middle"),
        cls="tick",
    )


def _band(band: Band, timesteps: int, y: float) -> tuple[float, Drawing]:
    name, values = band.name, band.values.reshape(len(band.values), -1)
    neurons = values.shape[1]
    rows = np.arange(neurons)
    if neurons > MAX_ROWS:
        rows = np.linspace(0, neurons - 1, MAX_ROWS).round().astype(np.int64)
    height = float(min(150, max(30, 4 * len(rows))))
    width = WIDTH - LEFT - RIGHT
    fired = int(np.count_nonzero(values))
    share = fired / max(1, values.size)
    scaled = f"translate({LEFT} {y:g}) scale({width / timesteps:.5g} {height / len(rows):.5g})"
    return height, el(
        "g",
        el("title", f"{name}: {count(fired)} messages, {percent(share)} of {band.unit} and steps"),
        el("rect", x=LEFT, y=y, width=width, height=height, cls="band"),
        el("g", *_marks(values[:, rows]), transform=scaled),
        text(shorten(name, 15), LEFT - 10, y + 13, "name", "end"),
        text(f"{count(neurons)} {band.unit}", LEFT - 10, y + 26, "tick", "end"),
        text(f"{MAX_ROWS} shown", LEFT - 10, y + 39, "tick", "end")
        if len(rows) < neurons
        else None,
        text(count(fired) if fired else "silent", WIDTH - RIGHT + 10, y + 13, "name"),
        text(percent(share), WIDTH - RIGHT + 10, y + 26, "tick"),
    )


def _marks(values: NDArray[Any]) -> list[Drawing]:
    """One path per sign and strength, in units of one step by one row."""
    largest = int(np.abs(values.astype(np.int64)).max(initial=0))
    marks = []
    for sign, colour in ((1, "spike"), (-1, "spike negative")):
        strength = np.ceil(np.maximum(values.astype(np.int64) * sign, 0) / max(1, largest) * LEVELS)
        for level in range(1, LEVELS + 1):
            where = np.argwhere(strength == level)
            if len(where):
                path = "".join(f"M{t + 0.15:g} {n + 0.5:g}h.7" for t, n in where.tolist())
                marks.append(el("path", d=path, cls=f"{colour} level{level}"))
    return marks
