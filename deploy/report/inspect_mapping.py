"""What lives where on a chip, as plain text (`neuroclip inspect mapping.json`)."""

from collections import Counter
from collections.abc import Sized

import numpy as np

from deploy.count.packets import HOST, hops_of, traffic
from deploy.hardware.chip import Chip
from deploy.hardware.mapping import Core, Mapping
from deploy.map.validate import Violation
from deploy.program.program import Program
from deploy.report.inspect import aligned, in_sections

# Cores and broken rules that are listed one by one.
MAX_LINES = 256


def inspect_mapping(
    mapping: Mapping, program: Program | None, chip: Chip | None, broken: list[Violation]
) -> str:
    """Populations and cores of a mapping in aligned lines.

    program: that it maps, for the ways of its messages; chip: that it is on, where its description is
    at hand; broken: the rules that the mapping breaks, where both are known.
    """
    parts = [
        (_title(mapping, chip), _populations(mapping)),
        ("cores", _cores(mapping)),
    ]
    if program is not None and chip is not None:
        if not any(violation.rule == "slices_exist" for violation in broken):
            parts.append(("one message of every neuron and input", _ways(mapping, program, chip)))
        rules = [violation.message for violation in broken[:MAX_LINES]]
        parts.append(("rules", rules + _more(broken) or ["all are kept"]))
    return in_sections(parts)


def _title(mapping: Mapping, chip: Chip | None) -> str:
    of = "" if chip is None else f" of {chip.cores}"
    chips = {core.place.chip for core in mapping.cores if core.place is not None}
    on = f", on {len(chips)} {'chip' if len(chips) == 1 else 'chips'}" if chips else ", not placed"
    return f"{len(mapping.cores)}{of} cores of {mapping.chip}{on}"


def _populations(mapping: Mapping) -> list[str]:
    held: dict[str, list[int]] = {}
    for core in mapping.cores:
        for name, neurons in _neurons(core).items():
            held.setdefault(name, []).append(neurons)
    rows = [
        [name, str(sum(each)), str(len(each)), f"{min(each)}..{max(each)}"]
        for name, each in held.items()
    ]
    return aligned(["population", "neurons", "cores", "neurons a core"], rows, "lrrr")


def _cores(mapping: Mapping) -> list[str]:
    rows = [
        [
            str(core.index),
            *(("", "") if core.place is None
              else (str(core.place.chip), f"{core.place.x}, {core.place.y}")),
            str(sum(_neurons(core).values())),
            ", ".join(f"{name} {neurons}" for name, neurons in _neurons(core).items()),
        ]
        for core in mapping.cores[:MAX_LINES]
    ]  # fmt: skip
    head = ["core", "chip", "router x, y", "neurons", "of each population"]
    return aligned(head, rows, "rrrrl") + _more(mapping.cores)


def _ways(mapping: Mapping, program: Program, chip: Chip) -> list[str]:
    """Packets and hops by sender, if every neuron and input sent one message."""
    once = {node.name: np.ones(node.shape, np.int64) for node in program.sources}
    found = traffic(program, mapping, once)
    x, y, chips = hops_of(chip, found)
    rows = []
    for i, node in enumerate(program.sources):
        sent = (found.node == i) & found.remote
        if not sent.any():
            continue
        packets, hops = int(found.packets[sent].sum()), int((x + y)[sent].sum())
        ways = ["", "", ""]
        if not (found.sender[sent] == HOST).all():
            ways = [str(hops), f"{hops / packets:.2f}", str(int(chips[sent].sum()))]
        rows.append([node.name, str(packets), *ways])
    head = ["sender", "packets to other cores", "hops", "hops a packet", "from chip to chip"]
    return aligned(head, rows, "lrrrr")


def _neurons(core: Core) -> Counter[str]:
    """Neurons of each population on a core."""
    found: Counter[str] = Counter()
    for part in core.slices:
        found[part.population] += part.size
    return found


def _more(items: Sized) -> list[str]:
    left = len(items) - MAX_LINES
    return [f"… and {left} more"] if left > 0 else []
