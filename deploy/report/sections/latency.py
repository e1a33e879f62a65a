"""Time: how long a step and an inference take, and what every core waits for."""

from deploy.report.charts.series import curve, curves
from deploy.report.words import sentences as words
from deploy.report.words.figures import percent, seconds
from deploy.report.words.markup import Child, Markup, el, missing, section, table
from deploy.report.words.read import at, items, number, pair


def latency_section(report: object) -> Markup:
    """Range in words, the time of each step, and what each set covers."""
    sets = [e for e in items(at(report, "latency")) if pair(at(e, "inference_s")) is not None]
    if not sets:
        nothing = el("p", missing(), " – no coefficient set says how long operations take.")
        return section("latency", "Time", nothing)
    return section(
        "latency",
        "Time",
        el(
            "p",
            el("strong", words.latency_sentence(report)),
            " per inference. Every core waits for the slowest one at the end of a step; the "
            "range is from perfect overlap of neurons and messages on a core to none. Coefficients "
            "of Loihi 1, not a measurement: a whole system with its input and output is slower.",
        ),
        *(_steps(entry) for entry in sets),
        _table(sets),
    )


def _range(found: object) -> str:
    return words.between(pair(found), seconds)


def _steps(entry: object) -> Markup | None:
    ends = [pair(x) for x in items(at(entry, "per_step_s"))]
    low, high = (curve([None if e is None else e[i] for e in ends]) for i in (0, 1))
    if low is None or high is None:
        return None
    title = str(at(entry, "coefficients"))
    return curves(
        [("time of a step", [low, high], seconds(max(high)))],
        f"Time of each step, from the low to the high end of {title}",
    )


def _table(sets: list[object]) -> Markup:
    rows: list[list[Child]] = []
    for e in sets:
        core, share = (number(at(e, "slowest_core", key)) for key in ("core", "share"))
        slowest = "" if core is None else f"core {core}, in {percent(share, 0)} of the steps"
        rows.append(
            [
                str(at(e, "coefficients")),
                _range(at(e, "step_s")),
                _range(at(e, "slowest_step_s")),
                slowest,
                ", ".join(str(x) for x in items(at(e, "excluded"))) or missing("not stated"),
                str(at(e, "source") or "no source stated"),
            ]
        )
    head: list[Child] = ["coefficients", "mean step", "slowest step", "slowest core"]
    return table(
        [*head, "excluded", "source"], rows, "lrrlll", "Time of a step, and what it leaves out"
    )
