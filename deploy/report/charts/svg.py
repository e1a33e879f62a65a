"""Elements as text, in which every string is escaped, and the few pieces that figures share."""

import html
import math
from collections.abc import Iterable, Sequence

from deploy.report.words.figures import plain

VOID = frozenset({"path", "line", "rect", "circle", "polyline"})


class Drawing(str):
    """Text that is markup already: `el` and `join` of escaped parts, and filled templates."""

    __slots__ = ()

    def __html__(self) -> str:
        """What a template writes in place of escaping it."""
        return self


Child = Drawing | str | int | float | None


def el(tag: str, *children: Child, **attributes: str | int | float | None) -> Drawing:
    """An element. `cls` stands for class, `_` in a name for `-`; None leaves an attribute out."""
    written = "".join(
        f' {"class" if name == "cls" else name.replace("_", "-")}="{_escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag == "img":
        return Drawing(f"<img{written}>")
    if tag in VOID and not children:
        return Drawing(f"<{tag}{written}/>")
    return Drawing(f"<{tag}{written}>{join(children)}</{tag}>")


def text(said: str, x: float, y: float, cls: str | None, anchor: str | None = None) -> Drawing:
    """A text whose baseline begins at x, y; or has its "middle" or its "end" there."""
    return el("text", said, x=x, y=y, text_anchor=anchor, cls=cls)


def join(children: Iterable[Child]) -> Drawing:
    """Children one after the other, text escaped."""
    return Drawing(
        "".join(c if isinstance(c, Drawing) else _escape(c) for c in children if c is not None)
    )


def _escape(value: object) -> str:
    return html.escape(plain(value), quote=True)


def picture(width: float, height: float, label: str, *children: Child) -> Drawing:
    """A drawing with words in it, no wider than `width` pixels and no wider than the page."""
    return el(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        style=f"width:{width:g}px;aspect-ratio:{width:g}/{height:g}",
        cls="picture",
    )


def round_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within low..high."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def step_ticks(timesteps: int) -> list[int]:
    """Whole time steps to label on an axis of `timesteps` steps."""
    return [int(t) for t in round_ticks(0, timesteps - 1, 6) if t == int(t)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Label positions at least `gap` apart and within low..high, as near to `positions` as may be."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed: dict[int, float] = {}
    floor = low
    for i in order:
        placed[i] = max(positions[i], floor)
        floor = placed[i] + gap
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return [placed[i] for i in range(len(positions))]
