"""HTML and SVG elements as text; every string that is not markup already is escaped here."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from deploy.report.words.figures import NOT_MEASURED, plain

_TAG = re.compile("<[^>]*>")
VOID = frozenset({"meta", "br", "path", "line", "rect", "circle", "polyline"})


class Markup(str):
    """Text that is markup already; only `el` and `join` of escaped parts make it."""

    __slots__ = ()


Child = Markup | str | int | float | None
Attribute = str | int | float | None


def el(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `cls` stands for class, `_` in a name for `-`; None leaves an attribute out."""
    written = "".join(
        f' {"class" if name == "cls" else name.replace("_", "-")}="{_escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in VOID and not children:
        return Markup(f"<{tag}{written}>" if tag in ("meta", "br") else f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Iterable[Child], between: str = "") -> Markup:
    """Children one after the other, text escaped."""
    return Markup(_escape(between).join(_child(c) for c in children if c is not None))


def _child(child: Child) -> str:
    return child if isinstance(child, Markup) else _escape(child)


def _escape(value: object) -> str:
    return html.escape(plain(value), quote=True)


def missing(text: str = NOT_MEASURED) -> Markup:
    """A figure that is not there, said in words."""
    return el("span", text, cls="missing")


def value(text: str) -> Child:
    """A formatted figure, muted where it says that nothing was measured."""
    return missing() if text == NOT_MEASURED else text


def _cell_class(column: int, cell: Child, align: str) -> str | None:
    """Figures stand right; a short name first stays on one line, a long text gets some width."""
    if align == "r":
        return "num"
    text = _TAG.sub("", cell) if isinstance(cell, str) else ""
    if column == 0:
        return "short" if isinstance(cell, str) and len(text) <= 22 else None
    return "long" if len(text) > 24 else None


def section(identity: str, title: str, *children: Child) -> Markup:
    """A titled section that the contents link to."""
    heading = el("h2", title, id=f"{identity}-title")
    return el(
        "section", heading, *children, id=identity, aria_labelledby=f"{identity}-title", cls="part"
    )


def table(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    align: str,
    caption: str | None = None,
    foot: Sequence[Child] | None = None,
) -> Markup:
    """A table that scrolls on a narrow screen. align: "l" or "r" per column; column 0 names rows."""

    def row(cells: Sequence[Child], tag: Literal["td", "th"]) -> Markup:
        return el(
            "tr",
            *(
                el(
                    "th" if tag == "th" or i == 0 else "td",
                    cell,
                    cls=_cell_class(i, cell, align[i]),
                    scope="col" if tag == "th" else "row" if i == 0 else None,
                )
                for i, cell in enumerate(cells)
            ),
        )

    return el(
        "div",
        el(
            "table",
            el("caption", caption) if caption else None,
            el("thead", row(head, "th")),
            el("tbody", *(row(cells, "td") for cells in rows)),
            el("tfoot", row(foot, "td")) if foot else None,
        ),
        cls="scroll",
        tabindex=0,
        role="region",
        aria_label=caption or "table",
    )
