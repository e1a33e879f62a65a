"""The proof table: can the integers of a node leave their registers?"""

from typing import Any

from deploy.report.words.figures import NOT_KNOWN, NOT_MEASURED, count, percent
from deploy.report.words.read import at, mapping, pair
from deploy.report.words.section import Run

Ends = tuple[int | float, int | float]
PROVEN = ("✓", "good")
SIGNS = {
    "proven for all inputs": PROVEN,
    "proven for the stated input range": PROVEN,
    "observed only": ("!", "warn"),
    "no bounds known": ("?", "warn"),
}


def facts(run: Run) -> dict[str, Any]:
    """Verdict, range, limit and margin per edge, and what the proof rests on."""
    proof = at(run.report, "proof")
    # Whether the run counted what went beyond the edges that it could reach.
    observed = mapping(at(proof, "observed"))
    rows = [
        {"node": node, "edge": edge, "happened": at(observed, node, edge), **_row(found)}
        for node, entry in mapping(at(proof, "nodes")).items()
        for edge, found in mapping(entry).items()
    ]
    arithmetic = mapping(at(proof, "arithmetic")).items()
    ranges = mapping(at(proof, "input_ranges")).items()
    return {
        "proven": [row for row in rows if row["sign"] == PROVEN],
        "open": [row for row in rows if row["sign"] != PROVEN],
        "observed": bool(observed),
        "portable": at(proof, "portable"),
        "obstacle": _obstacle({row["verdict"] for row in rows}),
        "arithmetic": ", ".join(f"{name} in {kind}" for name, kind in arithmetic),
        "input_ranges": "; ".join(f"{n} {_span(pair(x)) if pair(x) else x}" for n, x in ranges),
    }


def _obstacle(verdicts: set[str]) -> str:
    """Why simulators may differ: an edge within reach where there is one, else the messages."""
    if "observed only" in verdicts:
        return "a limit may be reached"
    if "no bounds known" in verdicts:
        return "a kind of neurons states no bounds"
    return "messages are graded or delayed, or a sum is shifted right"


def _row(found: object) -> dict[str, Any]:
    verdict = str(at(found, "verdict") or "no verdict")
    reach, limit = pair(at(found, "range")), pair(at(found, "limit"))
    # Of a kind of neurons that states no bounds nothing is known, which is not "not measured".
    unknown = verdict == "no bounds known"
    return {
        "verdict": verdict,
        "sign": SIGNS.get(verdict, ("✕", "wrong")),
        "range": NOT_KNOWN if unknown else _span(reach),
        "limit": _span(limit),
        "margin": NOT_KNOWN if unknown else percent(at(found, "margin")),
        "used": None if reach is None or limit is None else _used(reach, limit),
    }


def _used(reach: Ends, limit: Ends) -> float:
    """The larger share of the limit, on either side of zero, that the range takes."""
    sides = zip(reach, limit, strict=True)
    return max((r / end for r, end in sides if end and r and (r > 0) == (end > 0)), default=0.0)


def _span(ends: Ends | None) -> str:
    return NOT_MEASURED if ends is None else f"{count(ends[0])} … {count(ends[1])}"
