"""The whole system's energy: host, transfer, static power and chip, in one table with one total.

For one inference, under each coefficient set of `deploy.count.energy`, from a low to a high end:

    host        operations of the host · host_mac     (without it `synapse_mac`, which is then assumed)
    transfer    messages to and from the chip · (transfer_min, or `transfer` again) to transfer
    static      watts of a chip · chips · time of an inference in a stream of them
    chip        low_j to total_j of the set

Work that is done once for a set of labels stands beside the total, which it is no part of. In the system
without a chip the host computes the ANN of the same layers in one pass (`deploy.count.ann_baseline`),
which needs neither transfer nor the chip's static power:

    without the chip    host + ann macs · host_mac
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.count.energy import Coefficients
from deploy.count.host import Work
from deploy.count.operations import Counts
from deploy.program.program import Program

STATIC_W = 0.232
STATIC_SOURCE = (
    "Intel's PilotNet-LIF on one chip of Loihi 2, in a public notebook of lava-dl: 0.232 W of 0.679 W are "
    "static; of another chip or board an assumption (--static-power)"
)

Range = tuple[float, float]


@dataclass(frozen=True)
class Around:
    """What stands around a chip.

    parts: what the host does, in words; work: those of them that are counted. reads: how often in an
    inference each potential of a read-out is read. static_w: watts of one chip that does nothing; None
    for the published figure. chips: how many are on. seconds: an inference in a stream takes; None where
    no set says it.
    """

    parts: Sequence[str]
    work: Sequence[Work]
    reads: int = 1
    static_w: float | None = None
    chips: int = 1
    seconds: Range | None = None


def system_report(
    program: Program,
    counts: Counts,
    around: Around,
    sets: Sequence[Coefficients],
    chip: Sequence[Mapping[str, Any]],
    ann_macs: int,
) -> dict[str, Any]:
    """The report's `system`; joules per inference, each a range [low, high].

    program, counts: of what the chip runs. chip: the report's `energy`, an entry a set. ann_macs: of the
    ANN in one pass.

    {"host": [{"part", "operations" (null: not counted), "how", "once"}], "operations",
    "once_operations", "messages": {"to_chip", "from_chip"}, "static": {"watts", "chips", "seconds",
    "source"}, "ann_macs", "sets": [{"coefficients", "whole", "host_mac_j", "transfer_message_j",
    "assumptions", "joules": {"host", "transfer", "static", "chip"} (null: no coefficient), "total_j",
    "once_j", "ann_j", "without_chip_j", "saved_j"}], "total_range_j"}. The range is over the sets of a
    whole chip, where there are any.
    """
    counted = {work.part: work for work in around.work}
    host = [
        asdict(counted[part])
        if part in counted
        else {"part": part, "operations": None, "how": "not counted", "once": False}
        for part in around.parts
    ]
    operations = sum(w.operations for w in around.work if not w.once)
    once = sum(w.operations for w in around.work if w.once)
    to_chip = sum(counts.input_messages.values()) / counts.samples
    from_chip = _read(program, counts, around.reads)
    watts = STATIC_W if around.static_w is None else around.static_w
    given = "given by --static-power"
    static = (
        None
        if around.seconds is None
        else _times(watts * around.chips, (around.seconds[0], around.seconds[1]))
    )
    found = [
        _of_set(each, energy, operations, once, to_chip + from_chip, static, ann_macs)
        for each, energy in zip(sets, chip, strict=True)
    ]
    totals = [e["total_j"] for e in found if e["whole"]] or [e["total_j"] for e in found]
    return {
        "host": host,
        "operations": operations,
        "once_operations": once,
        "messages": {"to_chip": to_chip, "from_chip": from_chip},
        "static": {
            "watts": watts,
            "chips": around.chips,
            "seconds": None if around.seconds is None else list(around.seconds),
            "source": STATIC_SOURCE if around.static_w is None else given,
        },
        "ann_macs": ann_macs,
        "sets": found,
        "total_range_j": [min(low for low, _ in totals), max(high for _, high in totals)],
    }


def _of_set(
    each: Coefficients,
    chip: Mapping[str, Any],
    operations: float,
    once: float,
    messages: float,
    static: Range | None,
    ann_macs: int,
) -> dict[str, Any]:
    values = each.values
    mac = values.get("host_mac", values.get("synapse_mac"))
    used = {
        name: values[name] for name in ("host_mac", "transfer_min", "transfer") if name in values
    }
    assumed = [f"{name}: {c.source}" for name, c in used.items() if c.assumption]
    if "host_mac" not in values and mac is not None:
        assumed.append("host_mac: the set has none; its synapse_mac is taken")
    transfer = (
        None
        if "transfer" not in values
        else (values.get("transfer_min", values["transfer"]).joules, values["transfer"].joules)
    )
    parts: dict[str, Range | None] = {
        "host": None if mac is None else _times(operations, (mac.joules, mac.joules)),
        "transfer": None if transfer is None else _times(messages, transfer),
        "static": static,
        "chip": (chip["low_j"], chip["total_j"]),
    }
    low, high = (sum(part[end] for part in parts.values() if part is not None) for end in (0, 1))
    ann = None if mac is None else ann_macs * mac.joules
    without = None if mac is None or ann is None else operations * mac.joules + ann
    return {
        "coefficients": each.name,
        "whole": chip["whole"],
        "host_mac_j": None if mac is None else mac.joules,
        "transfer_message_j": transfer,
        "assumptions": assumed,
        "joules": parts,
        "total_j": (low, high),
        "once_j": None if mac is None else once * mac.joules,
        "ann_j": ann,
        "without_chip_j": without,
        "saved_j": None if without is None else (without - high, without - low),
    }


def _read(program: Program, counts: Counts, reads: int) -> float:
    """Values that leave the chip in an inference: spikes of outputs, potentials of read-outs."""
    sources = {output.source for output in program.outputs}
    return sum(
        p.size * reads if p.is_readout else counts.spikes[p.name] / counts.samples
        for p in program.populations
        if p.name in sources
    )


def _times(factor: float, ends: Range) -> Range:
    return factor * ends[0], factor * ends[1]
