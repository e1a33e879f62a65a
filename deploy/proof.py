"""Proof by interval arithmetic: which edges of the chip's registers a program can reach.

Public bit-accurate simulators and the chip agree except at these edges, so a program with binary,
undelayed messages that can reach none of them is *portable*: every simulator gives its spikes.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic import STATE_SHIFT, UV_LIMIT, decayed, shifted_sum
from deploy.errors import CheckFailed
from deploy.program import Connection, Population, Program
from deploy.synapses import sum_bounds, synaptic_sums

Int64 = NDArray[np.int64]
Verdict = Literal["proven for all inputs", "proven for the stated input range", "observed only"]

# nengo-loihi's emulator and Brian2Loihi hold a synaptic sum in 21 bits after the shift by 6.
SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX = -(2**15), 2**15 - 1
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

    The bounds iterate the recurrence itself on intervals: T and the shifts are monotone, so the
    image of an interval is the interval of the images. Messages of a population that fires are in
    0..1, those of an input in its stated range, and silence (0) before a delayed message arrives.
    """
    ranges: dict[str, tuple[Int64, Int64]] = {}
    for node in program.inputs:
        ranges[node.name] = node.low.astype(np.int64), node.high.astype(np.int64)
    for p in program.populations:
        ranges[p.name] = np.zeros(p.shape, np.int64), np.ones(p.shape, np.int64)

    binary = {n.name: n.binary for n in program.inputs} | {
        p.name: True for p in program.populations
    }
    edges: dict[str, dict[str, Edge]] = {}
    arithmetic: dict[str, str] = {}
    for p in program.populations:
        low, high = np.zeros(p.size, np.int64), np.zeros(p.size, np.int64)
        for c in program.into(p.name):
            c_low, c_high = _sum_range(c, *ranges[c.source])
            low, high = low + c_low, high + c_high
            arithmetic[c.name] = _narrowest(c, *ranges[c.source])
        proven: Verdict = (
            "proven for all inputs"
            if all(binary[c.source] for c in program.into(p.name))
            else "proven for the stated input range"
        )
        edges[p.name] = _edges(p, low.reshape(p.shape), high.reshape(p.shape), timesteps, proven)
    portable = (
        all(n.binary for n in program.inputs)
        and all(c.delay == 0 and c.exponent >= 0 for c in program.connections)
        and all(e.verdict != "observed only" for found in edges.values() for e in found.values())
    )
    return Proof(
        timesteps,
        edges,
        arithmetic,
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
    lowest, highest = sum_bounds(c, low, high)
    return shifted_sum(lowest, c.exponent), shifted_sum(highest, c.exponent)


def _narrowest(c: Connection, low: Int64, high: Int64) -> str:
    """The narrowest arithmetic that holds every partial sum of the connection exactly."""
    largest = np.maximum(np.abs(low), np.abs(high)).reshape(1, -1)
    magnitudes = synaptic_sums(replace(c, weight=np.abs(c.weight)))(largest)
    bound = int(magnitudes.max(initial=0))
    return next(name for name, limit in _EXACT if bound <= limit)


def _edges(
    p: Population, a_low: Int64, a_high: Int64, timesteps: int, proven: Verdict
) -> dict[str, Edge]:
    """Iterate the recurrence of a population on intervals and hold each value against its limit."""
    u_low, u_high = np.zeros(p.shape, np.int64), np.zeros(p.shape, np.int64)
    v_low, v_high = u_low.copy(), u_high.copy()
    u_bounds, drive_bounds, v_bounds = [0, 0], [0, 0], [0, 0]
    for _ in range(timesteps):
        before = (u_low, u_high, v_low, v_high)
        u_low = decayed(u_low, p.du + 1) + (a_low << STATE_SHIFT)
        u_high = decayed(u_high, p.du + 1) + (a_high << STATE_SHIFT)
        v_low = decayed(v_low, p.dv) + u_low + p.bias
        v_high = decayed(v_high, p.dv) + u_high + p.bias
        _widen(u_bounds, u_low, u_high)
        _widen(drive_bounds, u_low + p.bias, u_high + p.bias)
        _widen(v_bounds, v_low, v_high)
        # Beyond the register the edge is reached already; holding the bound there keeps it finite.
        u_low, u_high = np.maximum(u_low, -UV_LIMIT), np.minimum(u_high, UV_LIMIT)
        v_low, v_high = np.maximum(v_low, -UV_LIMIT), np.minimum(v_high, UV_LIMIT)
        # What does not fire stays at or below the threshold; what can fire can return to zero.
        ceiling = p.vth.astype(np.int64) << STATE_SHIFT
        fires = v_high > ceiling
        v_high = np.where(fires, ceiling, v_high)
        v_low = np.where(fires, np.minimum(v_low, 0), v_low)
        if all(
            np.array_equal(x, y)
            for x, y in zip(before, (u_low, u_high, v_low, v_high), strict=True)
        ):
            break
    state = (-UV_LIMIT + 1, UV_LIMIT - 1)
    found = {
        "synaptic sum beyond 21 bits": _edge(
            [int(a_low.min()), int(a_high.max())], (SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX), proven
        ),
        "current u wraps": _edge(u_bounds, state, proven),
        "u + bias beyond 24 bits": _edge(drive_bounds, state, proven),
        "membrane potential v clips": _edge(v_bounds, state, proven),
    }
    if p.kind == "integrator":
        highest = int(p.vth.max()) << STATE_SHIFT
        found["integrator fires"] = _edge(v_bounds, (-UV_LIMIT + 1, highest), proven)
    return found


def _widen(bounds: list[int], low: Int64, high: Int64) -> None:
    bounds[0], bounds[1] = min(bounds[0], int(low.min())), max(bounds[1], int(high.max()))


def _edge(bounds: list[int], limit: tuple[int, int], proven: Verdict) -> Edge:
    low, high = bounds
    margin = min((low - limit[0]) / -limit[0], (limit[1] - high) / limit[1])
    held = limit[0] <= low and high <= limit[1]
    return Edge(proven if held else "observed only", (low, high), limit, round(margin, 6))
