"""What fits one core and one chip: the limits of a population's parts, and the refusals by name.

What a core costs is in `deploy.map.core.costs`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount
from deploy.map.core.costs import connection_axons, connection_words, synapse_formats
from deploy.neurons import Neurons
from deploy.program.program import Input, Program, sent_range

# The resources in the order in which they are checked, the cheapest to count first, and what helps.
_HELP = {
    "neurons": "use fewer neurons",
    "output_axons": "give its target layers fewer neurons or fewer inputs, so that they need fewer cores",
    "neuron_groups": "let its neurons share du, dv and vth",
    "input_axons": "give the layer fewer inputs (channels, a smaller frame) or split its input over "
    "two layers",
    "synapse_words": "prune its inputs, give it fewer channels, or split its input over two layers",
}


@dataclass(frozen=True)
class Refusal:
    """Why a cut is none: the layer, the resource, by how much it is exceeded and what helps."""

    message: str


class Limits:
    """Which neurons of one population fit a core together.

    reaches: int64 [size], cores on which each neuron has a synapse. groups: int64 [size], the
    parameter group of each (`deploy.map.core.costs.neuron_groups`).
    """

    def __init__(
        self,
        program: Program,
        chip: Chip,
        population: Neurons,
        reaches: Ints,
        groups: Ints,
    ) -> None:
        self.chip, self.name = chip, population.name
        self.reaches, self.groups = reaches, groups
        self.incoming = program.into(population.name)
        self.limits = {
            resource: limit
            for resource in _HELP
            if (limit := getattr(chip, resource).value) is not None
        }
        # A core of all sources has axons enough: nothing to count.
        if sum(c.source_size for c in self.incoming) <= self.limits["input_axons"]:
            del self.limits["input_axons"]

    def used(self, resource: str, targets: Ints, part: Ints, parts: int) -> Ints:
        """What each part of these neurons (as in `deploy.connections.connection`) uses: int64 [parts]."""
        if resource == "neurons":
            return np.bincount(part, minlength=parts)
        if resource == "output_axons":
            return np.bincount(part, self.reaches[targets], parts).astype(np.int64)
        if resource == "neuron_groups":
            number = int(self.groups.max(initial=0)) + 1
            return np.bincount(
                np.unique(part * number + self.groups[targets]) // number, minlength=parts
            )
        if resource == "input_axons":
            return sum(
                (connection_axons(c, c.spread(targets, part, parts), parts) for c in self.incoming),
                np.zeros(parts, np.int64),
            )
        return sum(
            (connection_words(self.chip, c, targets, part, parts) for c in self.incoming),
            np.zeros(parts, np.int64),
        )

    def fit(self, targets: Ints, part: Ints, parts: int) -> bool:
        """Whether every part of these neurons fits."""
        return all(
            int(self.used(resource, targets, part, parts).max()) <= limit
            for resource, limit in self.limits.items()
        )

    def excess(self, targets: Ints) -> str | None:
        """Which resource, if any, one core has not enough of for these neurons."""
        return next((resource for resource, _, _ in self._exceeded(targets)), None)

    def alone(self, neuron: int) -> Refusal | None:
        """Why a neuron does not even fit a core of its own, if so."""
        for resource, number, limit in self._exceeded(np.array([neuron])):
            what = f"{resource.replace('_', ' ')} of a single neuron"
            return _exceeds(self.name, what, number, limit, _HELP[resource])
        return None

    def _exceeded(self, targets: Ints) -> Iterator[tuple[str, int, int]]:
        """(resource, use, limit) of all that one core has not enough of for these neurons."""
        part = np.zeros(len(targets), np.int64)
        for resource, limit in self.limits.items():
            number = int(self.used(resource, targets, part, 1)[0])
            if number > limit:
                yield resource, number, limit


def check_program(program: Program, chip: Chip) -> None:
    """Refuse, by name, what no mapping of a program can change (CheckFailed)."""
    for node in program.sources:
        _check_message_bits(chip, node)
    for population in program.populations:
        _check_delays(program, chip, population)
        _check_synapse_formats(program, chip, population)
    require_room({p.name: p.size for p in program.populations}, chip)


def require_room(sizes: Mapping[str, int], chip: Chip) -> None:
    """Raise CheckFailed for more neurons than the cores of a system hold, whatever else they are.

    sizes: {population: neurons}. Nothing need be known of their synapses, so that this can be asked
    before anything is made of them.
    """
    fewest = {name: -(-size // amount(chip.neurons)) for name, size in sizes.items()}
    if (refusal := too_many_cores(chip, fewest)) is not None:
        raise CheckFailed(refusal.message)


def _check_message_bits(chip: Chip, node: Input | Neurons) -> None:
    """Graded and ternary messages must fit the payload of the chip's messages."""
    low, high = sent_range(node)
    used = (
        0 if low >= 0 and high <= 1 else max(high.bit_length(), (-low - 1).bit_length()) + (low < 0)
    )
    limit = amount(chip.message_bits)
    if used > limit:
        raise CheckFailed(
            f"layer '{node.name}': graded messages of {used} bits exceed the {limit} of '{chip.name}' "
            f"by {used - limit}; use fewer bits, or binary spikes"
        )


def _check_delays(program: Program, chip: Chip, population: Neurons) -> None:
    """Delays of a population's inputs that the chip has."""
    for c in program.into(population.name):
        limit = amount(chip.max_delay)
        if c.synaptic_delay > limit:
            raise CheckFailed(
                f"layer '{population.name}': the delay of {c.delay} steps of '{c.name}', "
                f"{c.synaptic_delay} of them in its synapses, exceeds the {limit} of '{chip.name}' by "
                f"{c.synaptic_delay - limit}; shorten it, or add a relay layer"
            )


def _check_synapse_formats(program: Program, chip: Chip, population: Neurons) -> None:
    """Every core of a population holds the formats of all its incoming connections."""
    used, limit = len(synapse_formats(program.into(population.name))), chip.synapse_formats.value
    if limit is not None and used > limit:
        what, helps = "synapse formats of every core", "let its connections share weight exponents"
        raise CheckFailed(_exceeds(population.name, what, used, limit, helps).message)


def too_many_cores(chip: Chip, count: dict[str, int]) -> Refusal | None:
    """Why a cut into so many cores of each population does not fit the system, if it does not."""
    used = sum(count.values())
    if used <= chip.cores:
        return None
    largest = max(count, key=lambda name: count[name])
    told = f"{count[largest]} of {used} cores that the best cut takes; cores"
    return exceeds_system(chip, largest, told, used)


def exceeds_system(chip: Chip, layer: str, told: str, used: int) -> Refusal:
    """The refusal of a cut that takes `used` cores, more than there are; told: what they are."""
    chips = -(-used // amount(chip.cores_per_chip))
    return Refusal(
        f"layer '{layer}': {told} exceed the {chip.cores} of '{chip.name}' by {used - chip.cores}; use "
        f"a system of {chips} chips or more, prune, or use fewer channels"
    )


def _exceeds(layer: str, resource: str, used: int, limit: int, what_helps: str) -> Refusal:
    return Refusal(
        f"layer '{layer}': {used} {resource} exceed the {limit} of one core by {used - limit}; "
        f"{what_helps}"
    )
