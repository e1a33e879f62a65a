"""What a report says of the whole system's energy: host, transfer, static power and chip."""

from typing import Any

from deploy.report.words.figures import count, joules, percent
from deploy.report.words.read import at, items, number, pair
from deploy.report.words.sentences import between


def whole_sets(report: object) -> list[Any]:
    """The entries of the sets of a whole chip, or all where there are none."""
    sets = items(at(report, "system", "sets"))
    return [e for e in sets if at(e, "whole") is True] or sets


def system_total(report: object) -> str | None:
    """The range of the whole system's energy; None where a report has none."""
    ends = pair(at(report, "system", "total_range_j"))
    return None if ends is None else between(ends, joules)


def system_line(report: object) -> str | None:
    """The same in one line of a terminal."""
    total, others = system_total(report), _without(whole_sets(report))
    if total is None or others is None:
        return total
    return f"{total}; with an ANN in place of the chip {others}"


def system_sentence(report: object) -> str | None:
    """What the whole takes, what of it is not the host's, and what the chip saves of the whole."""
    total, sets = system_total(report), whole_sets(report)
    if total is None:
        return None
    counted = number(at(report, "system", "operations"))
    host = (
        f"with {count(counted)} operations of the host" if counted else "no work of a host counted"
    )
    saved = _saved(sets)
    return f"{total}, {host}; chip, transfer and static power {_share(sets)} of it" + (
        f"; {saved}" if saved else ""
    )


def uncounted(report: object) -> list[str]:
    """The parts of the host's work that are named and not counted."""
    parts = items(at(report, "system", "host"))
    return [str(at(p, "part")) for p in parts if number(at(p, "operations")) is None]


def _share(sets: list[Any]) -> str:
    """What is not the host's, of the whole."""
    shares = []
    for entry in sets:
        total, host = pair(at(entry, "total_j")), pair(at(entry, "joules", "host")) or (0.0, 0.0)
        if total is not None and total[0] > 0:
            shares += [1 - host[i] / total[i] for i in (0, 1)]
    return between((min(shares), max(shares)), lambda x: percent(x, 2)) if shares else "all"


def _saved(sets: list[Any]) -> str | None:
    """Against the same system with the ANN of the same layers on the host."""
    ends = [end for entry in sets for end in pair(at(entry, "saved_j")) or ()]
    if not ends:
        return None
    instead = (
        "in place of the chip the ANN of its layers on the host, in one pass, makes it "
        f"{_without(sets)}"
    )
    least, most = min(ends), max(ends)
    if most <= 0:
        more = between((-most, -least), joules)
        return f"{instead}: the chip saves nothing, it costs {more} more"
    if least >= 0:
        return f"{instead}: the chip saves {between((least, most), joules)}"
    return f"{instead}: the chip saves {joules(most)} or costs {joules(-least)} more"


def _without(sets: list[Any]) -> str | None:
    found = [j for e in sets if (j := number(at(e, "without_chip_j"))) is not None]
    return between((min(found), max(found)), joules) if found else None
