"""Membrane potentials of read-out integrators over time, the winner and the label set apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.raster import time_axis
from deploy.report.charts.svg import Child, Drawing, el, picture, round_ticks, spread, text
from deploy.report.words.figures import count, shorten

WIDTH, HEIGHT, LEFT, RIGHT, TOP, AXIS = 760, 240, 120, 130, 12, 34
# Lines beyond these are left out, labels beyond these would overlap; both are said.
MAX_LINES, MAX_LABELS = 64, 12


def potentials(
    values: NDArray[Any], titles: Sequence[str], wanted: int | None, label: str
) -> Drawing:
    """Draw v of one sample. values: int32 [time, *shape]; titles: one per neuron; wanted: the label.

    The highest potential after the last step is drawn strong; the wanted class, where it is another
    one, is dashed in a second colour.
    """
    v = values.reshape(len(values), -1).astype(np.int64)
    best = int(v[-1].argmax())
    shown = sorted(
        {*range(min(MAX_LINES, v.shape[1])), best, *([] if wanted is None else [wanted])}
    )
    low, high = min(0, int(v.min())), max(1, int(v.max()))
    width = WIDTH - LEFT - RIGHT

    def x(t: int) -> float:
        return round(LEFT + (t + 0.5) * width / len(v), 1)

    def y(potential: float) -> float:
        return round(TOP + (high - potential) / (high - low) * HEIGHT, 1)

    named = shown if len(shown) <= MAX_LABELS else [i for i in shown if i in (best, wanted)]
    heights = spread([y(int(v[-1, i])) for i in named], 13, TOP + 4, TOP + HEIGHT)
    parts: list[Child] = []
    for tick in round_ticks(low, high):
        parts.append(el("line", x1=LEFT, x2=LEFT + width, y1=y(tick), y2=y(tick), cls="rule"))
        parts.append(text(count(tick), LEFT - 10, y(tick) + 4, "tick", "end"))
    # The strong lines last, so that they lie on top.
    for i in sorted(shown, key=lambda i: (i == best, i == wanted)):
        points = " ".join(f"{x(t)},{y(int(v[t, i]))}" for t in range(len(v)))
        parts.append(
            el("polyline", el("title", titles[i]), points=points, cls=f"v {_kind(i, best, wanted)}")
        )
    for i, at in zip(named, heights, strict=True):
        mark = " ◂ highest" if i == best else " ◂ label" if i == wanted else ""
        kind, said = _kind(i, best, wanted), shorten(titles[i], 12) + mark
        parts.append(text(said, LEFT + width + 10, round(at + 4, 1), f"end {kind}"))
    parts.append(time_axis(len(v), TOP + HEIGHT + 2, width, LEFT))
    return picture(WIDTH, TOP + HEIGHT + AXIS, label, *parts)


def _kind(i: int, best: int, wanted: int | None) -> str:
    return "best" if i == best else "wanted" if i == wanted else "other"
