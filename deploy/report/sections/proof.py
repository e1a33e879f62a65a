"""The proof table: can the integers of a node leave their registers?"""

from deploy.report.sections.cores import bar
from deploy.report.words.figures import count, percent
from deploy.report.words.markup import Child, Markup, el, missing, section, table
from deploy.report.words.read import at, mapping, number, pair

HEAD = ["node", "must not happen", "verdict", "range", "limit", "margin", "used"]
SIGNS = {
    "proven for all inputs": ("✓", "good"),
    "proven for the stated input range": ("✓", "good"),
    "observed only": ("!", "warn"),
    "no bounds known": ("?", "warn"),
}


def proof_section(report: object) -> Markup:
    """Verdict, range, limit and margin per edge, and what the proof rests on."""
    nodes = mapping(at(report, "proof", "nodes"))
    rows: list[list[Child]] = []
    for node, entry in nodes.items():
        for edge, found in mapping(entry).items():
            rows.append([node, edge, *_row(found), *_times(report, node, edge)])
    if not rows:
        return section("proof", "Proof of ranges", el("p", missing()))
    return section(
        "proof",
        "Proof of ranges",
        el(
            "p",
            "Simulators and the chip can differ where a value leaves its register. For each case that "
            "must not happen: what interval arithmetic proves, the widest range that can occur, the "
            "register's limit, and the margin, the share of the limit that is left.",
        ),
        table(
            [*HEAD, "happened"] if _observed(report) else HEAD,
            rows,
            "lllrrrlr" if _observed(report) else "lllrrrl",
            "Ranges per node",
        ),
        *_foundations(report),
    )


def _observed(report: object) -> bool:
    """Whether the run counted what went beyond the edges that it could reach."""
    return bool(mapping(at(report, "proof", "observed")))


def _times(report: object, node: str, edge: str) -> list[Child]:
    """How often a value of this run went beyond an edge; nothing for one that was not counted."""
    if not _observed(report):
        return []
    times = number(at(report, "proof", "observed", node, edge))
    if times is None:
        return [""]
    return [el("span", f"{count(times)} ×", cls="wrong" if times else "good")]


def _row(found: object) -> list[Child]:
    verdict = str(at(found, "verdict") or "no verdict")
    sign, kind = SIGNS.get(verdict, ("✕", "wrong"))
    reach, limit = pair(at(found, "range")), pair(at(found, "limit"))
    margin = number(at(found, "margin"))
    used = _used(reach, limit)
    return [
        el("span", f"{sign} {verdict}", cls=kind),
        _span(reach),
        _span(limit),
        missing() if margin is None else percent(margin),
        el("span", bar(used), cls="used") if used is not None else "",
    ]


def _used(
    reach: tuple[int | float, int | float] | None, limit: tuple[int | float, int | float] | None
) -> float | None:
    """The larger share of the limit, on either side of zero, that the range takes."""
    if reach is None or limit is None:
        return None
    shares = [
        r / end for r, end in zip(reach, limit, strict=True) if end and (r > 0) == (end > 0) and r
    ]
    return max(shares, default=0.0)


def _span(ends: tuple[int | float, int | float] | None) -> Child:
    return missing() if ends is None else f"{count(ends[0])} … {count(ends[1])}"


def _foundations(report: object) -> list[Child]:
    portable = at(report, "proof", "portable")
    parts: list[Child] = []
    if isinstance(portable, bool):
        parts.append(
            el(
                "p",
                "Portable: messages are binary and undelayed and no limit can be reached, so every "
                "bit-accurate simulator must give the same spikes."
                if portable
                else f"Not portable: {_obstacle(report)}, so only the executors that were compared "
                "are known to agree.",
            )
        )
    arithmetic = mapping(at(report, "proof", "arithmetic"))
    if arithmetic:
        said = ", ".join(f"{name} in {kind}" for name, kind in arithmetic.items())
        parts.append(el("p", f"Narrowest arithmetic with exact sums – {said}.", cls="note"))
    ranges = mapping(at(report, "proof", "input_ranges"))
    if ranges:
        said = "; ".join(f"{name} {_plain_range(ends)}" for name, ends in ranges.items())
        parts.append(el("p", f"Stated input ranges – {said}.", cls="note"))
    return parts


def _obstacle(report: object) -> str:
    """Why simulators may differ: an edge within reach where there is one, else the messages."""
    verdicts = [
        at(found, "verdict")
        for entry in mapping(at(report, "proof", "nodes")).values()
        for found in mapping(entry).values()
    ]
    if "observed only" in verdicts:
        return "a limit may be reached"
    if "no bounds known" in verdicts:
        return "a kind of neurons states no bounds"
    return "messages are graded or delayed, or a sum is shifted right"


def _plain_range(ends: object) -> str:
    known = pair(ends)
    return str(ends) if known is None else f"{count(known[0])} … {count(known[1])}"
