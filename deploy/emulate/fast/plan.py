"""`Plan`: a program's populations in blocks, with registers and weights laid out for the kernels.

A block is a strongly connected component of the network: one population without a connection to
itself, which runs for all its steps at once, or a cycle, which must go step by step.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast.forms import SETTINGS, Form, form, joined
from deploy.emulate.fast.layout import (
    Layout,
    Weights,
    kernel_form,
    layouts,
    weights,
)
from deploy.emulate.fast.spikes import WORD, words
from deploy.neurons import Neurons
from deploy.program.order import components
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
    inside: the start of the source in the same block, None where it is in none or in another.
    source, target: how both ends lie. link: entries of `LINK` of `deploy.emulate.fast.layout`, what
    the kernels need to know of it; others are 0, or of one run. cache: what matrix products make of the
    weights, once.
    """

    connection: Connection
    exact: str
    start: int
    inside: int | None
    source: Layout
    target: Layout
    weights: Weights
    link: dict[str, int]
    cache: dict[Any, Any]


@dataclass(frozen=True, eq=False)
class Block:
    """Populations that need each other's messages, side by side on one axis of `size` neurons.

    Each starts at a whole word of spikes; neurons between two of them never fire.
    narrow: neither a sum nor a state can need more than 32 bits. graded: some messages are other than
    0 and 1. forms: of the populations' compiled updates. registers: theirs, int32 (where `narrow`) or
    int64 [rows, size]. settings: int64 [populations, 8].
    synapses: its connections in the order of their targets; outside, inside: those from other blocks
    or inputs, and among its own populations.
    layouts: of the populations. spans: int64 [populations, 8]: start, stop, first and last of the
    synapses, whether it is still without a sum, the rows of u and v, and up to where it is updated.
    """

    populations: tuple[Neurons, ...]
    starts: tuple[int, ...]
    size: int
    narrow: bool
    graded: bool
    forms: tuple[Form, ...]
    registers: NDArray[Any]
    settings: NDArray[np.int64]
    synapses: tuple[Synapses, ...]
    layouts: tuple[Layout, ...]
    spans: NDArray[np.int64]

    @property
    def outside(self) -> tuple[Synapses, ...]:
        return tuple(s for s in self.synapses if s.inside is None)

    @property
    def inside(self) -> tuple[Synapses, ...]:
        return tuple(s for s in self.synapses if s.inside is not None)

    @property
    def uncompiled(self) -> dict[str, str]:
        """Populations whose step has no compiled form, and why: NumPy takes it, and their block's."""
        return {p.name: f.why for p, f in zip(self.populations, self.forms, strict=True) if f.why}

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

    @property
    def uncompiled(self) -> dict[str, str]:
        """Populations whose step NumPy takes, with numba too, and why their kind is not compiled."""
        return {name: why for block in self.blocks for name, why in block.uncompiled.items()}


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
    graded = {n.name: not n.binary for n in program.sources}
    widths = [words(p.size) * WORD for p in populations]
    ends = np.cumsum(widths).tolist()
    starts = dict(zip(names, [0, *ends[:-1]], strict=True))
    synapses = tuple(
        _synapses(
            c, _exact(program, c, proof.arithmetic[c.name]), starts, width, found, graded[c.source]
        )
        for name, width in zip(names, widths, strict=True)
        for c in program.into(name)
    )
    # Shifts are 7 bits at most, so sums fit 32 bits before theirs too.
    forms = tuple(form(p) for p in populations)
    narrow = all(f.narrow for f in forms) and all(
        all(_bounded(program, c) for c in program.into(name))
        and proof.sums[name][0] >= -_NARROW_SUM
        and proof.sums[name][1] <= _NARROW_SUM
        for name in names
    )
    lying = [found[name] for name in names]
    registers = joined(
        [f.registers for f in forms], lying, list(starts.values()), ends[-1],
        np.int32 if narrow else np.int64,
    )  # fmt: skip
    settings = np.zeros((len(forms), SETTINGS), np.int64)
    for row, held in zip(settings, forms, strict=True):
        row[: len(held.settings)] = held.settings
    return Block(
        populations, tuple(starts.values()), ends[-1], narrow,
        any(graded[name] for name in names), forms, registers, settings, synapses, tuple(lying),
        _spans(populations, forms, starts, widths, synapses),
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
    c: Connection, exact: str, starts: dict[str, int], width: int, found: dict[str, Layout],
    graded: bool,
) -> Synapses:  # fmt: skip
    source, target = found[c.source], found[c.target]
    made = weights(c, source, target, width)
    link = made.link | {
        "graded": int(graded), "words": words(source.size), "source_size": source.size,
        "delay": c.delay, "start": starts[c.target], "width": width,
    }  # fmt: skip
    return Synapses(
        c, exact, starts[c.target], starts.get(c.source), source, target, made, link, {}
    )


def _spans(
    populations: tuple[Neurons, ...],
    forms: tuple[Form, ...],
    starts: dict[str, int],
    widths: list[int],
    synapses: tuple[Synapses, ...],
) -> NDArray[np.int64]:
    spans: list[tuple[int, ...]] = []
    first = 0
    for p, held, width in zip(populations, forms, widths, strict=True):
        start, stop = starts[p.name], starts[p.name] + width
        into = [s for s in synapses if s.connection.target == p.name]
        last = first + len(into)
        # Rows say nothing of where they add.
        still = held.still and all(s.weights.kind != "rows" for s in into)
        spans.append((start, stop, first, last, int(still), held.u, held.v, start + p.size))
        first = last
    return np.array(spans, np.int64)


def _components(program: Program) -> list[tuple[str, ...]]:
    """Strongly connected components, each after those that reach it; names in program order."""
    names = program.order
    after: dict[str, set[str]] = {name: set() for name in names}
    for c in program.connections:
        if c.source in after:
            after[c.source].add(c.target)
    found: dict[int, list[str]] = {}
    number = components(after)
    for name in names:
        found.setdefault(number[name], []).append(name)
    return [tuple(found[i]) for i in sorted(found)]
