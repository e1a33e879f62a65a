"""Time: how long a step and an inference take, and what every core waits for."""

from typing import Any

from deploy.report.charts.series import curve, curves
from deploy.report.charts.svg import Drawing
from deploy.report.words import sentences as words
from deploy.report.words.figures import percent, seconds
from deploy.report.words.read import at, items, number, pair
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """The time of each step, and what each set of coefficients covers."""
    found = items(at(run.report, "latency"))
    sets = [e for e in found if pair(at(e, "inference_s")) is not None]
    return {
        "curves": [drawn for e in sets if (drawn := _steps(e)) is not None],
        "rows": [_row(e) for e in sets],
        "steps": _pipeline(sets[0]) if sets else None,
    }


def _pipeline(entry: object) -> dict[str, int | float] | None:
    """Steps of one inference alone, and of a stream of so many samples."""
    keys = {"alone": "alone_steps", "stream": "stream_steps", "samples": "samples"}
    found = {name: number(at(entry, key)) for name, key in keys.items()}
    known = {name: n for name, n in found.items() if n is not None}
    return known if len(known) == len(keys) else None


def _row(entry: object) -> dict[str, Any]:
    core, share = (number(at(entry, "slowest_core", key)) for key in ("core", "share"))
    return {
        "name": str(at(entry, "coefficients")),
        "step": words.between(pair(at(entry, "step_s")), seconds),
        "slowest_step": words.between(pair(at(entry, "slowest_step_s")), seconds),
        "slowest": "" if core is None else f"core {core}, in {percent(share, 0)} of the steps",
        "excluded": ", ".join(str(x) for x in items(at(entry, "excluded"))),
        "source": str(at(entry, "source") or "no source stated"),
    }


def _steps(entry: object) -> Drawing | None:
    ends = [pair(x) for x in items(at(entry, "per_step_s"))]
    low, high = (curve([None if e is None else e[i] for e in ends]) for i in (0, 1))
    if low is None or high is None:
        return None
    return curves(
        [("time of a step", [low, high], seconds(max(high)))],
        f"Time of each step, from the low to the high end of {at(entry, 'coefficients')}",
    )
