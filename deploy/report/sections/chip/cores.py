"""The core map: every core of the chips used, coloured by its fullest resource."""

from typing import Any

from deploy.report.charts.core_map import chip_map, slices, used_cores
from deploy.report.charts.svg import Drawing
from deploy.report.words.figures import count, percent
from deploy.report.words.read import at, items, mapping, number, numbers
from deploy.report.words.section import Run

# Cells of more chips, and large ones of more cores, fill pages without saying more: they are counted.
MAX_CHIPS, MAX_CORES = 8, 48


def facts(run: Run) -> dict[str, Any]:
    """The maps of the chips, utilisation per resource and the list of cores."""
    cores = at(run.report, "cores")
    listed = {
        int(index): core
        for core in items(at(cores, "list"))
        if (index := number(at(core, "index"))) is not None and index >= 0
    }
    resources = list(dict.fromkeys(r for c in listed.values() for r in numbers(at(c, "load"))))
    maps, hidden = _maps(cores, listed) if listed else ([], 0)
    fullest = sorted(
        listed, key=lambda i: -max(numbers(at(listed[i], "load")).values(), default=0.0)
    )
    fullest = fullest[:MAX_CORES]
    return {
        "mapped": bool(listed) or number(at(cores, "used")) is not None,
        "maps": maps,
        "large": used_cores({i: listed[i] for i in fullest}) if fullest else None,
        "shown": len(fullest),
        "won": at(cores, "found_by", "won"),
        "candidates": mapping(at(cores, "found_by", "candidates")),
        "hidden": hidden,
        "use": [_use(name, shares) for name, shares in mapping(at(cores, "utilisation")).items()],
        "assumed": _assumed(at(cores, "assumptions")),
        "resources": [name.replace("_", " ") for name in resources],
        "listed": [
            (index, slices(core), [percent(numbers(at(core, "load")).get(r)) for r in resources])
            for index, core in sorted(listed.items())
        ],
    }


def _use(resource: str, shares: object) -> dict[str, Any]:
    """How much of a resource is used; a limit that is assumed is marked."""
    limit = number(at(shares, "limit"))
    assumed = " (assumed)" if at(shares, "assumption") is True else ""
    return {
        "resource": resource.replace("_", " "),
        "limit": None if limit is None else f"{count(limit)}{assumed}",
        "mean": at(shares, "used_mean"),
        "max": at(shares, "used_max"),
        "share": number(at(shares, "max")),
    }


def _assumed(found: object) -> list[list[Any]]:
    """A row of each assumption that was changed, after the one of the chip as it is taken to be."""
    rows = [("as assumed", "", "", at(found, "as_assumed"))] if found else []
    for row in items(at(found, "rows")):
        name = str(at(row, "limit")).replace("_", " ")
        rows.append((name, count(at(row, "assumed")), count(at(row, "value")), row))
    return [
        [*names, *(count(at(row, key)) for key in ("cores", "chips", "packets"))]
        if not at(row, "refused")
        else [*names, "does not fit", "", ""]
        for *names, row in rows
    ]


def _maps(cores: object, listed: dict[int, Any]) -> tuple[list[Drawing], int]:
    """The map of each chip that is used, as far as they are drawn, and how many are not."""
    chips = int(number(at(cores, "chips_available")) or number(at(cores, "chips")) or 1)
    available = int(number(at(cores, "available")) or 0)
    per_chip = max(1, available // max(1, chips)) if available else max(listed) + 1
    occupied = sorted({index // per_chip for index in listed})
    shown = [chip_map(chip, per_chip, listed) for chip in occupied[:MAX_CHIPS]]
    return shown, len(occupied) - len(shown)
