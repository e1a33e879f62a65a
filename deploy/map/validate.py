"""An independent check of a mapping: one rule a function, and no code of the partitioner.

Costs are counted here neuron by neuron and list by list, on purpose the plain way.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Dense
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, Limit, amount
from deploy.hardware.mapping import Core, Mapping
from deploy.neurons import Neurons
from deploy.program.program import Program, sent_range


@dataclass(frozen=True)
class Violation:
    """A rule that a mapping breaks, at which core or node, and by how much."""

    rule: str
    where: str
    used: int
    limit: int
    message: str


Found = Iterator[Violation]
Targets = NDArray[np.int64]
Lists = tuple[NDArray[np.int64], NDArray[np.int64]]


def validate(program: Program, chip: Chip, mapping: Mapping) -> list[Violation]:
    """Every violation of every rule; an empty list for a legal mapping."""
    structural = [
        v
        for rule in (same_chip, core_indices, core_places, slices_exist, neurons_mapped_once)
        for v in rule(program, chip, mapping)
    ]
    # Costs of neurons that do not exist cannot be counted.
    if any(v.rule == "slices_exist" for v in structural):
        return structural
    return structural + [v for rule in LIMIT_RULES for v in rule(program, chip, mapping)]


def require_valid(program: Program, chip: Chip, mapping: Mapping) -> None:
    """Raise CheckFailed with the first violation of a mapping, and how many more there are."""
    violations = validate(program, chip, mapping)
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise CheckFailed(f"mapping: {violations[0].message}{more}")


def same_chip(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """The mapping was made for this chip."""
    if mapping.chip != chip.name:
        message = f"the mapping is for chip '{mapping.chip}', not for '{chip.name}'"
        yield Violation("same_chip", mapping.chip, 0, 0, message)


def core_indices(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """A core's index is one of the system's, and no two cores share it."""
    available = chip.chips * amount(chip.cores_per_chip)
    for index, times in Counter(core.index for core in mapping.cores).items():
        if not 0 <= index < available:
            message = f"core {index} is outside the {available} cores of '{chip.name}'"
            yield Violation("core_indices", f"core {index}", index, available - 1, message)
        if times > 1:
            message = f"core {index} is listed {times} times"
            yield Violation("core_indices", f"core {index}", times, 1, message)


def core_places(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """A placed core is at the router that its index says, and no router has more cores than it may."""
    per_chip, per_router = amount(chip.cores_per_chip), amount(chip.cores_per_router)
    placed = [core for core in mapping.cores if core.place is not None]
    for core in placed:
        on_chip, place = core.index % per_chip, core.place
        assert place is not None
        y, x = divmod(on_chip // per_router, amount(chip.mesh_columns))
        said, expected = (place.chip, place.x, place.y), (core.index // per_chip, x, y)
        if said != expected:
            message = (
                f"core {core.index}: placed at (chip, x, y) {said}, cores of this index are at "
                f"{expected}"
            )
            yield Violation("core_places", f"core {core.index}", 0, 0, message)
    for place, times in Counter(core.place for core in placed).items():
        if times > per_router:
            assert place is not None
            where = f"chip {place.chip}, x {place.x}, y {place.y}"
            message = f"{times} cores at {where}, one router has {per_router}"
            yield Violation("core_places", where, times, per_router, message)


def slices_exist(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Every slice is a non-empty range of neurons of a population of the program."""
    sizes = {p.name: p.size for p in program.populations}
    for core in mapping.cores:
        for s in core.slices:
            size = sizes.get(s.population, 0)
            if not 0 <= s.start < s.stop <= size:
                message = (
                    f"core {core.index}: neurons {s.start}..{s.stop} of '{s.population}', "
                    f"which has {size} neurons"
                )
                yield Violation("slices_exist", f"core {core.index}", s.stop, size, message)


