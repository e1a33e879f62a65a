"""Rows of a figure: a name, a drawing as wide as there is room, and figures; below them the time steps.

Words are HTML and keep their size; drawings are stretched. So a figure fits a phone and a sheet of paper.
"""

from collections.abc import Iterable, Sequence

from deploy.report.charts.svg import Child, Drawing, el, step_ticks
from deploy.report.words.figures import shorten


def figure(label: str, *children: Child, cls: str = "") -> Drawing:
    """A figure, and what it shows in words."""
    return el("figure", *children, aria_label=label, cls=cls or None)


def band(
    name: str, notes: Sequence[str], drawing: Child, values: Sequence[str], title: str | None = None
) -> Drawing:
    """One row: whose it is and small notes, the drawing, then figures, the first one strong."""
    return el(
        "div",
        el("div", el("b", shorten(name, 30), title=name), *_small(notes), cls="of"),
        el("div", drawing, cls="drawn", title=title),
        el("div", *(el("b", v) for v in values[:1]), *_small(values[1:]), cls="value"),
        cls="row",
    )


def steps_axis(timesteps: int) -> Drawing:
    """Labelled steps below rows whose columns are time steps."""
    ticks = [
        el("span", t, style=f"left:{100 * (t + 0.5) / timesteps:.2f}%")
        for t in step_ticks(timesteps)
    ]
    return el(
        "div",
        el("div", "time step", cls="of"),
        el("div", *ticks, cls="drawn axis"),
        cls="row axis-row",
    )


def stretched(width: float, height: float, *children: Child) -> Drawing:
    """A drawing without words, stretched over its row."""
    return el(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _small(texts: Iterable[str]) -> list[Drawing]:
    return [el("small", text) for text in texts]
