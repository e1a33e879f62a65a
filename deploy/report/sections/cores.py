"""The core map: every core of the chips used, coloured by its fullest resource."""

from typing import Any

from deploy.report.charts.svg import picture
from deploy.report.words import sentences as words
from deploy.report.words.figures import count, percent, shorten
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at, items, mapping, number, numbers

COLUMNS, CELL_W, CELL_H, PAD = 15, 56, 38, 3
# Letters of a population's name that fit a cell.
NAME = 8
# Cells of more chips than these fill pages without saying more; they are counted in words.
MAX_CHIPS = 8
# Loihi has 128 cores; a map of more cells than these is not one of a chip.
MAX_CELLS = 1024
# Ranges of neurons that are listed; more are counted.
FEW = 3
# Upper ends of the load classes; a core above 100 % breaks a limit and gets a class of its own.
CLASSES = (0.25, 0.5, 0.75, 1.0)


def cores_section(report: object) -> Markup:
    """Map, legend, utilisation per resource and the list of cores."""
    cores = at(report, "cores")
    listed = {
        int(index): core
        for core in items(at(cores, "list"))
        if (index := number(at(core, "index"))) is not None and index >= 0
    }
    use = mapping(at(cores, "utilisation"))
    if number(at(cores, "used")) is None and not listed:
        return section("cores", "Cores", el("p", missing(), " – the program was not mapped."))
    rows = [
        [
            _words(resource),
            _limit(shares),
            value(count(at(shares, "used_mean"))),
            value(count(at(shares, "used_max"))),
            _share(shares),
        ]
        for resource, shares in use.items()
    ]
    return section(
        "cores",
        "Cores",
        el(
            "p",
            f"{words.cores(report)}. A core's load is that of its fullest resource; "
            "point at a core to see every resource.",
        ),
        *(_maps(cores, listed) if listed else [el("p", "Core map: ", missing())]),
        table(
            ["resource", "limit of a core", "mean", "fullest core", "of the limit"],
            rows,
            "lrrrl",
            "Utilisation of the used cores",
        )
        if rows
        else None,
        _listing(listed) if listed else None,
    )


def _limit(shares: object) -> Child:
    """A core's limit; an assumed one is marked, one that nobody published is said."""
    limit = number(at(shares, "limit"))
    if limit is None:
        return missing("not public")
    return f"{count(limit)} (assumed)" if at(shares, "assumption") is True else count(limit)


def _share(shares: object) -> Child:
    most = number(at(shares, "max"))
    return "" if most is None else el("span", bar(most), f" {percent(most)}", cls="used")


def _maps(cores: object, listed: dict[int, Any]) -> list[Child]:
    chips = int(number(at(cores, "chips_available")) or number(at(cores, "chips")) or 1)
    available = int(number(at(cores, "available")) or 0)
    per_chip = max(1, available // max(1, chips)) if available else max(listed) + 1
    occupied = sorted({index // per_chip for index in listed})
    parts: list[Child] = [_legend()]
    for chip in occupied[:MAX_CHIPS]:
        if len(occupied) > 1 or chips > 1:
            parts.append(el("h3", f"Chip {chip}"))
        parts.append(_map(chip, per_chip, listed))
    hidden = len(occupied) - MAX_CHIPS
    if hidden > 0:
        parts.append(el("p", f"{hidden} more occupied chips are in report.json.", cls="note"))
    return parts


def _map(chip: int, per_chip: int, listed: dict[int, Any]) -> Markup:
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


def _cell(index: int, core: object, x: float, y: float) -> Markup:
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
        el("text", first, x=x + 5, y=y + 15, cls="core-name"),
        el("text", f"{said}{more}", x=x + 5, y=y + 28, cls="core-load"),
        cls=kind,
    )


def _load(core: object) -> float | None:
    return max(numbers(at(core, "load")).values(), default=None)


def _class(load: float | None) -> int:
    if load is None:
        return 0
    return next((i for i, end in enumerate(CLASSES) if load <= end), len(CLASSES))


def _slices(core: object) -> str:
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
    loads = [f"{_words(r)} {percent(x)}" for r, x in numbers(at(core, "load")).items()]
    return "; ".join([f"core {index}: {_slices(core)}", *loads])


def _legend() -> Markup:
    names = ["to 25 %", "to 50 %", "to 75 %", "to 100 %", "over the limit"]
    return el(
        "p",
        el("span", el("i", cls="swatch unused"), "unused"),
        *(el("span", el("i", cls=f"swatch load{i}"), name) for i, name in enumerate(names)),
        cls="legend",
    )


def _listing(listed: dict[int, Any]) -> Markup:
    resources = list(dict.fromkeys(r for c in listed.values() for r in numbers(at(c, "load"))))
    rows: list[list[Child]] = [
        [
            str(index),
            _slices(core),
            *(value(percent(numbers(at(core, "load")).get(r))) for r in resources),
        ]
        for index, core in sorted(listed.items())
    ]
    head = ["core", "neurons", *(_words(r) for r in resources)]
    listing = table(head, rows, "rl" + "r" * len(resources), "Every used core")
    return el("details", el("summary", f"All {len(listed)} used cores"), listing)


def bar(share: float | None) -> Markup | None:
    """A horizontal bar of a share of one, full at a limit."""
    if share is None:
        return None
    width = f"{min(1.0, max(0.0, share)):.1%}"
    inner = el("span", style=f"width:{width}", cls="over" if share > 1 else None)
    return el("span", inner, cls="bar", aria_hidden="true")


def _words(resource: str) -> str:
    return resource.replace("_", " ")
