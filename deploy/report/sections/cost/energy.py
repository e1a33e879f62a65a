"""Energy: every coefficient set side by side, all sources named, then a dense ANN like for like."""

from typing import Any

from deploy.report.charts.energy_bars import colours, energy_bars
from deploy.report.sections.cost.baseline import against_ann
from deploy.report.words import sentences as words
from deploy.report.words.figures import joules
from deploy.report.words.read import at, items, number, numbers
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """Stacked bars per set, what each includes and excludes, and the ANN."""
    sets = [e for e in items(at(run.report, "energy")) if number(at(e, "total_j")) is not None]
    never = _never_included(sets)
    bars = [(str(at(e, "coefficients")), _parts(e), at(e, "total_j")) for e in sets]
    return {
        "legend_of": [(f"c{n}", name.replace("_", " ")) for name, n in colours(bars).items()],
        "bars": energy_bars(bars) if bars else None,
        "never": ", ".join(never),
        "beside": [str(at(e, "coefficients")) for e in sets if at(e, "whole") is False],
        "graded": [str(at(e, "coefficients")) for e in sets if _graded_assumed(e)],
        "rows": [_row(e, never) for e in sets],
        "ann": against_ann(run.report),
    }


def _graded_assumed(entry: object) -> bool:
    """Whether a set prices the graded messages of this network with a figure that it does not have."""
    return any(str(text).startswith("synapse_mac") for text in items(at(entry, "assumptions")))


def _never_included(sets: list[object]) -> list[str]:
    """What every coefficient set leaves out."""
    left_out = [[str(x) for x in items(at(e, "excluded"))] for e in sets]
    return [x for x in left_out[0] if all(x in found for found in left_out)] if left_out else []


def _parts(entry: object) -> dict[str, int | float]:
    """Joules per category, with what the categories do not add up to as "not broken down"."""
    parts = numbers(at(entry, "joules"))
    rest = (number(at(entry, "total_j")) or 0) - sum(parts.values())
    if rest > 1e-6 * max(1e-30, number(at(entry, "total_j")) or 0):
        parts["not broken down"] = rest
    return parts


def _row(entry: object, never: list[str]) -> dict[str, Any]:
    """What a figure covers; its range, from idle neurons and no zero weights to its cautious total."""
    low, total = number(at(entry, "low_j")), number(at(entry, "total_j"))
    ends = None if total is None else (total if low is None else low, total)
    return {
        "name": str(at(entry, "coefficients")),
        "range": words.between(ends, joules),
        "included": ", ".join(map(str, items(at(entry, "included")))),
        "excluded": ", ".join(x for x in map(str, items(at(entry, "excluded"))) if x not in never)
        or ("nothing else" if items(at(entry, "excluded")) else ""),
        "source": at(entry, "source"),
    }
