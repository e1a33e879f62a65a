"""The network as a diagram: a box a node from the inputs down, a line a connection."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.report.charts.svg import Child, Drawing, el, picture, text
from deploy.report.words.figures import count, percent, shorten

# As wide as a phone's column, so that its words are never scaled down.
WIDTH, GUTTER, BOX, GAP, APART = 340, 34, 46, 26, 10
# Boxes side by side, and rows; of deeper networks the middle is left out, and said.
ABREAST, MAX_ROWS = 3, 16
# Lanes beside the boxes for lines that pass rows.
LANES = 5
# Letters to a pixel of a box's width, at most.
LETTER, SMALL = 6.6, 5.7


@dataclass(frozen=True)
class Node:
    """A box: its name, shape and kind in words, its spikes per neuron and step where they are known."""

    name: str
    said: str
    rate: float | None
    depth: int


# Left, top, width and height of a box.
Place = tuple[float, float, float, float]


def diagram(nodes: Sequence[Node], lines: Sequence[tuple[str, str, str]], label: str) -> Drawing:
    """Boxes by depth, and lines (source, target, what it is); one that goes back is a loop."""
    rows = _rows(nodes)
    left_out = max(0, len(rows) - MAX_ROWS)
    half = MAX_ROWS // 2
    if left_out:
        rows = [*rows[:half], [], *rows[half + left_out :]]
    place: dict[str, Place] = {}
    row_of: dict[str, int] = {}
    drawn: list[Child] = []
    y = 2.0
    for number, row in enumerate(rows):
        if not row:
            said = f"… {count(left_out)} more rows of nodes …"
            drawn.append(text(said, (WIDTH - GUTTER) / 2, y + 16, "tick", "middle"))
            y += 24 + GAP
            continue
        width = (WIDTH - GUTTER - APART * (len(row) - 1)) / len(row)
        for i, node in enumerate(row):
            x = i * (width + APART)
            place[node.name] = x, y, width, _height(row)
            row_of[node.name] = number
            drawn.append(_box(node, x, y, width, _height(row)))
        y += _height(row) + GAP
    joined: list[Child] = []
    lanes = 0
    into = Counter(target for _, target, _ in lines)
    for source, target, said in lines:
        if source not in place or target not in place:
            continue
        near = row_of[target] - row_of[source] == 1
        joined.append(_line(place[source], place[target], said, near, lanes % LANES))
        if near and into[target] == 1 and len(rows[row_of[target]]) == 1:
            x, top, width, _ = place[target]
            room = int((width / 2 - 8) / SMALL)
            joined.append(text(shorten(said, room), x + width / 2 + 8, top - GAP / 2 + 4, "tick"))
        lanes += not near
    return picture(WIDTH, y - GAP + 4, label, *joined, *drawn)


def _rows(nodes: Sequence[Node]) -> list[list[Node]]:
    of_depth: dict[int, list[Node]] = {}
    for node in nodes:
        of_depth.setdefault(node.depth, []).append(node)
    return [
        row[i : i + ABREAST]
        for _, row in sorted(of_depth.items())
        for i in range(0, len(row), ABREAST)
    ]


def _height(row: Sequence[Node]) -> float:
    """Of boxes that are too narrow for name and rate in one line, a line more."""
    return BOX + 14 if len(row) == ABREAST else BOX


def _box(node: Node, x: float, y: float, width: float, height: float) -> Drawing:
    room = int((width - 12) / LETTER)
    rate = "" if node.rate is None else percent(node.rate)
    bar = min(1.0, node.rate or 0.0) * (width - 2)
    narrow = height > BOX
    name = shorten(node.name, room if narrow else room - len(rate) - 1)
    rate_at = (
        (_r(x + 7), _r(y + 47), "tick")
        if narrow
        else (_r(x + width - 7), _r(y + 17), "tick", "end")
    )
    return el(
        "g",
        el("title", f"{node.name}: {node.said}" + (f"; {rate} of its neurons a step" * bool(rate))),
        el("rect", x=_r(x), y=_r(y), width=_r(width), height=height, rx=5, cls="box"),
        el("rect", x=_r(x + 1), y=_r(y + height - 5), width=_r(bar), height=4, cls="rate"),
        text(name, _r(x + 7), _r(y + 17), "name"),
        text(rate, *rate_at) if rate else None,
        text(shorten(node.said, int((width - 12) / SMALL)), _r(x + 7), _r(y + 33), "tick"),
    )


def _line(source: Place, target: Place, said: str, near: bool, lane: int) -> Drawing:
    """From the box above straight to the one below, else around the rows between them."""
    (x, y, width, height), (to_x, to_y, to_width, _) = source, target
    if near:
        start, end = (x + width / 2, y + height), (to_x + to_width / 2, to_y)
        middle = (start[1] + end[1]) / 2
        d = f"M{start[0]:.0f} {start[1]:.0f}C{start[0]:.0f} {middle:.0f} {end[0]:.0f} {middle:.0f} "
        d += f"{end[0]:.0f} {end[1]:.0f}"
    else:
        side = WIDTH - GUTTER + 6 + lane * 5
        if source == target:
            d = f"M{x + width:.0f} {y + 12}H{side}V{y + height - 12}H{x + width:.0f}"
        else:  # below the upper box, past the others, into the gap above the lower one
            d = f"M{x + width - 8:.0f} {y + height:.0f}v6H{side}V{to_y - 8:.0f}"
            d += f"H{to_x + to_width - 8:.0f}v8"
    return el("path", el("title", said), d=d, cls="line" if near else "line around")


def _r(x: float) -> float:
    return round(x, 1)
