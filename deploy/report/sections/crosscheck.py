"""SANA-FE beside us: counts that must be equal, energy and time that need not be."""

from deploy.report.words import sentences as words
from deploy.report.words.figures import count, joules, seconds
from deploy.report.words.markup import Child, Markup, el, missing, section, table
from deploy.report.words.read import at, items, number, pair


def crosscheck_section(report: object) -> Markup:
    """Counts side by side, then energy and time, and how SANA-FE was driven."""
    found = at(report, "sanafe")
    if not found:
        nothing = el("p", "SANA-FE did not run; --target sanafe runs it.")
        return section("crosscheck", "Cross-check", nothing)
    notes = [el("li", str(note)) for note in items(at(found, "notes"))]
    rows = [_row(entry) for entry in items(at(found, "counts"))]
    said = words.crosscheck_sentence(report)
    return section(
        "crosscheck",
        "Cross-check",
        el("p", said, cls="alarm" if at(found, "ok") is False else None),
        table(["quantity", "here", "SANA-FE", ""], rows, "lrrl", "Counts over the samples that ran")
        if rows
        else None,
        _beside(found),
        el("ul", *notes) if notes else None,
    )


def _row(entry: object) -> list[Child]:
    equal = at(entry, "equal")
    mark: Child = missing()
    if isinstance(equal, bool):
        mark = el("span", "equal" if equal else "differs", cls="good" if equal else "wrong")
    return [str(at(entry, "quantity")), count(at(entry, "ours")), count(at(entry, "sanafe")), mark]


def _beside(found: object) -> Markup | None:
    energy, latency = at(found, "energy"), at(found, "latency")
    rows: list[list[Child]] = []
    if number(at(energy, "sanafe_j")) is not None:
        rows.append(
            [
                "energy",
                words.between(pair(at(energy, "ours_j")), joules),
                joules(at(energy, "by_its_rules_j")),
                joules(at(energy, "sanafe_j")),
            ]
        )
    if number(at(latency, "sanafe_s")) is not None:
        rows.append(
            [
                "time",
                words.between(pair(at(latency, "ours_s")), seconds),
                "",
                seconds(at(latency, "sanafe_s")),
            ]
        )
    head: list[Child] = ["per inference", "here", "our counts, its rules", "SANA-FE"]
    return (
        table(head, rows, "lrrr", "Energy and time, from the same coefficients") if rows else None
    )
