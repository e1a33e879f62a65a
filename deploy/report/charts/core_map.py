"""The cores of a chip, coloured by their fullest resource."""

from typing import Any

from deploy.report.charts.svg import Drawing, el, picture, text
from deploy.report.words.figures import percent, shorten
from deploy.report.words.read import at, items, number, numbers

COLUMNS, CELL_W, CELL_H, PAD = 15, 56, 38, 3
# Letters of a population's name that fit a cell.
NAME = 8
# Loihi has 128 cores; a map of more cells than these is not one of a chip.
MAX_CELLS = 1024
# Ranges of neurons that are listed; more are counted.
FEW = 3
# Upper ends of the load classes; a core above 100 % breaks a limit and gets a class of its own.
CLASSES = (0.25, 0.5, 0.75, 1.0)


def core_map(chip: int, per_chip: int, listed: dict[int, Any]) -> Drawing:
    """A chip of `per_chip` cores; listed: {index over all chips: a core of the report}."""
    first = chip * per_chip
    indices = list(range(first, first + min(per_chip, MAX_CELLS)))
    if per_chip > MAX_CELLS:  # no chip that exists: the used cores alone, closed up
        indices = [i for i in sorted(listed) if i // per_chip == chip][:MAX_CELLS]
    cells = [
        _cell(index, listed.get(index), i % COLUMNS * CELL_W, i // COLUMNS * CELL_H)
        for i, index in enumerate(indices)
    ]
    height = -(-len(indices) // COLUMNS) * CELL_H
    return picture(COLUMNS * CELL_W, height, f"Core map of chip {chip}", *cells)


def _cell(index: int, core: object, x: float, y: float) -> Drawing:
    rect = {"x": x, "y": y, "width": CELL_W - PAD, "height": CELL_H - PAD, "rx": 3}
    if core is None:
        return el("g", el("title", f"core {index}: unused"), el("rect", **rect, cls="core unused"))
    names = list(dict.fromkeys(str(at(s, "population")) for s in items(at(core, "slices"))))
    first = shorten(names[0], NAME) if names else "empty"
    load = _load(core)
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    said = percent(load, 0) if load is not None else "load ?"
    kind = f"core load{_class(load)}"
    return el(
        "g",
        el("title", _tooltip(index, core)),
        el("rect", **rect, cls=kind),
        text(first, x + 5, y + 15, "core-name"),
        text(f"{said}{more}", x + 5, y + 28, "core-load"),
        cls=kind,
    )


def _load(core: object) -> float | None:
    return max(numbers(at(core, "load")).values(), default=None)


def _class(load: float | None) -> int:
    if load is None:
        return 0
    return next((i for i, end in enumerate(CLASSES) if load <= end), len(CLASSES))


def slices(core: object) -> str:
    """The neurons of a core: ranges where they are few, else how many of each population."""
    listed: dict[str, list[tuple[int, int]]] = {}
    for s in items(at(core, "slices")):
        bounds = int(number(at(s, "start")) or 0), int(number(at(s, "stop")) or 0)
        listed.setdefault(str(at(s, "population")), []).append(bounds)
    said = []
    for name, ranges in listed.items():
        if len(ranges) <= FEW:
            said += [f"{name} {start}–{stop - 1}" for start, stop in ranges]
        else:
            said.append(f"{name}: {sum(stop - start for start, stop in ranges)} neurons")
    return ", ".join(said)


def _tooltip(index: int, core: object) -> str:
    loads = [f"{r.replace('_', ' ')} {percent(x)}" for r, x in numbers(at(core, "load")).items()]
    return "; ".join([f"core {index}: {slices(core)}", *loads])
