"""What the figures of a report do not cover: what did not run in one line, assumptions, warnings."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.read import at, items, mapping
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """What did not run, and lists of what is assumed and of warnings."""
    report = run.report
    return {
        "unchecked": "; ".join(_unchecked(report)) or "nothing that could",
        "parts": [("Assumed", _assumed(report)), ("Warnings", items(at(report, "warnings")))],
    }


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
    """Executors and tools that did not run beside the emulator, and how they do."""
    ran = {str(at(p, end)) for p in words.parity_pairs(report) for end in ("a", "b")}
    found = []
    if "lava" not in ran:
        found.append("Lava (--target lava)")
    if not at(report, "sanafe"):
        found.append("SANA-FE (--target sanafe)")
    if not any(words.accuracy(report, executor) for executor in words.TITLES):
        found.append("accuracy (no labels)")
    return found
