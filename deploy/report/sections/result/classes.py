"""Class by class: how many are right, and which are taken for which."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.charts.confusion import MAX_MATRIX, class_bars, matrix
from deploy.report.words.read import at, items, number
from deploy.report.words.section import Run

# Bars of classes, and kinds of mistakes, that are listed.
MAX_BARS, MAX_MISTAKES = 20, 8
# Numbers of classes above these are nobody's.
_MAX_CLASS = 1 << 20


def facts(run: Run) -> dict[str, Any] | None:
    """A matrix where it can be read, bars of each class or of the worst, the most frequent mistakes."""
    found = at(run.report, "predictions", "confusion")
    cells = [c for c in map(_cell, items(at(found, "counts"))) if c is not None]
    if not cells:
        return None
    names = [str(x) for x in items(at(run.report, "predictions", "labels"))]
    most = 1 + max(max(label, predicted) for label, predicted, _ in cells)
    classes = max(most, len(names))
    names += [str(i) for i in range(len(names), min(classes, most))]
    totals: dict[int, int] = {}
    right: dict[int, int] = {}
    for label, predicted, n in cells:
        totals[label] = totals.get(label, 0) + n
        right[label] = right.get(label, 0) + n * (label == predicted)
    bars = [(names[i], right[i], totals[i]) for i in sorted(totals)]
    if len(bars) > MAX_BARS:
        bars = sorted(bars, key=lambda bar: bar[1] / bar[2])[:MAX_BARS]
    mistakes = sorted((c for c in cells if c[0] != c[1]), key=lambda c: -c[2])
    return {
        "executor": at(found, "executor"),
        "bars": class_bars(bars),
        "shown": len(bars),
        "classes": len(totals),
        "matrix": matrix(_counts(cells, classes), names) if classes <= MAX_MATRIX else None,
        "mistakes": [(names[a], names[b], n) for a, b, n in mistakes[:MAX_MISTAKES]],
        "all_mistakes": len(mistakes),
    }


def _cell(entry: object) -> tuple[int, int, int] | None:
    """(label, prediction, how many); None for what a report cannot mean."""
    found = [number(x) for x in items(entry)]
    if len(found) != 3 or any(not isinstance(x, int) for x in found):
        return None
    label, predicted, n = (int(x or 0) for x in found)
    inside = 0 <= label < _MAX_CLASS and 0 <= predicted < _MAX_CLASS and 0 < n < 1 << 62
    return (label, predicted, n) if inside else None


def _counts(cells: list[tuple[int, int, int]], classes: int) -> NDArray[np.int64]:
    found = np.zeros((classes, classes), np.int64)
    for label, predicted, n in cells:
        found[label, predicted] = n
    return found
