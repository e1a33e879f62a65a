"""Accuracy of the float network and of every executor, with intervals drawn on one axis."""

from deploy.report.words import sentences as words
from deploy.report.words.figures import count, interval, percent
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at, number

WIDTH, HEIGHT, EDGE = 240, 22, 12


def accuracy_section(report: object) -> Markup:
    """One row per executor: share correct, 95 % interval, correct of all."""
    entries = {e: words.accuracy(report, e) for e in words.TITLES}
    ends = [
        x
        for entry in entries.values()
        for key in ("value", "low", "high")
        if (x := number(at(entry, key))) is not None
    ]
    low, high = _axis(ends) if ends else (0.0, 1.0)
    head: list[Child] = ["executor", "accuracy", "95 % interval", "correct"]
    rows: list[list[Child]] = []
    for name, entry in entries.items():
        share = percent(at(entry, "value"))
        of = [at(entry, "correct"), at(entry, "total")]
        rows.append(
            [
                words.TITLES[name],
                value(share),
                value(interval(entry)) if entry else "",
                f"{count(of[0])} / {count(of[1])}" if None not in of else "",
                _interval(entry, low, high) if entry else "",
            ]
        )
    if not ends:
        return section(
            "accuracy", "Accuracy", el("p", missing(), " – the data carried no labels, or no task.")
        )
    return section(
        "accuracy",
        "Accuracy",
        table([*head, _ticks(low, high)], rows, "lrrrl", "Share of correctly classified samples"),
    )


def _axis(ends: list[int | float]) -> tuple[float, float]:
    """Whole tenths around what is drawn, so that the axis ends in round figures."""
    low = max(0, int(min(ends) * 10 - 0.2)) / 10
    high = min(10, int(max(ends) * 10 + 1)) / 10
    return low, max(high, low + 0.1)


def _x(share: float, low: float, high: float) -> float:
    return round(EDGE + (share - low) / (high - low) * (WIDTH - 2 * EDGE), 1)


def _picture(label: str, *children: Child) -> Markup:
    return el(
        "svg",
        *children,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=label,
    )


def _ticks(low: float, high: float) -> Markup:
    middle = (low + high) / 2
    return _picture(
        "axis",
        *(
            el("text", percent(x, 0), x=_x(x, low, high), y=15, cls="tick", text_anchor=anchor)
            for x, anchor in ((low, "start"), (middle, "middle"), (high, "end"))
        ),
    )


def _interval(entry: object, low: float, high: float) -> Markup:
    share, ends = number(at(entry, "value")), [number(at(entry, k)) for k in ("low", "high")]
    parts: list[Child] = [
        el("line", x1=EDGE, x2=WIDTH - EDGE, y1=HEIGHT / 2, y2=HEIGHT / 2, cls="rule")
    ]
    if ends[0] is not None and ends[1] is not None:
        first, last = (_x(x, low, high) for x in ends if x is not None)
        parts.append(el("line", x1=first, x2=last, y1=HEIGHT / 2, y2=HEIGHT / 2, cls="whisker"))
    if share is not None:
        parts.append(el("circle", cx=_x(share, low, high), cy=HEIGHT / 2, r=4.5, cls="dot"))
    return _picture(f"{percent(share)}, interval {interval(entry)}", *parts)
