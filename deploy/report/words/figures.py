"""Figures as text: counts in groups of three, percent, joules and seconds with their unit."""

from deploy.report.words.read import at, number, pair

NOT_MEASURED = "not measured"
NOT_RECORDED = "not recorded"
NOT_KNOWN = "not known"
# A narrow space that never breaks a line groups digits, as ISO 80000-1 writes numbers.
GROUP = "\u202f"
MINUS = "\u2212"
NBSP = "\u00a0"


def count(value: object) -> str:
    """A count or a mean count: 12 345, 1 234, 12.5."""
    x = number(value)
    if x is None:
        return NOT_MEASURED
    whole = isinstance(x, int) or x == int(x) or abs(x) >= 1000
    text = f"{round(x):,}" if whole else f"{x:.1f}" if abs(x) >= 10 else f"{x:.3g}"
    return text.replace(",", GROUP).replace("-", MINUS)


def percent(value: object, digits: int = 1) -> str:
    """A share of one as percent: 0.934 → 93.4 %."""
    x = number(value)
    return NOT_MEASURED if x is None else f"{100 * x:.{digits}f}{NBSP}%".replace("-", MINUS)


def joules(value: object) -> str:
    """An energy with three significant digits and the prefix that suits it."""
    x = number(value)
    return NOT_MEASURED if x is None else _with_prefix(x, "J")


def seconds(value: object) -> str:
    """A duration with three significant digits: 12.3 ms, 4.56 s, 95.0 s, 1 234 s."""
    x = number(value)
    return NOT_MEASURED if x is None else _with_prefix(x, "s")


def ratio(value: object) -> str:
    """A factor: 0.0036×, 0.42×, 3.1×, 120×."""
    x = number(value)
    if x is None:
        return NOT_MEASURED
    if 0 < x < 0.01:
        return f"{x:.2g}×"
    return f"{x:.2f}×" if x < 10 else f"{count(float(round(x)))}×"


def interval(value: object) -> str:
    """The 95 % interval of an accuracy entry {"low", "high"} in percent."""
    ends = pair([at(value, "low"), at(value, "high")])
    return NOT_MEASURED if ends is None else f"{100 * ends[0]:.1f} – {100 * ends[1]:.1f}{NBSP}%"


def plain(value: object) -> str:
    """Any value as one line of text that is safe to print: no control characters, no surrogates.

    Names come from files that others wrote; an escape sequence in one must not reach a terminal.
    """
    text = str(value)
    if text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() or c in (GROUP, NBSP) else "\ufffd" for c in text)


def shorten(name: str, limit: int) -> str:
    """A name cut in its middle to `limit` letters: long names differ at their ends."""
    tail = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[: limit - 1 - tail]}…{name[-tail:]}"


def _with_prefix(x: float, unit: str) -> str:
    size = abs(x)
    if size >= 1000 or size == 0:
        return f"{count(x)}{NBSP}{unit}"
    for scale, prefix in ((1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p")):
        # Round first: 999.6 nJ is written 1.00 µJ, never 1e+03 nJ.
        if float(f"{size:.3g}") >= scale or prefix == "p":
            scaled = float(f"{size:.3g}") / scale
            digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
            sign = MINUS if x < 0 else ""
            return f"{sign}{scaled:.{digits}f}{NBSP}{prefix}{unit}"
    raise AssertionError("unreachable: the last prefix takes everything")
