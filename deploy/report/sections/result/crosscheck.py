"""SANA-FE beside us: counts that must be equal, energy and time that need not be."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.figures import joules, seconds
from deploy.report.words.read import at, items, number, pair
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any] | None:
    """Counts side by side, then energy and time, and how SANA-FE was driven; None where it did not run."""
    found = at(run.report, "sanafe")
    if not found:
        return None
    energy, latency = at(found, "energy"), at(found, "latency")
    beside = []
    if number(at(energy, "sanafe_j")) is not None:
        ours = words.between(pair(at(energy, "ours_j")), joules)
        rules, theirs = joules(at(energy, "by_its_rules_j")), joules(at(energy, "sanafe_j"))
        beside.append(["energy", ours, rules, theirs])
    if number(at(latency, "sanafe_s")) is not None:
        ours = words.between(pair(at(latency, "ours_s")), seconds)
        beside.append(["time", ours, "", seconds(at(latency, "sanafe_s"))])
    return {
        "ok": at(found, "ok"),
        "counts": items(at(found, "counts")),
        "beside": beside,
        "notes": items(at(found, "notes")),
    }
