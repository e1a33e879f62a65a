"""`Plan`: a program's populations in blocks, with registers and weights laid out for the kernels.

A block is a strongly connected component of the network: one population without a connection to
itself, which runs for all its steps at once, or a cycle, which must go step by step.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.layout import (
    LINK,
    LISTED,
    ROWS,
    Layout,
    Weights,
    aligned,
    kernel_form,
    layouts,
    weights,
)
from deploy.emulate.fast.spikes import WORD, words
from deploy.neurons import Neurons, is_plain
from deploy.program.program import Connection, Program
from deploy.prove.proof import Proof, prove

# While |a| stays below this, |u| ≤ 2^23 holds after one wrap, and every value of the recurrence
# but the decay's product fits 32 bits.
_NARROW_SUM = 2**18
# The emulator stops at a larger message of a population.
_MESSAGE = 2**31


@dataclass(frozen=True, eq=False)
class Synapses:
    """A connection as the kernels read it.

    exact: the arithmetic in which every partial sum is exact. start: of the target in its block.
    source, target: how both ends lie. weights: of a block's own connection they are in its `inside`
    arrays. link: a `LINK` of `deploy.emulate.fast.layout`, what the kernels need to know of it.
    cache: what matrix products make of the weights, once.
    """

    connection: Connection
    exact: str
    start: int
    source: Layout
    target: Layout
    weights: Weights
    link: np.void
    cache: dict[Any, Any]


@dataclass(frozen=True, eq=False)
class Block:
    """Populations that need each other's messages, side by side on one axis of `size` neurons.

    Each starts at a whole word of spikes; neurons between two of them never fire.
    narrow: no sum can need more than 32 bits for the neurons. compiled: all neurons are of the
    model that the compiled kernels know. graded: some messages are other than 0 and 1.
    mu, mv: 4096 − decay of u and v; bias; threshold: vth << 6; each int32 (where `narrow`) or int64
    [size], and empty where not `compiled`.
    outside, inside: connections from other blocks or inputs, and among its own populations.
    layouts: of the populations. spans: int64 [populations, 5]: start, stop, first and last row of
    `links`, and whether no state decays (u is this step's sum alone and v keeps all). links, rows,
    taps, table: the inside connections with their weights joined.
    """

    populations: tuple[Neurons, ...]
    starts: tuple[int, ...]
    size: int
    narrow: bool
    compiled: bool
    graded: bool
    mu: NDArray[Any]
    mv: NDArray[Any]
    bias: NDArray[Any]
    threshold: NDArray[Any]
    outside: tuple[Synapses, ...]
    inside: tuple[Synapses, ...]
    layouts: tuple[Layout, ...]
    spans: NDArray[np.int64]
    links: NDArray[np.void]
    rows: NDArray[np.int8]
    taps: NDArray[np.int16]
    table: NDArray[np.int32]

    @property
    def sums(self) -> type[np.int32] | type[np.int64]:
        """The type of the neurons' synaptic sums."""
        return np.int32 if self.narrow else np.int64


@dataclass(frozen=True, eq=False)
class Plan:
    """A program ready to be emulated many times: see `prepare`.

    layouts: of every node. needed: of every node, the number of the last block that hears it.
    """

    program: Program
    blocks: tuple[Block, ...]
    layouts: dict[str, Layout]
    needed: dict[str, int]


def prepare(program: Program) -> Plan:
    """Order a program into blocks and lay out its weights; later changes of its arrays are unseen."""
    found = layouts(program)
    forms = tuple(kernel_form(c, found[c.source], found[c.target]) for c in program.connections)
    if any(form is not c for form, c in zip(forms, program.connections, strict=True)):
        program = replace(program, connections=forms)
    # Steps matter only to populations whose messages grow with them, which are not relied on.
    proof = prove(program, timesteps=0)
    components = _components(program)
    needed = {
        c.source: max(i for i, names in enumerate(components) if _hears(program, names, c.source))
        for c in program.connections
    }
    blocks = tuple(_block(program, names, proof, found) for names in components)
    return Plan(program, blocks, found, needed)


def _hears(program: Program, names: tuple[str, ...], source: str) -> bool:
    return any(c.source == source for name in names for c in program.into(name))


def _block(
    program: Program,
    names: tuple[str, ...],
    proof: Proof,
    found: dict[str, Layout],
) -> Block:
    populations = tuple(program.population(name) for name in names)
    widths = [words(p.size) * WORD for p in populations]
    ends = np.cumsum(widths).tolist()
    starts = dict(zip(names, [0, *ends[:-1]], strict=True))
    synapses = [
        _synapses(c, _exact(program, c, proof.arithmetic[c.name]), starts, width, found)
        for name, width in zip(names, widths, strict=True)
        for c in program.into(name)
    ]
    # Shifts are 7 bits at most, so sums fit 32 bits before theirs too.
    narrow = all(
        all(_bounded(program, c) for c in program.into(name))
        and proof.sums[name][0] >= -_NARROW_SUM
        and proof.sums[name][1] <= _NARROW_SUM
        for name in names
    )
    plain = [p for p in populations if is_plain(p)]
    if len(plain) < len(populations):
        plain = []
    dtype = np.int32 if narrow else np.int64

    def joined(values: list[Any], between: int) -> NDArray[Any]:
        line = np.full(ends[-1] if plain else 0, between, dtype)
        for p, value in zip(plain, values, strict=True):
            line[starts[p.name] : starts[p.name] + p.size] = found[p.name].inner(value)
        return line

    inside = tuple(s for s in synapses if s.connection.source in starts)
    mu, mv = joined([4095 - p.du for p in plain], 0), joined([4096 - p.dv for p in plain], 4096)
    threshold = joined([np.left_shift(p.vth, 6) for p in plain], 2**23)
    bias = joined([p.bias for p in plain], 0)
    return Block(
        populations, tuple(starts.values()), ends[-1], narrow, bool(plain),
        any(p.message_range != (0, 1) for p in populations), mu, mv, bias, threshold,
        tuple(s for s in synapses if s.connection.source not in starts), inside,
        tuple(found[name] for name in names),
        _spans(populations, starts, widths, inside, mu, mv), *_joined(inside),
    )  # fmt: skip


def _bounded(program: Program, c: Connection) -> bool:
    """Whether the proof bounds the messages of a connection, however many steps a sample has."""
    source = next((p for p in program.populations if p.name == c.source), None)
    return source is None or source.messages_hold


def _exact(program: Program, c: Connection, proven: str) -> str:
    """The arithmetic in which a connection's sums are exact."""
    if _bounded(program, c):
        return proven
    largest = int(np.abs(c.weight).max(initial=0)) * c.fan_in() * _MESSAGE
    return "float64" if largest <= 2**53 else "int64"


def _synapses(
    c: Connection, exact: str, starts: dict[str, int], width: int, found: dict[str, Layout]
) -> Synapses:
    source, target = found[c.source], found[c.target]
    made = weights(c, source, target, width)
    link = np.zeros(1, LINK)[0]
    entries = made.link | {
        "rows": made.kind == ROWS, "listed": made.kind == LISTED,
        "source_word": starts.get(c.source, 0) // WORD, "source_words": words(source.size),
        "source_size": source.size, "delay": c.delay, "start": starts[c.target], "width": width,
    }  # fmt: skip
    for name, value in entries.items():
        link[name] = value
    return Synapses(c, exact, starts[c.target], source, target, made, link, {})


def _spans(
    populations: tuple[Neurons, ...],
    starts: dict[str, int],
    widths: list[int],
    inside: tuple[Synapses, ...],
    mu: NDArray[Any],
    mv: NDArray[Any],
) -> NDArray[np.int64]:
    spans: list[tuple[int, ...]] = []
    first = 0
    for p, width in zip(populations, widths, strict=True):
        start, stop = starts[p.name], starts[p.name] + width
        last = first + sum(s.connection.target == p.name for s in inside)
        keeps = len(mu) > 0 and not mu[start:stop].any() and bool((mv[start:stop] == 4096).all())
        spans.append((start, stop, first, last, int(keeps)))
        first = last
    return np.array(spans, np.int64)


def _joined(
    inside: tuple[Synapses, ...],
) -> tuple[NDArray[np.void], NDArray[np.int8], NDArray[np.int16], NDArray[np.int32]]:
    """Links, rows, taps and tables of connections, one after the other, in the order of targets."""
    links = np.array([s.link for s in inside], LINK)
    parts: list[list[NDArray[Any]]] = [[], [], []]
    for link, s in zip(links, inside, strict=True):
        arrays: tuple[NDArray[Any], ...] = (s.weights.rows, s.weights.taps, s.weights.table)
        begins = [sum(len(a) for a in part) for part in parts]
        link["weights"] = begins[0] if s.weights.kind == ROWS else begins[1]
        link["table"] = begins[2]
        for part, array in zip(parts, arrays, strict=True):
            part.append(array)
    rows = aligned(sum(len(a) for a in parts[0]))
    if len(rows):
        np.concatenate(parts[0], out=rows)
    return (
        links, rows,
        np.concatenate([np.zeros(0, np.int16), *parts[1]]),
        np.concatenate([np.zeros(0, np.int32), *parts[2]]),
    )  # fmt: skip


def _components(program: Program) -> list[tuple[str, ...]]:
    """Strongly connected components, each after those that reach it; names in program order."""
    names = program.order
    index = {name: i for i, name in enumerate(names)}
    reach = np.eye(len(names), dtype=np.float32)
    for c in program.connections:
        if c.source in index:
            reach[index[c.source], index[c.target]] = 1
    while True:
        further = np.minimum(reach @ reach, 1)
        if np.array_equal(further, reach):
            break
        reach = further
    together = (reach * reach.T).astype(bool)
    # In a component every population is reached from the same number of populations, and a later
    # component from strictly more than those that reach it.
    firsts = [i for i in range(len(names)) if not together[i, :i].any()]
    firsts.sort(key=lambda i: int(reach[:, i].sum()))
    return [tuple(names[j] for j in np.flatnonzero(together[i])) for i in firsts]
