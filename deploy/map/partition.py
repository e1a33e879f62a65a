"""Neurons onto neurocores, cores onto the mesh: few messages between cores, and short ways for them.

Candidates, each legal and none with more cores than the program's layers need one by one:

    tiles       groups of channels over rectangles of positions (`deploy.map.cut.tiles`)
    layer order every population cut in the order of its neurons (`deploy.map.cut.slices`)
    positions   the same in orders that keep together what hears the same (`deploy.map.cut.orders`)
    registers   the same, neurons of equal registers together where a core holds few groups of them
    refined     the best of these, then neurons moved singly between cores of their population
    per layer   each population split by hypergraph partitioning, then the same moves
    mixed       all populations together, so that a core may hold neurons of several layers
    annealed    the same, from the best cut on, where many neurons hear the same; then instead of
                the two before it, which take ten times as long and find more packets there

The one with the fewest packets is taken: messages · distinct remote cores (`deploy.map.core.hypergraph`), of
measured messages where they are given, else of one message a neuron. Per layer and mixed need the extra
`partition`, annealed needs `fast`. Large networks move clusters of neurons instead of neurons. Then
cores are placed (`deploy.map.place`). The same seed gives the same mapping.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, amount
from deploy.hardware.mapping import Mapping
from deploy.hardware.mesh import placed
from deploy.map.core.costs import loads, neuron_groups
from deploy.map.core.fits import Refusal
from deploy.map.core.hypergraph import Messages, Parts, between, count_packets, hypergraph
from deploy.map.cut.orders import by_registers, orders
from deploy.map.cut.slices import Orders, layer_parts, to_mapping
from deploy.map.cut.tiles import tile_parts
from deploy.map.improve import anneal as annealing
from deploy.map.improve import mtkahypar as hypergraph_library
from deploy.map.improve.local_search import Problem, local_search, part_problem, problem, repair
from deploy.map.place import arrange
from deploy.program.program import Program

# Networks up to this size are refined neuron by neuron, others by clusters.
_NEURONS, _SYNAPSES = 20_000, 3_000_000
_CLUSTERS, _CLUSTERS_A_CORE = 8192, 16
# With fewer clusters a core there is nothing to gain: 5 a core of Spikingformer-4-384 took the library
# 138 s of the processor, and no mapping that it found had fewer packets.
_FEWEST_CLUSTERS = 8
# Neurons of a mixed core over the average, so that no core stands empty beside a full one.
_BALANCE = 1.08


@dataclass(frozen=True, eq=False)
class Task:
    """What is mapped onto what, and how long is searched: fields as `partition` takes them."""

    program: Program
    chip: Chip
    messages: Messages | None = None
    seed: int = 0
    tries: int = 1
    library: bool = True

    @cached_property
    def ordering(self) -> Orders:
        """The order of each population that keeps together what hears the same."""
        return orders(self.program, self.seed)

    @property
    def seeds(self) -> range:
        """Of each try."""
        return range(self.seed * self.tries, (self.seed + 1) * self.tries)


def partition(
    program: Program,
    chip: Chip,
    messages: Messages | None = None,
    *,
    seed: int = 0,
    tries: int = 1,
    library: bool = True,
) -> Mapping:
    """Map a program onto a chip with few packets and hops.

    program: as the chip holds it, in its steps (`deploy.map.lower`): what messages wait in has its cost.
    messages: {node: integers [*shape]} that each neuron and input sent, as `Trace.messages`.
    tries: hypergraph partitions, of which the best is taken. library: False leaves it out.
    Raises CheckFailed naming the layer, the resource, by how much it is exceeded and what helps.

        >>> mapping = partition(program, load_chip("loihi2"))  # `Program`'s example
        >>> [(core.index, core.slices) for core in mapping.cores]
        [(0, (Slice(population='lif', start=0, stop=1),))]
    """
    return search(Task(program, chip, messages, seed, tries, library)).mapping


@dataclass(frozen=True)
class Search:
    """A mapping and how it was found: the name of the candidate that won, and the packets of each.

    packets: {candidate: of the messages given}, None of an only one, which nothing was held against.
    """

    mapping: Mapping
    won: str
    packets: dict[str, int | None]

    def to_json(self, samples: int) -> dict[str, Any]:
        """The report's `cores.found_by`: {"won", "candidates": {name: packets per inference, or null}}."""
        each = {n: None if sent is None else sent / samples for n, sent in self.packets.items()}
        return {"won": self.won, "candidates": each}


def search(task: Task) -> Search:
    """As `partition`, with the candidates that were weighed."""
    candidates = starts(task.program, task.chip, task.ordering)
    sent = _packets(task, candidates)
    start = candidates[_fewest(sent)]
    cores = _cores(start)
    if cores > len(task.program.populations):
        refined = _refined(task, start)
        candidates |= {name: parts for name, parts in refined.items() if _cores(parts) <= cores}
        sent = _packets(task, candidates, sent)
    won = _fewest(sent)
    return Search(_place(task, candidates[won]), won, sent)


