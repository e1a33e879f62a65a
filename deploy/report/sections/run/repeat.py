"""How to repeat the run: command, seed, data, versions, and how long it took."""

import shlex
from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.figures import NOT_MEASURED, NOT_RECORDED, count, plain, seconds
from deploy.report.words.read import at, mapping, numbers
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """(name, text, whether it is code) of what identifies the run, its timings and packages."""
    report = run.report
    latency = mapping(at(report, "latency_steps"))
    steps = ", ".join(f"{node} {count(steps)}" for node, steps in latency.items())
    timings = numbers(at(report, "timings"))
    return {
        "identity": [
            ("command", _command(at(report, "command")), True),
            ("model", words.recorded(report, "model"), False),
            ("target", words.recorded(report, "target"), False),
            ("chip", words.chip(report) or NOT_RECORDED, False),
            ("data", words.recorded(report, "data"), False),
            ("data (SHA-256)", str(at(report, "data_sha256") or "not identified"), True),
            ("identity", str(at(report, "evidence", "identity") or NOT_RECORDED), True),
            ("seed", words.recorded(report, "seed"), False),
            ("run", words.size(report), False),
            ("pipeline latency", f"{steps} steps" if latency else NOT_MEASURED, False),
        ],
        "timings": _timings(timings),
        "sum": [] if "total" in timings else ["sum", seconds(words.total_time(report))],
        "versions": list(mapping(at(report, "versions")).items()),
    }


def _command(command: object) -> str:
    if isinstance(command, list | tuple):
        return shlex.join(plain(part) for part in command)
    return str(command or NOT_RECORDED)


def _timings(timings: dict[str, int | float]) -> list[tuple[str, str]]:
    """(stage, time), the parts of a stage, as "lava start" is one of "lava", below it."""
    parts = words.parts_of_stages(timings)
    rows = []
    for stage, x in timings.items():
        if stage not in parts:
            rows.append((stage.replace("_", " "), seconds(x)))
            rows += [
                (f"…{part.partition(' ')[2]}", seconds(timings[part]))
                for part, whole in parts.items()
                if whole == stage
            ]
    return rows
