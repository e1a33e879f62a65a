"""The routers of a mesh, coloured by their packets, and its links, as wide as their load."""

from deploy.report.charts.series import SHARES
from deploy.report.charts.svg import Child, Drawing, el, picture, text
from deploy.report.words.figures import count
from deploy.report.words.read import at, items, number

WIDTH, CELL, WIDEST = 760, 84.0, 8.0
# Columns that a phone shows in full size.
FEW = 4
# On which side of the middle each direction is drawn, and along which axis.
_WAYS = {"east": (-1, "x"), "west": (1, "x"), "south": (1, "y"), "north": (-1, "y")}


def mesh(report: object, columns: int, rows: int) -> Drawing:
    """The part of the mesh that holds cores, [rows, columns] routers."""
    held, packets = _routers(report, columns, rows)
    busiest = max(packets.values(), default=0.0)
    size = min(CELL, WIDTH / columns)
    box = size * 0.58
    drawn: list[Child] = [*_links(report, columns, rows, size, box)]
    for y in range(rows):
        for x in range(columns):
            drawn.append(_router(x, y, size, box, held.get((x, y), []), packets, busiest))
    label = "Mesh of routers, coloured by packets, with the load of every link"
    drawing = picture(columns * size, rows * size, label, *drawn)
    # On a phone the words of many columns would be too small to read.
    return el("div", drawing, cls="many" if columns > FEW else None)


def _routers(
    report: object, columns: int, rows: int
) -> tuple[dict[tuple[int, int], list[int]], dict[int, float]]:
    """({(x, y) within the drawing: its cores}, {core: packets in and out})."""
    origin = [number(i) or 0 for i in items(at(report, "traffic", "origin"))]
    left, top = (int(i) for i in origin) if len(origin) == 2 else (0, 0)
    packets = {}
    for entry in items(at(report, "counts", "per_core")):
        core = number(at(entry, "core"))
        into, out = number(at(entry, "packets_in")), number(at(entry, "messages"))
        if core is not None:
            packets[int(core)] = float((into or 0) + (out or 0))
    held: dict[tuple[int, int], list[int]] = {}
    for entry in items(at(report, "traffic", "routers")):
        core, x, y = (number(at(entry, key)) for key in ("core", "x", "y"))
        if core is None or x is None or y is None:
            continue
        if 0 <= x - left < columns and 0 <= y - top < rows:
            held.setdefault((int(x) - left, int(y) - top), []).append(int(core))
    of_routers = {
        core: sum(packets.get(c, 0.0) for c in cores) for cores in held.values() for core in cores
    }
    return held, of_routers


def _router(
    x: int,
    y: int,
    size: float,
    box: float,
    cores: list[int],
    packets: dict[int, float],
    busiest: float,
) -> Drawing:
    at_x, at_y = x * size + (size - box) / 2, y * size + (size - box) / 2
    place = {"x": round(at_x, 1), "y": round(at_y, 1), "width": round(box, 1)}
    rect = place | {"height": round(box, 1), "rx": 3}
    if not cores:
        title = el("title", f"router ({x}, {y}): no core used")
        return el("g", title, el("rect", **rect, cls="router unused"))
    load = packets[cores[0]]
    share = load / busiest if busiest else 0.0
    kind = f"router load{next(i for i, end in enumerate(SHARES) if share <= end or end == 1.0)}"
    named = ", ".join(str(core) for core in sorted(cores))
    one = f"core {cores[0]}" if len(cores) == 1 else f"{len(cores)} cores"
    texts = [one, count(load)] if box >= 44 else []
    return el(
        "g",
        el("title", f"router ({x}, {y}), cores {named}: {count(load)} packets in and out"),
        el("rect", **rect, cls=kind),
        *(
            text(said, round(at_x + 5, 1), round(at_y + 15 + 13 * i, 1), "core-load")
            for i, said in enumerate(texts)
        ),
        cls=kind,
    )


def _links(report: object, columns: int, rows: int, size: float, box: float) -> list[Drawing]:
    """A line for every link and direction, side by side, wider with its load."""
    busiest = number(at(report, "traffic", "busiest_link")) or 0.0
    half, drawn = size / 2, []
    for way, (sign, along) in _WAYS.items():
        for j, line in enumerate(items(at(report, "traffic", "links", way))):
            for i, entry in enumerate(items(line)):
                load = number(entry)
                last = (columns - 1, rows) if along == "x" else (columns, rows - 1)
                if load is None or i >= last[0] or j >= last[1]:
                    continue
                width = 1 + (WIDEST - 1) * load / busiest if load and busiest else 1.0
                aside = sign * min(5.0, box / 6)
                x, y = i * size + half, j * size + half
                ends = (
                    {"x1": x + box / 2, "x2": x + size - box / 2, "y1": y + aside, "y2": y + aside}
                    if along == "x"
                    else {"y1": y + box / 2, "y2": y + size - box / 2, "x1": x + aside, "x2": x + aside}
                )  # fmt: skip
                title = el("title", f"{way} of ({i}, {j}): {count(load)} packets")
                drawn.append(
                    el("line", title, **{k: round(v, 1) for k, v in ends.items()},
                       stroke_width=round(width, 1), cls="link" if load else "link idle")
                )  # fmt: skip
    return drawn
