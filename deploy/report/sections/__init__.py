"""The sections of the page, each a file with its data and a template of the same name beside it.

In: a run. Out: pieces of HTML in the order of `_SECTIONS`, then those that were registered or installed.
"""

import re
from functools import cache

from deploy.errors import BadInput
from deploy.report.sections.chip import cores, latency, traffic
from deploy.report.sections.cost import counts, energy, skips
from deploy.report.sections.result import accuracy, crosscheck, parity, proof, quantization
from deploy.report.sections.run import activity, coverage, placement, repeat
from deploy.report.sections.section import Run, Section

__all__ = ["Run", "Section", "register", "sections"]

# The group of entry points under which a distribution offers a Section.
GROUP = "neuroclip.sections"

_SECTIONS = [
    *(accuracy.SECTION, quantization.SECTION, parity.SECTION, placement.SECTION),
    *(activity.SECTION, cores.SECTION, skips.SECTION, traffic.SECTION, counts.SECTION),
    *(energy.SECTION, latency.SECTION, crosscheck.SECTION, proof.SECTION, coverage.SECTION),
    repeat.SECTION,
]


def sections() -> list[Section]:
    """Every section in the order of the page."""
    _installed()
    return list(_SECTIONS)


def register(section: Section, before: str | None = None) -> None:
    """Add a section of one's own to every page: at the end, or before another; again is no harm.

    Raises BadInput for an identity that another section has or that is no anchor, and for an unknown
    `before`.
    """
    if section in _SECTIONS:
        return
    known = [each.identity for each in _SECTIONS]
    if section.identity in known or not re.fullmatch("[a-z][a-z0-9-]*", section.identity):
        raise BadInput(f"report section '{section.identity}': taken, or not of a-z, 0-9 and -")
    if before is not None and before not in known:
        raise BadInput(f"report section '{section.identity}': there is no '{before}' to go before")
    _SECTIONS.insert(len(known) if before is None else known.index(before), section)


@cache
def _installed() -> None:
    """Register the sections that installed distributions offer, once."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        where = f"entry point '{entry.name}' of {GROUP} ({entry.value})"
        try:
            section = entry.load()
        except Exception as error:  # whatever a foreign module does
            raise BadInput(f"{where}: cannot be loaded: {error}") from error
        if not isinstance(section, Section):
            raise BadInput(f"{where}: is no Section but {type(section).__name__}")
        register(section)