def require_fit(program: Program, chip: Chip) -> None:
    """Raise CheckFailed, as `partition` does, where a program does not fit a chip: the quick check."""
    starts(program, chip, orders(program))


def starts(program: Program, chip: Chip, ordering: Orders) -> dict[str, Parts]:
    """The legal cuts of every population, in its own order and in these. Raises CheckFailed if none is."""
    found: dict[str, Parts] = {}
    refusals: list[Refusal] = []
    most = None
    tiles = tile_parts(program, chip)
    if isinstance(tiles, Refusal):
        refusals.append(tiles)  # the first is told: it knows the cores of the whole
    elif tiles is not None:
        found["tiles"] = tiles
        most = _cores_of_each(tiles)
    grouped = _grouped(program, chip, ordering)
    for name, order, even in (
        ("positions, even slices", ordering, True),
        ("positions, full cores", ordering, False),
        *([("registers, full cores", {**ordering, **grouped}, False)] if grouped else []),
        ("layer order", None, True),
    ):
        parts = layer_parts(program, chip, order, even=even, most=most)
        if isinstance(parts, Refusal):
            refusals.append(parts)
            continue
        found[name] = parts
        most = most or _cores_of_each(parts)
    if not found:
        raise CheckFailed(refusals[0].message)
    fewest = min(map(_cores, found.values()))
    return {name: parts for name, parts in found.items() if _cores(parts) == fewest}


def _grouped(program: Program, chip: Chip, ordering: Orders) -> Orders:
    """The orders of those populations that have more groups of equal registers than a core holds."""
    groups = neuron_groups(program)
    found = {name: by_registers(chip, order, groups[name]) for name, order in ordering.items()}
    return {name: order for name, order in found.items() if order is not None}


def _place(task: Task, part_of: Parts) -> Mapping:
    """The mapping of the core of every neuron (`part_of`, numbered from 0), placed with few hops."""
    cores = _cores(part_of)
    # Cores by how far along their populations' orders they are: layers side by side.
    rank, held = np.zeros(cores), np.zeros(cores)
    for name, part in part_of.items():
        along = np.empty(len(part))
        along[task.ordering[name]] = (np.arange(len(part)) + 0.5) / len(part)
        rank += np.bincount(part, along, cores)
        held += np.bincount(part, minlength=cores)
    along_all = np.argsort(rank / np.maximum(held, 1), kind="stable")
    traffic = between(hypergraph(task.program, part_of, cores, task.messages))
    index = arrange(task.chip, cores, traffic, along_all, task.seed)
    return placed(
        task.chip, to_mapping(task.chip, {name: index[part] for name, part in part_of.items()})
    )


def _refined(task: Task, start: Parts) -> dict[str, Parts]:
    """The candidates beyond cuts of orders by name, each within every limit."""
    program, cores, seeds = task.program, _cores(start), task.seeds
    library = task.library and hypergraph_library.available()
    vertex_of, size = _vertices(program, task.ordering, start, cores)
    clustered = len(size) < sum(p.size for p in program.populations)
    if len(size) <= (_FEWEST_CLUSTERS if clustered else 2) * cores:
        return {}
    graph = hypergraph(program, vertex_of, len(size), task.messages)
    whole = problem(graph, size)
    at = np.empty(len(size), np.int64)
    group = np.empty(len(size), np.int64)
    for i, (name, vertex) in enumerate(vertex_of.items()):
        at[vertex], group[vertex] = start[name], i
    full = np.bincount(at, size, cores).astype(np.int64)
    own = np.full(cores, -1, np.int64)
    own[at] = group
    most = np.array([full[own == i].max(initial=0) for i in range(len(vertex_of))])[own]
    found = {"refined": local_search(whole, at, cores, most, group, seeds[0])}
    weighted, capacity = _weighted(task, start, group, size)
    if _bound_by_groups(program, task.chip):
        seeds = range(0)
    for seed in seeds if annealing.available() and not clustered else []:
        parts = annealing.anneal(
            program, graph, vertex_of, task.messages, start, weighted, capacity, seed
        )
        if parts is not None:
            found[f"annealed, seed {seed}"] = np.concatenate([*parts.values()])
            library = False
    for seed in seeds if library else []:
        split = _per_layer(whole, at, group, full, seed)
        found[f"per layer, seed {seed}"] = local_search(whole, split, cores, most, group, seed)
        weighed = replace(whole, size=weighted)
        mixed = hypergraph_library.split(weighed, cores, capacity, seed)
        if mixed is not None:
            room = np.full(cores, capacity)
            found[f"mixed, seed {seed}"] = local_search(weighed, mixed, cores, room, None, seed)
    legal = {}
    for candidate, core in found.items():
        parts = repair(
            program, task.chip, {name: core[vertex] for name, vertex in vertex_of.items()}, cores
        )
        if parts is not None:
            legal[candidate] = _numbered(parts)
    return legal


