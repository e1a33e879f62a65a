"""The sections of the page: a section is a file with its `facts`, a template of its name, and a line here.

In: a run. Out: what each shows of it, in the order of `_SECTIONS`, then what was registered or installed.
"""

import re
from functools import cache

from deploy.errors import BadInput
from deploy.report.sections.chip import cores, latency, traffic
from deploy.report.sections.cost import counts, energy, skips, system
from deploy.report.sections.result import accuracy, classes, crosscheck, parity, proof, quantization
from deploy.report.sections.run import activity, coverage, network, placement, repeat
from deploy.report.words.section import Run, Section

__all__ = ["Run", "Section", "register", "sections"]

# The group of entry points under which a distribution offers a Section.
GROUP = "neuroclip.sections"

_SECTIONS = [
    Section("network", "Network", network.facts),
    Section("accuracy", "Accuracy", accuracy.facts),
    Section("classes", "Class by class", classes.facts, "Classes"),
    Section("quantization", "Quantization", quantization.facts),
    Section("parity", "Parity", parity.facts),
    Section("activity", "Activity", activity.facts),
    Section("cores", "Cores", cores.facts),
    Section("skips", "Residual skips", skips.facts),
    Section("traffic", "Traffic on the mesh", traffic.facts, "Traffic"),
    Section("counts", "Operations", counts.facts),
    Section("energy", "Energy", energy.facts),
    Section("latency", "Time", latency.facts),
    Section("system", "Whole system", system.facts),
    Section("crosscheck", "Cross-check", crosscheck.facts),
    Section("proof", "Proof of ranges", proof.facts, "Proof"),
    Section("placement", "What ran where", placement.facts, "Where"),
    Section("coverage", "Not covered", coverage.facts),
    Section("repeat", "Repeat this run", repeat.facts, "Repeat"),
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
    from deploy.plugins import installed, loaded

    for entry in installed(GROUP):
        register(loaded(entry, Section))
