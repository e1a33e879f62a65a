"""Accuracy of the float network and of every executor, with intervals drawn on one axis."""

from typing import Any

from deploy.report.charts.intervals import Axis, axis_around
from deploy.report.words import sentences as words
from deploy.report.words.figures import count, interval
from deploy.report.words.read import at, number
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any] | None:
    """One row per executor: share correct, 95 % interval, correct of all; None where none has any."""
    titles = words.titles(run.report)
    entries = {title: words.accuracy(run.report, e) for e, title in titles.items()}
    ends = [
        x
        for entry in entries.values()
        for key in ("value", "low", "high")
        if (x := number(at(entry, key))) is not None
    ]
    if not ends:
        return None
    axis = axis_around(ends)
    return {
        "axis": axis.ticks(),
        "rows": [_row(title, entry, axis) for title, entry in entries.items()],
    }


def _row(title: str, entry: dict[str, Any] | None, axis: Axis) -> dict[str, Any]:
    of = [at(entry, "correct"), at(entry, "total")]
    return {
        "title": title,
        "value": at(entry, "value"),
        "interval": interval(entry) if entry else "",
        "correct": "" if None in of else f"{count(of[0])} / {count(of[1])}",
        "drawing": axis.interval(entry) if entry else "",
    }
