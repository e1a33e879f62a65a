"""Proof by interval arithmetic: which edges of the chip's registers a program can reach.

Public bit-accurate simulators and the chip agree except at these edges, so a program with binary,
undelayed messages that can reach none of them is *portable*: every simulator gives its spikes.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import shifted_sum
from deploy.connections.synapses import sum_bounds, synaptic_sums
from deploy.errors import CheckFailed
from deploy.neurons.edges import limits
from deploy.neurons.populations import (
    AnyPopulation,
    Delta,
    Graded,
    Range,
    Sigma,
    SigmaDelta,
    Spiking,
    is_plain,
    message_range,
)
from deploy.program.program import Connection, Program
from deploy.prove.bounds import LARGEST_MESSAGE, Interval, bounds

Int64 = NDArray[np.int64]
Verdict = Literal["proven for all inputs", "proven for the stated input range", "observed only"]

# Beyond every edge by far: sums are held here, so that no bound leaves 64 bits.
_FAR = 2**44
# All partial sums of a matrix product up to these magnitudes are exact in the named arithmetic.
_EXACT = (("int16", 2**15 - 1), ("float32", 2**24), ("float64", 2**53), ("int64", 2**63 - 1))


@dataclass(frozen=True)
class Edge:
    """One edge of one population: the values it can take, the limit, and the verdict.

    range, limit: smallest and largest value. margin: the share of the limit left, negative beyond.
    """

    verdict: Verdict
    range: tuple[int, int]
    limit: tuple[int, int]
    margin: float


@dataclass(frozen=True)
class Proof:
    """The edges of every population for samples of `timesteps` steps, and what follows from them.

    arithmetic: the narrowest type in which each connection's sums are exact.
    portable: binary, undelayed, and no edge within reach.
    input_ranges: the (smallest, largest) message of each input on which the proof rests.
    """

    timesteps: int
    edges: dict[str, dict[str, Edge]]
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
            if edge.verdict == "observed only"
        ]

    @property
    def warnings(self) -> list[str]:
        """One line per edge that can be reached: the program runs, but not alike everywhere."""
        return [
            f"node '{node}': {name}: {e.range[0]}..{e.range[1]} against {e.limit[0]}..{e.limit[1]} "
            f"(margin {100 * e.margin:.1f} %); observed only, simulators may differ"
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
                        "range": list(e.range),
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

    `deploy.prove.bounds` has the bounds of a population. Messages of one that fires are in 0..1, or
    −1..1, those of an input in its stated range, those of graded populations what their own bounds
    allow, and silence (0) before a delayed message arrives.
    """
    ranges: dict[str, Interval] = {
        n.name: (n.low.astype(np.int64), n.high.astype(np.int64)) for n in program.inputs
    }
    # Whether the range of a node's messages rests on what an input states.
    stated = {n.name: not n.binary for n in program.inputs}
    edges: dict[str, dict[str, Edge]] = {}
    arithmetic: dict[str, str] = {}
    for p in _by_knowledge(program):
        low, high = np.zeros(p.size, np.int64), np.zeros(p.size, np.int64)
        for c in program.into(p.name):
            sent = ranges.get(c.source) or _before_it_is_known(program.population(c.source))
            c_low, c_high = _sum_range(c, *sent)
            low, high = low + c_low, high + c_high
            arithmetic[c.name] = _narrowest(c, *sent)
        rests = any(stated.get(c.source, False) for c in program.into(p.name))
        found, ranges[p.name] = bounds(p, (low.reshape(p.shape), high.reshape(p.shape)), timesteps)
        stated[p.name] = rests and isinstance(p, Graded | Delta | Sigma | SigmaDelta)
        proven: Verdict = "proven for the stated input range" if rests else "proven for all inputs"
        edges[p.name] = {
            name: _edge(found[name], limit, proven) for name, limit in limits(p).items()
        }
    portable = (
        all(n.binary for n in program.inputs)
        and all(is_plain(p) for p in program.populations)
        and all(c.delay == 0 and c.exponent >= 0 for c in program.connections)
        and all(e.verdict != "observed only" for found in edges.values() for e in found.values())
    )
    return Proof(
        timesteps,
        {p.name: edges[p.name] for p in program.populations},
        {c.name: arithmetic[c.name] for c in program.connections},
        portable,
        {n.name: (int(n.low.min()), int(n.high.max())) for n in program.inputs},
    )


def require(proof: Proof) -> None:
    """Raise CheckFailed naming the first node and edge that the program can reach (`--strict`)."""
    for node, name, edge in proof.reachable:
        raise CheckFailed(
            f"node '{node}': {name} can reach {edge.range[0]}..{edge.range[1]}, "
            f"beyond {edge.limit[0]}..{edge.limit[1]}"
        )


def _sum_range(c: Connection, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """The smallest and largest sum of each target neuron for messages in [low, high] or silent."""
    low, high = np.minimum(low.reshape(-1), 0), np.maximum(high.reshape(-1), 0)
    lowest, highest = (np.clip(x, -_FAR, _FAR) for x in sum_bounds(c, low, high))
    return shifted_sum(lowest, c.exponent), shifted_sum(highest, c.exponent)


def _narrowest(c: Connection, low: Int64, high: Int64) -> str:
    """The narrowest arithmetic that holds every partial sum of the connection exactly."""
    largest = np.maximum(np.abs(low), np.abs(high)).reshape(1, -1)
    magnitudes = synaptic_sums(replace(c, weight=np.abs(c.weight)))(largest)
    bound = int(magnitudes.max(initial=0))
    return next(name for name, limit in _EXACT if bound <= limit)


def _by_knowledge(program: Program) -> list[AnyPopulation]:
    """Populations after those whose message range they need, as far as there is no cycle of them."""
    waiting = [program.population(name) for name in program.order]
    found: list[AnyPopulation] = []
    while waiting:
        unknown = {p.name for p in waiting if not isinstance(p, Spiking)}
        ready = (p for p in waiting if not any(c.source in unknown for c in program.into(p.name)))
        found.append(next(ready, waiting[0]))
        waiting.remove(found[-1])
    return found


def _before_it_is_known(p: AnyPopulation) -> Interval:
    """The messages of a population in a cycle: graded ones can grow until the emulator stops."""
    low, high = message_range(p) if isinstance(p, Spiking) else (-LARGEST_MESSAGE, LARGEST_MESSAGE)
    return np.full(p.shape, low, np.int64), np.full(p.shape, high, np.int64)


def _edge(found: Range, limit: Range, proven: Verdict) -> Edge:
    low, high = found
    # A limit of 0 leaves no share: messages that cannot be negative are not.
    sides = ((low - limit[0], -limit[0]), (limit[1] - high, limit[1]))
    margin = min(left / size for left, size in sides if size)
    held = limit[0] <= low and high <= limit[1]
    return Edge(proven if held else "observed only", (low, high), limit, round(margin, 6))
