"""Proof by interval arithmetic: which edges of the chip's registers a program can reach.

Public bit-accurate simulators and the chip agree except at these edges, so a program with binary,
undelayed messages that can reach none of them is *portable*: every simulator gives its spikes.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.errors import CheckFailed
from deploy.neurons import Neurons, is_plain
from deploy.neurons.base import Bounds
from deploy.neurons.intervals import Interval, Range, added, hull, joined, shifted
from deploy.program.order import components
from deploy.program.program import Connection, Program

Verdict = Literal[
    "proven for all inputs",
    "proven for the stated input range",
    "observed only",
    "no bounds known",
]
PROVEN: tuple[Verdict, ...] = ("proven for all inputs", "proven for the stated input range")

# The emulator stops at a larger message.
LARGEST_MESSAGE = 2**31 - 1
# All partial sums of a matrix product up to these magnitudes are exact in the named arithmetic.
_EXACT = (("int16", 2**15 - 1), ("float32", 2**24), ("float64", 2**53), ("int64", 2**63 - 1))


@dataclass(frozen=True)
class Edge:
    """One edge of one population: the values it can take, the limit, and the verdict.

    range, limit: smallest and largest value. margin: the share of the limit left, negative beyond.
    Where a kind of neurons states no bounds, range and margin are None.
    """

    verdict: Verdict
    range: Range | None
    limit: Range
    margin: float | None

    @property
    def proven(self) -> bool:
        """Whether no run can go beyond."""
        return self.verdict in PROVEN

    def __str__(self) -> str:
        """Range against limit, as messages say it."""
        within = f"{self.limit[0]}..{self.limit[1]}"
        return (
            f"no bounds known, limit {within}"
            if self.range is None
            else (f"{self.range[0]}..{self.range[1]} against {within}")
        )


@dataclass(frozen=True)
class Proof:
    """The edges of every population for samples of `timesteps` steps, and what follows from them.

    sums: the smallest and largest synaptic sum of each population.
    arithmetic: the narrowest type in which each connection's sums are exact.
    portable: binary, undelayed, and no edge within reach.
    input_ranges: the (smallest, largest) message of each input on which the proof rests.
    """

    timesteps: int
    edges: dict[str, dict[str, Edge]]
    sums: dict[str, Range]
    arithmetic: dict[str, str]
    portable: bool
    input_ranges: dict[str, tuple[int, int]]

    @property
    def reachable(self) -> list[tuple[str, str, Edge]]:
        """Every (node, edge name, edge) that the proof could not exclude."""
        return [
            (node, name, edge)
            for node, edges in self.edges.items()
            for name, edge in edges.items()
            if not edge.proven
        ]

    @property
    def warnings(self) -> list[str]:
        """One line per edge that can be reached: the program runs, but not alike everywhere."""
        return [
            f"node '{node}': {name}: {e}"
            + ("" if e.margin is None else f" (margin {100 * e.margin:.1f} %)")
            + "; observed only, simulators may differ"
            for node, name, e in self.reachable
        ]

    def to_json(self) -> dict[str, Any]:
        """The proof as `report.json` holds it."""
        return {
            "timesteps": self.timesteps,
            "portable": self.portable,
            "input_ranges": {n: list(r) for n, r in self.input_ranges.items()},
            "arithmetic": self.arithmetic,
            "nodes": {
                node: {
                    name: {
                        "verdict": e.verdict,
                        "range": None if e.range is None else list(e.range),
                        "limit": list(e.limit),
                        "margin": e.margin,
                    }
                    for name, e in edges.items()
                }
                for node, edges in self.edges.items()
            },
        }


def prove(program: Program, timesteps: int) -> Proof:
    """Bound every synaptic sum, current and membrane potential over samples of `timesteps` steps.

    Each kind of neurons states its bounds (`deploy.neurons.base.Neurons.bounds`). Messages of one that
    holds to its range are within it, those of an input in its stated range, those of graded
    populations what their own bounds allow, and silence (0) before a delayed message arrives. Behind a
    reachable wrap or clip the bounds are those of what the register can then hold.

        >>> proof = prove(program, timesteps=10)  # of `Program`'s example
        >>> proof.reachable
        []
    """
    ranges: dict[str, Interval] = {
        n.name: (n.low.astype(np.int64), n.high.astype(np.int64)) for n in program.inputs
    }
    # Whether the range of a node's messages rests on what an input states.
    stated = {n.name: not n.binary for n in program.inputs}
    edges: dict[str, dict[str, Edge]] = {}
    sums: dict[str, Range] = {}
    arithmetic: dict[str, str] = {}
    for p in _by_knowledge(program):
        a: Interval = np.zeros(p.size, np.int64), np.zeros(p.size, np.int64)
        for c in program.into(p.name):
            sent = ranges.get(c.source) or _messages(program.population(c.source), None)
            a = added(a, _sum_range(c, *sent))
            arithmetic[c.name] = _narrowest(c, *sent)
        sums[p.name] = hull(a)
        rests = any(stated.get(c.source, False) for c in program.into(p.name))
        found = p.bounds((a[0].reshape(p.shape), a[1].reshape(p.shape)), timesteps)
        ranges[p.name] = _messages(p, found)
        stated[p.name] = rests and not p.messages_hold
        reached = {} if found is None else found.ranges
        edges[p.name] = {
            name: _edge(reached.get(name), limit, PROVEN[rests])
            for name, limit in p.limits().items()
        }
    portable = (
        all(n.binary for n in program.inputs)
        and all(is_plain(p) for p in program.populations)
        and all(c.delay == 0 and c.exponent >= 0 for c in program.connections)
        and all(e.proven for found in edges.values() for e in found.values())
    )
    return Proof(
        timesteps,
        {p.name: edges[p.name] for p in program.populations},
        sums,
        {c.name: arithmetic[c.name] for c in program.connections},
        portable,
        {n.name: (int(n.low.min()), int(n.high.max())) for n in program.inputs},
    )


def require(proof: Proof) -> None:
    """Raise CheckFailed naming the first node and edge that the program can reach (`--strict`)."""
    for node, name, edge in proof.reachable:
        said = f"{edge.limit[0]}..{edge.limit[1]}"
        raise CheckFailed(
            f"node '{node}': {name}: no bounds are known that keep it in {said}"
            if edge.range is None
            else f"node '{node}': {name} can reach {edge.range[0]}..{edge.range[1]}, beyond {said}"
        )


def _sum_range(c: Connection, low: Int64, high: Int64) -> Interval:
    """The smallest and largest sum of each target neuron for messages in [low, high] or silent."""
    low, high = joined((low.reshape(-1), high.reshape(-1)), 0)
    return shifted(c.sum_bounds(low, high), c.exponent)


def _narrowest(c: Connection, low: Int64, high: Int64) -> str:
    """The narrowest arithmetic that holds every partial sum of the connection exactly."""
    largest = np.maximum(np.abs(low), np.abs(high)).reshape(-1)
    bound = int(c.largest_sums(largest).max(initial=0))
    return next(name for name, limit in _EXACT if bound <= limit)


def _by_knowledge(program: Program) -> list[Neurons]:
    """The program's order, but each after those whose message range it needs; in a cycle none waits."""
    needed_by: dict[str, list[str]] = {p.name: [] for p in program.populations}
    for c in program.connections:
        if c.source in needed_by and not program.population(c.source).messages_hold:
            needed_by[c.source].append(c.target)
    cycle = components(needed_by)
    waiting = [program.population(name) for name in program.order]
    found: list[Neurons] = []
    while waiting:
        unknown = {p.name for p in waiting if not p.messages_hold}
        found.append(
            next(
                p for p in waiting
                if all(
                    c.source not in unknown or cycle[c.source] == cycle[p.name]
                    for c in program.into(p.name)
                )
            )
        )  # fmt: skip
        waiting.remove(found[-1])
    return found


def _messages(p: Neurons, found: Bounds | None) -> Interval:
    """The messages of a population as far as they are known; the emulator stops at larger ones."""
    low, high = p.message_range if p.messages_hold else (-LARGEST_MESSAGE, LARGEST_MESSAGE)
    if found is None:
        return np.full(p.shape, low), np.full(p.shape, high)
    return np.clip(found.messages[0], low, 0), np.clip(found.messages[1], 0, high)


def _edge(found: Range | None, limit: Range, proven: Verdict) -> Edge:
    if found is None:
        return Edge("no bounds known", None, limit, None)
    low, high = found
    # A limit of 0 leaves no share: messages that cannot be negative are not.
    sides = ((low - limit[0], -limit[0]), (limit[1] - high, limit[1]))
    margin = min(left / size for left, size in sides if size)
    held = limit[0] <= low and high <= limit[1]
    return Edge(proven if held else "observed only", (low, high), limit, round(margin, 6))
