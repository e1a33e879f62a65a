"""What ran where, what was not mapped, how long it took, and how to repeat it."""

import shlex

from deploy.report.words import sentences as words
from deploy.report.words.figures import NOT_RECORDED, count, plain, seconds
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at, items, mapping, numbers


def placement_section(report: object) -> Markup:
    """Host and chip side by side, and what the target does not support."""
    left_out = at(report, "unsupported")
    return section(
        "placement",
        "What ran where",
        el(
            "div",
            _side(report, "host", "On the host"),
            _side(report, "chip", "On the chip"),
            cls="two",
        ),
        el("h3", "Not mapped"),
        _entries(left_out, "Nothing: every layer of the network is on the chip."),
    )


def _side(report: object, side: str, title: str) -> Markup:
    return el("div", el("h3", title), _entries(at(report, "placement", side), "Nothing."))


def _entries(entries: object, none: str) -> Markup:
    if not isinstance(entries, list | tuple):
        return el("p", missing())
    if not entries:
        return el("p", none)
    return el("ul", *(el("li", str(entry)) for entry in items(entries)))


def repeat_section(report: object) -> Markup:
    """Command, seed, data, latency, timings and versions."""
    timings = numbers(at(report, "timings"))
    latency = mapping(at(report, "latency_steps"))
    facts: list[tuple[str, Child]] = [
        ("command", el("code", _command(at(report, "command")), cls="block")),
        ("model", _recorded(report, "model")),
        ("target", _recorded(report, "target")),
        ("chip", words.chip(report) or missing(NOT_RECORDED)),
        ("data", _recorded(report, "data")),
        ("data (SHA-256)", el("code", str(at(report, "data_sha256") or "not identified"))),
        ("seed", _recorded(report, "seed")),
        ("run", value(words.size(report))),
        (
            "pipeline latency",
            ", ".join(f"{node} {count(steps)}" for node, steps in latency.items()) + " steps"
            if latency
            else missing(),
        ),
    ]
    versions = mapping(at(report, "versions"))
    return section(
        "repeat",
        "Repeat this run",
        el("dl", *(_fact(name, child) for name, child in facts), cls="run"),
        el("div", _timings(timings), _versions(versions), cls="two"),
    )


def _recorded(report: object, key: str) -> Child:
    found = at(report, key)
    return missing(NOT_RECORDED) if found in (None, "") else str(found)


def _command(command: object) -> str:
    if isinstance(command, list | tuple):
        return shlex.join(plain(part) for part in command)
    return str(command or NOT_RECORDED)


def _fact(name: str, child: Child) -> Markup:
    return el("div", el("dt", name), el("dd", child))


def _timings(timings: dict[str, int | float]) -> Markup:
    if not timings:
        return el("div", el("h3", "Timings"), el("p", missing()))
    # "lava start" is a part of "lava": shown below it, and not counted twice.
    parts = {s: whole for s in timings if (whole := s.partition(" ")[0]) in timings and whole != s}
    rows = []
    for stage, x in timings.items():
        if stage not in parts:
            rows.append([stage.replace("_", " "), seconds(x)])
            rows += [
                [f"…{part.partition(' ')[2]}", seconds(timings[part])]
                for part, whole in parts.items()
                if whole == stage
            ]
    foot: list[Child] = ["sum", seconds(sum(x for s, x in timings.items() if s not in parts))]
    return el(
        "div", table(["stage", "time"], rows, "lr", "Timings", None if "total" in timings else foot)
    )


def _versions(versions: dict[str, object]) -> Markup:
    if not versions:
        return el("div", el("h3", "Versions"), el("p", missing()))
    rows = [[name, str(version)] for name, version in versions.items()]
    return el("div", table(["package", "version"], rows, "lr", "Versions"))
