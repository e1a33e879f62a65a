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
    """Add a section of one's own to every page: at the end, or before the one of that identity.

    Raises BadInput for an identity that is taken or no anchor, and for an unknown `before`.
    """
    taken = [known.identity for known in _SECTIONS]
    if section.identity in taken or not re.fullmatch("[a-z][a-z0-9-]*", section.identity):
        raise BadInput(f"report section '{section.identity}': taken, or not a-z, 0-9 and -")
    if before is not None and before not in taken:
        raise BadInput(f"report section '{section.identity}': no section '{before}' to go before")
    _SECTIONS.insert(len(taken) if before is None else taken.index(before), section)


@cache
def _installed() -> None:
    """Register the sections that installed distributions offer, once."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        section = point.load()
        if not isinstance(section, Section):
            raise BadInput(f"report section '{point.name}' ({point.value}): not a Section")
        register(section)
