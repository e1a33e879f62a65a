"""Membrane potentials of read-out integrators over time, the winner and the label set apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.bands import figure, stretched
from deploy.report.charts.svg import Drawing, el, round_ticks, spread, step_ticks
from deploy.report.words.figures import count, shorten

# Lines beyond these are left out, labels beyond these would overlap; both are said.
MAX_LINES, MAX_LABELS = 64, 12
# Time steps beyond these are drawn as an even choice.
MAX_STEPS = 256
HEIGHT = 100


def potentials(
    values: NDArray[Any], titles: Sequence[str], wanted: int | None, label: str
) -> Drawing:
    """Draw v of one sample. values: int32 [time, *shape]; titles: one per neuron; wanted: the label.

    The highest potential after the last step is drawn strong; the wanted class, where it is another
    one, is dashed in a second colour.
    """
    v = values.reshape(len(values), -1).astype(np.int64)
    steps = np.linspace(0, len(v) - 1, min(len(v), MAX_STEPS)).round().astype(int).tolist()
    best = int(v[-1].argmax())
    shown = sorted(
        {*range(min(MAX_LINES, v.shape[1])), best, *([] if wanted is None else [wanted])}
    )
    low, high = min(0, int(v.min())), max(1, int(v.max()))

    def y(potential: float) -> float:
        return round((high - potential) / (high - low) * HEIGHT, 1)

    # The strong lines last, so that they lie on top.
    lines = [
        el("polyline", el("title", titles[i]), cls=f"v {_kind(i, best, wanted)}",
           points=" ".join(f"{t + 0.5:g},{y(int(v[t, i]))}" for t in steps))
        for i in sorted(shown, key=lambda i: (i == best, i == wanted))
    ]  # fmt: skip
    ticks = round_ticks(low, high)
    rules = [el("line", x1=0, x2=len(v), y1=y(tick), y2=y(tick), cls="rule") for tick in ticks]
    named = shown if len(shown) <= MAX_LABELS else [i for i in shown if i in (best, wanted)]
    heights = spread([y(int(v[-1, i])) for i in named], 8, 2, 98)
    marks = {i: " ◂ label" for i in [wanted] if i is not None} | {best: " ◂ highest"}
    names = [
        el("span", shorten(titles[i], 14) + marks.get(i, ""),
           cls=f"end {_kind(i, best, wanted)}", style=f"top:{at:.1f}%")
        for i, at in zip(named, heights, strict=True)
    ]  # fmt: skip
    return figure(
        label,
        el("div", *(el("span", count(t), style=f"top:{y(t)}%") for t in ticks), cls="ticks"),
        el("div", stretched(len(v), HEIGHT, *rules, *lines), cls="lines"),
        el("div", *names, cls="names"),
        el("div", *(el("span", t, style=f"left:{100 * (t + 0.5) / len(v):.2f}%")
                    for t in step_ticks(len(v))), cls="axis"),
        cls="plot",
    )  # fmt: skip


def _kind(i: int, best: int, wanted: int | None) -> str:
    return "best" if i == best else "wanted" if i == wanted else "other"
