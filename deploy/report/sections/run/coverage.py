"""What the figures of a report do not cover, gathered in one place."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.read import at, items, mapping
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """Left out of every figure, assumed, and not checked: one list each."""
    report = run.report
    return {
        "parts": [
            ("Not in the energy", _left_out(at(report, "energy"))),
            ("Not in the time", _left_out(at(report, "latency"))),
            ("Assumed", _assumed(report)),
            ("Not checked in this run", _unchecked(report)),
            ("Warnings", items(at(report, "warnings"))),
        ]
    }


def _left_out(sets: object) -> list[str]:
    """What every set leaves out, then what some do."""
    entries = [
        (str(at(e, "coefficients")), [str(x) for x in items(at(e, "excluded"))])
        for e in items(sets)
    ]
    found = list(dict.fromkeys(text for _, texts in entries for text in texts))
    every = [text for text in found if all(text in texts for _, texts in entries)]
    return every + [
        f"{text}: {', '.join(name for name, texts in entries if text in texts)}"
        for text in found
        if text not in every
    ]


def _assumed(report: object) -> list[str]:
    texts = [
        f"{at(e, 'coefficients')}: {text}"
        for kind in ("energy", "latency")
        for e in items(at(report, kind))
        for text in items(at(e, "assumptions"))
    ]
    limits = [
        name.replace("_", " ")
        for name, shares in mapping(at(report, "cores", "utilisation")).items()
        if at(shares, "assumption") is True
    ]
    if limits:
        texts.append(f"limits of a core that are not public: {', '.join(limits)}")
    return list(dict.fromkeys(texts))


def _unchecked(report: object) -> list[str]:
    """Executors and tools that did not run beside the emulator."""
    ran = {str(at(p, end)) for p in words.parity_pairs(report) for end in ("a", "b")}
    found = []
    if "lava" not in ran:
        found.append("Lava did not run (--target lava runs it and compares every spike and state)")
    if not at(report, "sanafe", "counts"):
        found.append("SANA-FE did not count the traffic (--target sanafe runs it)")
    return [
        *found,
        "no chip ran: counts are exact, joules and seconds are coefficients times counts",
    ]
