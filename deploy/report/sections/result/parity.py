"""Parity: which executors were compared, over what, and where they first differ."""

from typing import Any

from deploy.report.words import sentences as words
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """The compared pairs and, in words, the first divergence of each that differs."""
    pairs = words.parity_pairs(run.report)
    return {"pairs": pairs, "divergences": [where for p in pairs if (where := words.difference(p))]}
