"""What ran on the host, what on the chip, and what was not mapped."""

from typing import Any

from deploy.report.words.read import at
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any]:
    """(title, entries, or None where they are not known, what to say of none) of each list."""
    placement = at(run.report, "placement")
    every = "Nothing: every layer of the network is on the chip."
    return {
        "ran": [
            ("On the host", _list(at(placement, "host")), "Nothing."),
            ("On the chip", _list(at(placement, "chip")), "Nothing."),
        ],
        "unsupported": ("Not mapped", _list(at(run.report, "unsupported")), every),
    }


def _list(entries: object) -> list[Any] | None:
    return list(entries) if isinstance(entries, list | tuple) else None