def _bound_by_groups(program: Program, chip: Chip) -> bool:
    """Whether most neurons are of populations with more groups of equal registers than a core holds.

    Neither annealing nor the library looks at groups: cores of such neurons end up with several times
    the groups that they hold, which `repair` does not mend, so that seconds of search are for nothing.
    """
    limit = chip.neuron_groups.value
    if limit is None:
        return False
    number = {p.name: p.size for p in program.populations}
    bound = sum(number[name] for name, of in neuron_groups(program).items() if of.max() >= limit)
    return 2 * bound > sum(number.values())


def _per_layer(whole: Problem, at: Ints, group: Ints, full: Ints, seed: int) -> Ints:
    """Every population split anew over its own cores, where the library finds a way."""
    core = at.copy()
    for i in range(int(group.max()) + 1):
        mine = np.flatnonzero(group == i)
        own = np.unique(at[mine])
        if len(own) < 2:
            continue
        alone = part_problem(whole, int(mine[0]), int(mine[-1]) + 1)
        split = hypergraph_library.split(alone, len(own), int(full[own].max()), seed)
        if split is not None:
            core[mine] = own[split]
    return core


def _weighted(task: Task, start: Parts, group: Ints, size: Ints) -> tuple[Ints, int]:
    """(size of each vertex, capacity of a core) for mixed cores, by the scarcest resource of each layer."""
    chip, cores = task.chip, _cores(start)
    limit = amount(chip.neurons)
    used = loads(task.program, chip, start, cores)
    share = np.zeros(len(start))
    for i, part in enumerate(start.values()):
        own = np.unique(part)
        for resource in ("neurons", "synapse_words", "output_axons"):
            most = getattr(chip, resource).value
            if most is not None:
                per_neuron = used[resource][own] / used["neurons"][own]
                share[i] = max(share[i], float(per_neuron.max()) / most)
    # A neuron where neurons are scarce weighs 1 · fine, exactly.
    fine = 1 if np.all(share * limit <= 1 + 1e-9) else 64
    weighted = np.ceil(share[group] * limit * fine - 1e-6).astype(np.int64) * size
    balanced = int(np.ceil(_BALANCE * weighted.sum() / cores)) + int(weighted.max())
    return weighted, min(limit * fine, balanced)


def _vertices(
    program: Program, ordering: Orders, start: Parts, cores: int
) -> tuple[dict[str, Ints], Ints]:
    """({population: vertex of each neuron}, neurons of each vertex), population after population.

    Single neurons; in a large network, of every core's neurons some clusters, next to each other
    in their order.
    """
    total = sum(p.size for p in program.populations)
    if total <= _NEURONS and sum(c.synapse_count() for c in program.connections) <= _SYNAPSES:
        first = np.cumsum([0, *(p.size for p in program.populations)])
        vertex = {p.name: first[i] + np.arange(p.size) for i, p in enumerate(program.populations)}
        return vertex, np.ones(total, np.int64)
    clusters = max(1, min(_CLUSTERS_A_CORE, _CLUSTERS // cores))
    found, sizes, number = {}, [], 0
    for name, part in start.items():
        order = ordering[name]
        by_core = order[np.argsort(part[order], kind="stable")]
        _, first, count = np.unique(part[by_core], return_index=True, return_counts=True)
        within = np.arange(len(part)) - np.repeat(first, count)
        key = np.repeat(np.arange(len(count)), count) * clusters + within * clusters // np.repeat(
            count, count
        )
        _, inverse, times = np.unique(key, return_inverse=True, return_counts=True)
        found[name] = np.empty(len(part), np.int64)
        found[name][by_core] = number + inverse
        sizes.append(times)
        number += len(times)
    return found, np.concatenate(sizes)


def _numbered(parts: Parts) -> Parts:
    """The same cores without the empty ones."""
    used = np.unique(np.concatenate(list(parts.values())))
    return {name: np.searchsorted(used, part) for name, part in parts.items()}


def _cores_of_each(parts: Parts) -> dict[str, int]:
    return {name: len(np.unique(part)) for name, part in parts.items()}


def _cores(parts: Parts) -> int:
    return max(int(part.max()) for part in parts.values()) + 1


def _packets(
    task: Task, candidates: dict[str, Parts], known: dict[str, int | None] | None = None
) -> dict[str, int | None]:
    """The packets of each, where there are several; `known` of some are not counted again."""
    if len(candidates) == 1:
        return dict.fromkeys(candidates)
    found = {name: sent for name, sent in (known or {}).items() if sent is not None}
    return {
        name: found[name]
        if name in found
        else count_packets(task.program, parts, _cores(parts), task.messages)
        for name, parts in candidates.items()
    }


def _fewest(sent: dict[str, int | None]) -> str:
    """The candidate of the fewest packets, the first of equals."""
    return min(sent, key=lambda name: sent[name] or 0)
