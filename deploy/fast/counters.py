"""How often a run went beyond the edges of registers, counted from its recordings."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from deploy.edges import count_edges, limits
from deploy.emulator import Messages
from deploy.fast.plan import Plan
from deploy.fast.products import add_products
from deploy.populations import AnyPopulation, Population, Threshold, recorded_states
from deploy.proof import Proof
from deploy.trace import Trace

EdgeCounts = dict[str, dict[str, int]]


def nothing_counted(plan: Plan) -> EdgeCounts:
    """Every edge of every population at zero: what stands for those that are proven out of reach."""
    return {p.name: dict.fromkeys(limits(p), 0) for p in plan.program.populations}


def to_record(plan: Plan, proof: Proof) -> set[str]:
    """The populations that `count_run` needs recorded: those with an edge in reach, and their sources."""
    reached = {node for node, _, _ in proof.reachable}
    populations = {p.name for p in plan.program.populations}
    return reached | {c.source for n in reached for c in plan.program.into(n)} & populations


def count_run(plan: Plan, inputs: Messages, trace: Trace, nodes: Collection[str]) -> EdgeCounts:
    """How often each edge of some populations was passed in a run.

    trace: of these inputs, with every state of these populations and the messages of their sources.
    """
    found: EdgeCounts = {}
    for block in plan.blocks:
        for p, start in zip(block.populations, block.starts, strict=True):
            if p.name not in nodes:
                continue
            drive = np.zeros((trace.samples, trace.timesteps, block.size), np.int64)
            for s in (*block.outside, *block.inside):
                if s.connection.target == p.name:
                    source = s.connection.source
                    heard = inputs[source] if source in inputs else trace.s[source]
                    add_products(s, s.source.inner(heard).astype(np.int32), 0, drive)
            a = plan.layouts[p.name].outer(drive[..., start : start + p.size])
            after: dict[str, NDArray[np.int64]] = {
                q: getattr(trace, q)[p.name].astype(np.int64) for q in recorded_states(p)
            }
            before: dict[str, NDArray[np.int64]] = {q: _before(p, x) for q, x in after.items()}
            found[p.name] = count_edges(p, a, before, after, trace.s[p.name].astype(np.int64))
    return found


def _before(p: AnyPopulation, state: NDArray[np.int64]) -> NDArray[np.int64]:
    """The states with which each step starts: those of the step before, or cleared."""
    before = np.zeros_like(state)
    before[:, 1:] = state[:, :-1]
    if isinstance(p, Threshold):
        before[...] = 0
    elif isinstance(p, Population) and p.reset_interval:
        before[:, p.reset_offset :: p.reset_interval] = 0
    return before
