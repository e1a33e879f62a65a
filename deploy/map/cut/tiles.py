"""Populations of images cut into tiles: a group of channels over a rectangle of positions a core.

Where kernels are stored once a core, its synapse words grow with the channels it holds and its
input axons with the positions it sees, so that a wide convolution needs few of both on each core:
no slice of one order has that. Channels, rows and columns are each split evenly, into the fewest
tiles in all that respect every limit; populations without an image are cut as in `deploy.map.cut.slices`,
in the order of their neurons or of their registers.

For example 4 channels of 4 × 4 positions, 64 neurons, onto cores of 16 neurons and 150 synapse words,
where a channel's kernels take 50 words. Four tiles at least; splits (channels, rows, columns):

    1 × 1 × 4, 1 × 2 × 2, 1 × 4 × 1   all 4 channels: 200 words, one too many
    2 × 1 × 2                         2 channels of 4 × 2 positions: 100 words, 16 neurons: taken
"""

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.hardware.chip import Chip, amount
from deploy.map.core.costs import neuron_groups
from deploy.map.core.fits import Limits, Refusal, check_program, too_many_cores
from deploy.map.core.hypergraph import Parts, reached
from deploy.map.cut.orders import by_position, by_registers
from deploy.map.cut.slices import slices
from deploy.neurons import Neurons
from deploy.program.program import Program


def tile_parts(program: Program, chip: Chip) -> Parts | Refusal | None:
    """The core of every neuron, numbered from 0, or by how much this cut exceeds the system.

    None where a population alone has no such cut. Raises CheckFailed for what no cut can change.
    """
    check_program(program, chip)
    groups = neuron_groups(program)
    parts: dict[str, Ints] = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    reaches = {p.name: np.full(p.size, -1) for p in program.populations}
    changed = True
    # From the last population to the first: output axons depend on the cuts of the targets. Where
    # there are loops, the most cores that each neuron was ever seen to reach only grow.
    while changed:
        changed = False
        for name in reversed(program.order):
            population = program.population(name)
            now = np.maximum(reaches[name], _reached(program, population, parts))
            if np.array_equal(now, reaches[name]):
                continue
            changed, reaches[name] = True, now
            found = _cut(Limits(program, chip, population, now, groups[name]), population)
            if found is None:
                return None
            parts[name] = found
    count = {name: int(part.max()) + 1 for name, part in parts.items()}
    if (refusal := too_many_cores(chip, count)) is not None:
        return refusal
    first = np.cumsum([0, *count.values()])
    return {name: part + first[i] for i, (name, part) in enumerate(parts.items())}


def _reached(program: Program, population: Neurons, parts: Parts) -> Ints:
    """`reached`, with the parts of the targets numbered one after another."""
    total, of = 0, {}
    for target in dict.fromkeys(c.target for c in program.out_of(population.name)):
        of[target] = parts[target] + total
        total += int(parts[target].max()) + 1
    return reached(program, population, of, total)


def _cut(limits: Limits, population: Neurons) -> Ints | None:
    """The part of each neuron, numbered from 0, or None where there is no such cut of the system's cores."""
    size, chip = population.size, limits.chip
    if len(population.shape) != 3 or not any(c.pattern == "image" for c in limits.incoming):
        own = np.arange(size)
        orders = [own, by_registers(chip, own, limits.groups)]
        cuts = [(slices(limits, order, even=True), order) for order in orders if order is not None]
        fit = [(cut, order) for cut, order in cuts if not isinstance(cut, Refusal)]
        return _sliced(*min(fit, key=lambda found: len(found[0]))) if fit else None
    most = chip.output_axons.value
    sent = 0 if most is None else -(-int(limits.reaches.sum()) // most)
    fewest = max(-(-size // amount(chip.neurons)), sent)
    # As few as this are no product of three numbers, most often, but a slice may fit.
    order = by_position(population)
    part = np.arange(size) * fewest // size
    if fewest <= chip.cores and limits.fit(order, part, fewest):
        placed = np.empty(size, np.int64)
        placed[order] = part
        return placed
    return _tiled(limits, population, fewest)


def _tiled(limits: Limits, population: Neurons, fewest: int) -> Ints | None:
    channels, height, width = population.shape
    grids = sorted(
        (a * b * c, a, b, c)
        for a in _splits(channels)
        for b in _splits(height)
        for c in _splits(width)
    )
    too_large: list[tuple[int, int, int]] = []
    for number, a, b, c in grids:
        tile = -(-channels // a), -(-height // b), -(-width // c)
        if number < fewest or any(
            all(x >= y for x, y in zip(tile, other, strict=True)) for other in too_large
        ):
            continue
        if number > limits.chip.cores:
            return None
        part = (_even(channels, a)[:, None, None] * b + _even(height, b)[:, None]) * c
        part = (part + _even(width, c)).reshape(-1)
        middle = (channels // 2 * height + height // 2) * width + width // 2
        if limits.excess(np.flatnonzero(part == part[middle])) is not None:
            too_large.append(tile)
        elif limits.fit(np.arange(population.size), part, number):
            return part
    return None


def _splits(size: int) -> list[int]:
    """The fewest equal parts for each size that these can have."""
    return sorted({-(-size // part) for part in range(1, size + 1)})


def _even(size: int, parts: int) -> Ints:
    return np.arange(size) * parts // size


def _sliced(cut: list[tuple[int, int]], order: Ints) -> Ints:
    part = np.empty(len(order), np.int64)
    part[order] = np.repeat(np.arange(len(cut)), [stop - start for start, stop in cut])
    return part
