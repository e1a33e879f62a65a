"""Accuracies with their intervals, one under the other on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.report.charts.svg import Child, Drawing, el, text
from deploy.report.words.figures import interval, percent
from deploy.report.words.read import at, number

WIDTH, HEIGHT, EDGE = 240, 22, 12


@dataclass(frozen=True)
class Axis:
    """The shares at both ends of the drawings."""

    low: float
    high: float

    def ticks(self) -> Drawing:
        """Both ends and the middle in percent."""
        middle = (self.low + self.high) / 2
        ticks = ((self.low, "start"), (middle, "middle"), (self.high, "end"))
        return _picture(
            "axis", *(text(percent(x, 0), self._x(x), 15, "tick", anchor) for x, anchor in ticks)
        )

    def interval(self, entry: object) -> Drawing:
        """An accuracy {"value", "low", "high"} as a dot on its interval, as far as they are known."""
        share, ends = number(at(entry, "value")), [number(at(entry, k)) for k in ("low", "high")]
        y = HEIGHT / 2
        parts: list[Child] = [el("line", x1=EDGE, x2=WIDTH - EDGE, y1=y, y2=y, cls="rule")]
        if ends[0] is not None and ends[1] is not None:
            first, last = (self._x(x) for x in ends if x is not None)
            parts.append(el("line", x1=first, x2=last, y1=y, y2=y, cls="whisker"))
        if share is not None:
            parts.append(el("circle", cx=self._x(share), cy=y, r=4.5, cls="dot"))
        return _picture(f"{percent(share)}, interval {interval(entry)}", *parts)

    def _x(self, share: float) -> float:
        drawn = (min(1.0, max(0.0, share)) - self.low) / (self.high - self.low)
        return round(EDGE + drawn * (WIDTH - 2 * EDGE), 1)


def axis_around(ends: Sequence[float]) -> Axis:
    """Whole tenths around what is drawn, so that the axis ends in round figures."""
    shares = [min(1.0, max(0.0, x)) for x in ends]
    low = max(0, int(min(shares) * 10 - 0.2)) / 10
    high = min(10, int(max(shares) * 10 + 1)) / 10
    return Axis(low, max(high, low + 0.1))


def _picture(label: str, *children: Child) -> Drawing:
    size: dict[str, str | int] = {
        "viewBox": f"0 0 {WIDTH} {HEIGHT}",
        "width": WIDTH,
        "height": HEIGHT,
    }
    return el("svg", *children, role="img", aria_label=label, **size)
