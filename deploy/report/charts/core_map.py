"""The cores of a chip, coloured by their fullest resource: the whole chip small, the used ones large."""

from collections.abc import Mapping
from typing import Any

from deploy.report.charts.bands import figure
from deploy.report.charts.svg import Drawing, el, picture
from deploy.report.words.figures import percent, shorten
from deploy.report.words.read import at, items, number, numbers

COLUMNS, CELL, GAP = 16, 10, 2
# Loihi has 128 cores; a map of more cells than these is not one of a chip.
MAX_CELLS = 1024
# Letters of a population's name that fit a cell.
NAME = 14
# Ranges of neurons that are listed; more are counted.
FEW = 3
# Upper ends of the load classes; a core above 100 % breaks a limit and gets a class of its own.
CLASSES = (0.25, 0.5, 0.75, 1.0)


def chip_map(chip: int, per_chip: int, listed: Mapping[int, Any]) -> Drawing:
    """A chip of `per_chip` cores; listed: {index over all chips: a core of the report}."""
    first = chip * per_chip
    indices = list(range(first, first + min(per_chip, MAX_CELLS)))
    if per_chip > MAX_CELLS:  # no chip that exists: the used cores alone, closed up
        indices = [i for i in sorted(listed) if i // per_chip == chip][:MAX_CELLS]
    of_class: dict[str, list[str]] = {}
    side = CELL - GAP
    for i, index in enumerate(indices):
        kind = f"load{_class(_load(listed[index]))}" if index in listed else "unused"
        x, y = i % COLUMNS * CELL, i // COLUMNS * CELL
        of_class.setdefault(kind, []).append(f"M{x} {y}h{side}v{side}h-{side}z")
    paths = [el("path", d="".join(d), cls=f"cell {kind}") for kind, d in of_class.items()]
    used = sum(index in listed for index in indices)
    label = f"Chip {chip}: {used} of {len(indices)} cores used"
    height = -(-len(indices) // COLUMNS) * CELL
    return el("div", picture(COLUMNS * CELL, height, label, *paths), el("small", label), cls="chip")


def used_cores(listed: Mapping[int, Any]) -> Drawing:
    """Used cores large: what is on each, how full it is, and every resource to whom it is read or shown."""
    cells = [_cell(index, core) for index, core in sorted(listed.items())]
    return figure("Used cores and their loads", *cells, cls="cores")


def _cell(index: int, core: object) -> Drawing:
    names = list(dict.fromkeys(str(at(s, "population")) for s in items(at(core, "slices"))))
    first = shorten(names[0], NAME) if names else "empty"
    load = _load(core)
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    said = percent(load, 0) if load is not None else "load ?"
    return el(
        "div", el("b", f"{first}{more}"), el("small", f"core {index}, {said}"),
        cls=f"core load{_class(load)}", title=_tooltip(index, core),
    )  # fmt: skip


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