def neurons_mapped_once(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Every neuron is on exactly one core."""
    for p in program.populations:
        times = np.zeros(p.size, np.int64)
        for core in mapping.cores:
            for s in core.slices:
                if s.population == p.name:
                    times[max(s.start, 0) : max(s.stop, 0)] += 1
        for wrong, word in ((times == 0, "no core"), (times > 1, "more than one core")):
            if wrong.any():
                number, first = int(wrong.sum()), int(np.flatnonzero(wrong)[0])
                message = f"layer '{p.name}': {number} neurons are on {word}, the first is {first}"
                yield Violation("neurons_mapped_once", p.name, int(times[first]), 1, message)


def neurons(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Neurons a core."""
    yield from _over(mapping, "neurons", chip.neurons, lambda core: len(_neurons_on(core)))


def synapse_words(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Synapse memory a core: a list for every source neuron, or the kernels of a convolution once."""

    def used(core: Core) -> int:
        return sum(_memory(chip, c, held) for c, held in _connections_on(program, core))

    yield from _over(mapping, "synapse_words", chip.synapse_words, used)


def input_axons(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Synapse lists a core: one per (connection, source neuron) that reaches it."""

    def used(core: Core) -> int:
        held = _connections_on(program, core)
        return sum(len(_lists(c, targets)[0]) for c, targets in held)

    yield from _over(mapping, "input_axons", chip.input_axons, used)


def output_axons(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """(Neuron, destination core) pairs a core sends to."""
    fan: dict[str, NDArray[np.int64]] = {
        p.name: np.zeros(p.size, np.int64) for p in program.populations
    }
    listed: dict[int, list[Core]] = defaultdict(list)
    for core in mapping.cores:
        listed[core.index].append(core)
    for same_index in listed.values():
        reached: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        for core in same_index:
            for c, targets in _connections_on(program, core):
                reached[c.source].append(_lists(c, targets)[0])
        for name in reached.keys() & fan.keys():
            fan[name][np.unique(np.concatenate(reached[name]))] += 1

    def used(core: Core) -> int:
        return sum(int(fan[name][i]) for name, i in _neurons_on(core))

    yield from _over(mapping, "output_axons", chip.output_axons, used)


def neuron_groups(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Distinct parameter sets (du, dv, vth) a core, counted per population."""
    table = {p.name: _parameters(p) for p in program.populations}

    def used(core: Core) -> int:
        return len({(name, table[name][i]) for name, i in _neurons_on(core)})

    yield from _over(mapping, "neuron_groups", chip.neuron_groups, used)


def synapse_formats(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Distinct weight formats (kind, exponent, delayed or not) a core."""

    def used(core: Core) -> int:
        held = {name for name, _ in _neurons_on(core)}
        return len(
            {
                f"{type(c).__name__}/{c.exponent}/{c.delay >= 2}"
                for c in program.connections
                if c.target in held
            }
        )

    yield from _over(mapping, "synapse_formats", chip.synapse_formats, used)


def message_bits(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Payload of graded and ternary messages, in two's complement where they can be negative."""
    limit = amount(chip.message_bits)
    for node in program.sources:
        low, high = sent_range(node)
        if (low, high) in ((0, 0), (0, 1), (1, 1)):
            continue
        bits = 1
        while not (
            (low >= 0 and high < 2**bits) or (-(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1))
        ):
            bits += 1
        if bits > limit:
            message = (
                f"layer '{node.name}': graded messages of {bits} bits exceed the limit of {limit}"
            )
            yield Violation("message_bits", node.name, bits, limit, message)


def max_delay(program: Program, chip: Chip, mapping: Mapping) -> Found:
    """Steps that a synapse is delayed by, beyond the one of every connection."""
    limit = amount(chip.max_delay)
    for c in program.connections:
        steps = c.delay - 1
        if steps > limit:
            message = (
                f"layer '{c.target}': the delay of {c.delay} steps of '{c.name}' needs {steps} in its "
                f"synapses, beyond the limit of {limit} by {steps - limit}"
            )
            yield Violation("max_delay", c.name, steps, limit, message)


LIMIT_RULES = (
    max_delay,
    message_bits,
    neurons,
    synapse_words,
    input_axons,
    output_axons,
    neuron_groups,
    synapse_formats,
)


def _parameters(p: Neurons) -> list[tuple[Any, ...]]:
    """What the neurons of a population can differ in besides what each has for itself."""
    arrays = [getattr(p, f.name) for f in fields(p) if f.name not in p.ungrouped]
    registers = [x.flat for x in arrays if isinstance(x, np.ndarray)]
    return [*zip(*registers, strict=True)] if registers else [()] * p.size


def _neurons_on(core: Core) -> list[tuple[str, int]]:
    return [(s.population, i) for s in core.slices for i in range(s.start, s.stop)]


def _connections_on(program: Program, core: Core) -> list[tuple[Connection, NDArray[np.int64]]]:
    """The connections that end on a core, each with the target neurons there."""
    held: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for s in core.slices:
        held[s.population].append(np.arange(s.start, s.stop))
    targets = {name: np.concatenate(parts) for name, parts in held.items()}
    return [(c, targets[c.target]) for c in program.connections if c.target in targets]


def _lists(c: Connection, targets: Targets) -> Lists:
    """The sources with synapses onto the targets, and how many each has, zero weights included."""
    return _form(c).sizes(c, targets)


@dataclass(frozen=True)
class _Form:
    """How a core stores a kind of connection.

    sizes: as `_lists`. indexed: whether each synapse says its target. kernels: the sizes of the lists of
    a chip that shares weights, which says no target; None where there is nothing to share.
    """

    sizes: Callable[[Any, Targets], Lists]
    indexed: bool = True
    kernels: Callable[[Any, Targets], list[int]] | None = None


def _form(c: Connection) -> _Form:
    return _FORMS.get(type(c), _LISTED)


def _listed(c: Connection, targets: Targets) -> Lists:
    """Of a connection that lists its synapses, one by one."""
    of = c.listed()
    rows = [of.indices[of.indptr[i] : of.indptr[i + 1]] for i in targets]
    return np.unique(np.concatenate(rows), return_counts=True)


def _dense(c: Dense, targets: Targets) -> Lists:
    sources = c.weight.shape[1]
    return np.arange(sources), np.full(sources, len(targets), np.int64)


def _convolved(c: Conv2d, targets: Targets) -> Lists:
    outputs, inputs, height, width = c.weight.shape
    channel, y, x = np.unravel_index(targets, c.target_shape)
    group = channel // (outputs // c.groups)
    columns = np.arange(width) * c.dilation[1] - c.padding[1]
    from_x = x[:, None] * c.stride[1] + columns
    on_row = (from_x >= 0) & (from_x < c.size[1])
    seen = []
    for dy in range(height):
        from_y = y * c.stride[0] + dy * c.dilation[0] - c.padding[0]
        real = on_row & ((from_y >= 0) & (from_y < c.size[0]))[:, None]
        row = (group * c.size[0] + from_y) * c.size[1]
        seen.append((row[:, None] + from_x)[real])
    # Every input channel of a group is seen at the same positions.
    positions, sizes = np.unique(np.concatenate(seen), return_counts=True)
    group, position = np.divmod(positions, c.size[0] * c.size[1])
    plane = c.size[0] * c.size[1]
    sources = (group * inputs)[None, :] * plane + np.arange(inputs)[:, None] * plane + position
    return sources.reshape(-1), np.tile(sizes, inputs)


def _kernels(c: Conv2d, targets: Targets) -> list[int]:
    outputs, inputs, height, width = c.weight.shape
    channels = set(np.unravel_index(targets, c.target_shape)[0].tolist())
    in_group = Counter(channel * c.groups // outputs for channel in channels)
    return [n * height * width for n in in_group.values() for _ in range(inputs)]


_LISTED = _Form(_listed)
_FORMS: dict[type[Connection], _Form] = {
    Dense: _Form(_dense, indexed=False),
    Conv2d: _Form(_convolved, kernels=_kernels),
}


def _memory(chip: Chip, c: Connection, targets: Targets) -> int:
    """Words of the lists that one connection needs for the targets."""
    delayed, form = c.delay >= 2, _form(c)
    if form.kernels is not None and chip.shared_kernels.value == 1:
        return sum(_list_words(chip, n, delayed, False) for n in form.kernels(c, targets))
    sizes = Counter(_lists(c, targets)[1].tolist())
    return sum(times * _list_words(chip, n, delayed, form.indexed) for n, times in sizes.items())


def _list_words(chip: Chip, synapses: int, delayed: bool, indexed: bool) -> int:
    each = amount(chip.synapse_bits)
    if delayed:
        each += amount(chip.delay_bits)
    if indexed:
        each += amount(chip.index_bits)
    words, left = 0, synapses
    while left > 0:
        here = left
        if chip.synapses_per_block.value is not None:
            here = min(left, chip.synapses_per_block.value)
        words += ceil((here * each + amount(chip.axon_bits)) / amount(chip.word_bits))
        left -= here
    return words


def _over(mapping: Mapping, rule: str, limit: Limit, used: Callable[[Core], int]) -> Found:
    if limit.value is None:
        return
    for core in mapping.cores:
        amount_used = used(core)
        if amount_used > limit.value:
            message = (
                f"core {core.index}: {amount_used} {rule.replace('_', ' ')} exceed the limit of "
                f"{limit.value} by {amount_used - limit.value}"
            )
            yield Violation(rule, f"core {core.index}", amount_used, limit.value, message)
