"""Energy of counted operations, from coefficient files that give a source for every number.

For the totals over all samples, divided by the samples:

    synapses   ops · synapse_ac, or · synapse_mac where messages are graded, or · synapse_sparse or
               synapse_conv where a set has one and the connection is of that kind
    neurons    updates · neuron_update + spikes · neuron_spike
    messages   messages · message
    hops       east–west hops · hop_east_west + north–south hops · hop_north_south

`total_j` is the cautious figure: every neuron is charged an active update at every step, and the
zero weights that a core stores are charged where the hardware reads them (`zero_weights`): those that
take its synapse words, which the file of each kind in `deploy.connections` says.
`low_j` is the other end that the same coefficients allow: an active update only where the neuron
fires, else `neuron_update_min`, and no operation on zero weights. Counts cannot tell what lies
between. What a set has no coefficient for is listed as excluded, never taken as zero in silence.

A user's own coefficients are a JSON file of this form, given by its path:

    {"format": "neuroclip-coefficients", "version": 1, "name": "mine", "source": "what it is",
     "zero_weights": true,
     "coefficients": {"synapse_ac": {"value": 10.0, "unit": "pJ", "source": "measured",
                                     "assumption": false}}}

`host_mac`, `transfer` and `transfer_min` are of the system around the chip (`deploy.count.system`).
`synapse_mac` must stand beside `synapse_ac`; with `latency` it also says how long operations take
(`deploy.count.step_time`). The names: COEFFICIENTS in "J", "nJ" or "pJ", LATENCIES in "s", "us" or "ns".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from msgspec.structs import asdict

from deploy.connections.connection import Pattern
from deploy.count.operations import Counts
from deploy.errors import BadInput
from deploy.fields import Described, bundled, described, find_described

FORMAT = "neuroclip-coefficients"
VERSION = 1

COEFFICIENTS = (
    "synapse_ac",
    "synapse_mac",
    "synapse_sparse",
    "synapse_conv",
    "neuron_update",
    "neuron_update_min",
    "neuron_spike",
    "message",
    "hop_east_west",
    "hop_north_south",
    "host_mac",
    "transfer_min",
    "transfer",
)
LATENCIES = (
    "synapse",
    "neuron_update",
    "neuron_update_min",
    "neuron_spike",
    "message_out",
    "message_in",
    "hop_east_west",
    "hop_north_south",
    "barrier_min",
    "barrier",
)
# The coefficient of a connection by how its synapses are stored.
_OF_PATTERN: dict[Pattern, str] = {
    "all": "synapse_ac",
    "listed": "synapse_sparse",
    "image": "synapse_conv",
}
# No operation of a chip takes a number of joules, or pJ, beyond this.
_MOST = 1e12
_UNITS = {"J": 1.0, "nJ": 1e-9, "pJ": 1e-12}
_TIMES = {"s": 1.0, "us": 1e-6, "ns": 1e-9}


class _Entry(Struct, forbid_unknown_fields=True):
    value: Annotated[float, Meta(ge=0, le=_MOST)]
    unit: str
    source: str
    assumption: bool


_given: list[Any] = [(name, _Entry | UnsetType, UNSET) for name in COEFFICIENTS]
_Values: Any = defstruct("Values", _given, forbid_unknown_fields=True)
_Latency: Any = defstruct(
    "Latency", [(name, _Entry) for name in LATENCIES], forbid_unknown_fields=True
)


class _CoefficientFile(Described, frozen=True, kw_only=True):
    name: str
    source: str
    zero_weights: bool
    coefficients: _Values
    latency: _Latency | None = None


# Categories without which a figure is not of a whole chip.
_CHIP = ("synapses", "neurons", "messages")
_OF_SYSTEM = ("host_mac", "transfer_min", "transfer")
_NEVER_INCLUDED = ("static power", "input and output", "host (encoder, read-out)")


@dataclass(frozen=True)
class Coefficient:
    """Joules of one operation, with its source; `assumption` where the source does not state it."""

    joules: float
    source: str
    assumption: bool = False


@dataclass(frozen=True)
class Duration:
    """Seconds of one operation, with its source; `assumption` where the source does not state it."""

    seconds: float
    source: str
    assumption: bool = False


@dataclass(frozen=True)
class Coefficients:
    """A named set of energy coefficients; a missing one is not covered by the set.

    latency: durations of operations (`deploy.program.pipeline_latency`), all of LATENCIES or none.
    """

    name: str
    source: str
    zero_weights: bool
    """Whether the hardware performs every synapse that it stores, those of weight zero too."""
    values: Mapping[str, Coefficient]
    latency: Mapping[str, Duration] = field_of(default_factory=dict)


@dataclass(frozen=True)
class Energy:
    """Joules per inference of one coefficient set, and what it covers.

    joules: {"synapses", "neurons", "messages", "hops"}, None where not covered; per_node: by
    connection (its synapses), population and input (updates and messages).
    """

    coefficients: str
    source: str
    included: tuple[str, ...]
    excluded: tuple[str, ...]
    assumptions: tuple[str, ...]
    joules: Mapping[str, float | None]
    per_node: Mapping[str, float]
    total_j: float
    low_j: float

    @property
    def whole(self) -> bool:
        """Whether synapses, neurons and messages are all covered: else it is no figure of a chip."""
        return all(self.joules[category] is not None for category in _CHIP)


def bundled_coefficients() -> tuple[Coefficients, ...]:
    """Every coefficient set that ships with this package, by name."""
    return tuple(load_coefficients(name) for name in bundled("count/coefficients"))


def load_coefficients(name_or_path: str | Path) -> Coefficients:
    """Read a bundled set by name or a user's own by path.

    Raises BadInput: an unknown name (listing the known ones), or a damaged file (naming its key).
    """
    path = find_described("coefficients", "count/coefficients", name_or_path)
    found = described(path, FORMAT, VERSION, _CoefficientFile)
    values = {
        name: Coefficient(*_quantity(path, f"coefficients.{name}", entry, _UNITS))
        for name, entry in asdict(found.coefficients).items()
        if entry is not UNSET
    }
    for part, whole in (("synapse_mac", "synapse_ac"), ("synapse_ac", "synapse_mac")):
        if part not in values and whole in values:
            raise BadInput(
                f"{path}: key 'coefficients.{part}' is missing, '{whole}' needs it beside it"
            )
    if {"synapse_sparse", "synapse_conv"} & values.keys() and "synapse_ac" not in values:
        raise BadInput(f"{path}: key 'coefficients.synapse_ac' is missing")
    if ("hop_east_west" in values) != ("hop_north_south" in values):
        raise BadInput(
            f"{path}: key 'coefficients.hop_east_west' or 'hop_north_south' is missing beside the other"
        )
    if "neuron_update" not in values and {"neuron_update_min", "neuron_spike"} & values.keys():
        raise BadInput(f"{path}: key 'coefficients.neuron_update' is missing")
    if "transfer_min" in values and (
        "transfer" not in values or values["transfer_min"].joules > values["transfer"].joules
    ):
        raise BadInput(f"{path}: key 'coefficients.transfer_min' has no 'transfer' above it")
    if "neuron_update_min" in values and (
        values["neuron_update_min"].joules > values["neuron_update"].joules
    ):
        raise BadInput(f"{path}: key 'coefficients.neuron_update_min' is above 'neuron_update'")
    return Coefficients(
        found.name, found.source, found.zero_weights, values, _latencies(path, found.latency)
    )


def energy(counts: Counts, coefficients: Coefficients) -> Energy:
    """Joules per inference of `counts` under one coefficient set; see the module for the equations."""
    value = {name: c.joules for name, c in coefficients.values.items()}
    joules: dict[str, float | None] = dict.fromkeys(("synapses", "neurons", "messages", "hops"))
    low: dict[str, float] = {}
    nodes: dict[str, float] = {}
    included: list[str] = []
    excluded = list(_NEVER_INCLUDED)

    def add(
        category: str, text: str, high: Mapping[str, float], least: Mapping[str, float]
    ) -> None:
        included.append(text)
        joules[category] = sum(high.values()) / counts.samples
        low[category] = sum(least.values()) / counts.samples
        for name, j in high.items():
            nodes[name] = nodes.get(name, 0.0) + j / counts.samples

    if "synapse_ac" in value:
        each = {name: _synapse(value, counts, name) for name in counts.synaptic_ops}
        ops = counts.synaptic_ops_dense if coefficients.zero_weights else counts.synaptic_ops
        zeros = "zero weights included" if coefficients.zero_weights else "zero weights excluded"
        add(
            "synapses",
            f"synaptic operations ({zeros})",
            {name: n * each[name] for name, n in ops.items()},
            {name: n * each[name] for name, n in counts.synaptic_ops.items()},
        )
    else:
        excluded.append("synaptic operations (the set has no coefficient)")
    if "neuron_update" in value:
        active = value["neuron_update"]
        idle, fire = value.get("neuron_update_min", active), value.get("neuron_spike", 0.0)
        add(
            "neurons",
            "neuron updates (every neuron, every step, as active)",
            {
                name: n * active + counts.spikes[name] * fire
                for name, n in counts.neuron_updates.items()
            },
            {
                name: n * idle + counts.spikes[name] * (active - idle + fire)
                for name, n in counts.neuron_updates.items()
            },
        )
    else:
        excluded.append("neuron updates (the set has no coefficient)")
    if "message" in value and counts.messages is not None:
        sent = {name: n * value["message"] for name, n in counts.messages.items()}
        add("messages", "messages to remote cores (those of the inputs too)", sent, sent)
    else:
        reason = "the set has no coefficient" if "message" not in value else "not mapped"
        excluded.append(f"messages ({reason})")
    if "hop_east_west" in value and counts.hops is not None:
        east_west, north_south = value["hop_east_west"], value["hop_north_south"]
        hops = {
            name: n * east_west + counts.hops.north_south[name] * north_south
            for name, n in counts.hops.east_west.items()
        }
        add("hops", "hops on the mesh between cores", hops, hops)
        excluded.append("hops from the host to the cores of the inputs (their way is not known)")
        if any(counts.hops.chip_crossings.values()):
            excluded.append("the links between chips (no set has a coefficient)")
    else:
        reason = "cores are not placed" if counts.hops is None else "the set has no coefficient"
        excluded.append(f"hops on the mesh ({reason})")
    return Energy(
        coefficients.name,
        coefficients.source,
        tuple(included),
        tuple(excluded),
        _assumed(counts, coefficients),
        joules,
        nodes,
        sum(j for j in joules.values() if j is not None),
        sum(low.values()),
    )


def energy_report(counts: Counts, sets: Sequence[Coefficients]) -> dict[str, Any]:
    """The report's `energy` and `energy_range_j`: one entry per set, and the range over those of a chip.

    {"energy": [{"coefficients", "source", "included", "excluded", "assumptions", "joules",
    "per_node", "total_j", "low_j", "whole"}], "energy_range_j": [lowest low_j, highest total_j]}. A set
    that leaves out neurons or messages is not `whole`: it stands beside, and the range is over the
    others where there are any. Raises BadInput without any set: an energy figure of none would be zero.
    """
    if not sets:
        raise BadInput("energy: no coefficient set was given")
    entries = [energy(counts, coefficients) for coefficients in sets]
    whole = [e for e in entries if e.whole] or entries
    return {
        "energy": [
            {
                "coefficients": e.coefficients,
                "source": e.source,
                "included": list(e.included),
                "excluded": list(e.excluded),
                "assumptions": list(e.assumptions),
                "joules": dict(e.joules),
                "per_node": dict(e.per_node),
                "total_j": e.total_j,
                "low_j": e.low_j,
                "whole": e.whole,
            }
            for e in entries
        ],
        "energy_range_j": [min(e.low_j for e in whole), max(e.total_j for e in whole)],
    }


def _assumed(counts: Counts, coefficients: Coefficients) -> tuple[str, ...]:
    """The assumptions among the coefficients that these counts are priced with."""
    unused = {*_OF_SYSTEM} if counts.graded else {*_OF_SYSTEM, "synapse_mac"}
    return tuple(
        f"{name}: {c.source}"
        for name, c in coefficients.values.items()
        if c.assumption and name not in unused
    )


def _synapse(value: Mapping[str, float], counts: Counts, name: str) -> float:
    """Joules of one synaptic operation of a connection."""
    if name in counts.graded:
        return value["synapse_mac"]
    return value.get(_OF_PATTERN[counts.patterns[name]], value["synapse_ac"])


def _latencies(path: Path, given: Any) -> dict[str, Duration]:
    """The durations of a coefficient file, none where it has no `latency`."""
    if given is None:
        return {}
    found = {
        name: Duration(*_quantity(path, f"latency.{name}", entry, _TIMES))
        for name, entry in asdict(given).items()
    }
    for name in ("neuron_update", "barrier"):
        if found[f"{name}_min"].seconds > found[name].seconds:
            raise BadInput(f"{path}: key 'latency.{name}_min' is above '{name}'")
    return found


def _quantity(
    path: Path, where: str, entry: Any, units: Mapping[str, float]
) -> tuple[float, str, bool]:
    """(value in the base unit, source, assumption) of one entry of a coefficient file."""
    if entry.unit not in units:
        raise BadInput(
            f"{path}: key '{where}.unit' is {entry.unit!r}, expected one of {', '.join(units)}"
        )
    if not entry.source.strip():
        raise BadInput(f"{path}: key '{where}.source' is empty; every coefficient needs its source")
    return entry.value * units[entry.unit], entry.source, entry.assumption
