"""Which edges of the chip's registers a recorded run really went beyond, and how often."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import shifted_sum
from deploy.connections.synapses import synaptic_sums
from deploy.emulate.trace import Trace
from deploy.neurons import resets
from deploy.neurons.edges import count_edges
from deploy.neurons.populations import AnyPopulation
from deploy.program.program import Program

Int64 = NDArray[np.int64]

# Values of one array that are held at a time.
_BLOCK = 1 << 22


def observe(
    program: Program,
    inputs: Mapping[str, NDArray[Any]],
    trace: Trace,
    nodes: Collection[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Values beyond the limit of each edge, {population: {edge: count}}, over all samples and steps.

    inputs: of the run. trace: its recordings of every state, by any executor: sums are formed anew
    from the recorded messages, and what was before a wrap or a clip from those and the recorded
    states. nodes: the populations to look at, by default all.
    """
    sent = {n.name: np.asarray(inputs[n.name]) for n in program.inputs} | dict(trace.s)
    found = {}
    for p in program.populations:
        if nodes is not None and p.name not in nodes:
            continue
        sources = [program.source(c.source).size for c in program.into(p.name)]
        block = max(1, _BLOCK // (trace.timesteps * max(p.size, *sources, 1)))
        parts = [
            _count(program, p, sent, trace, slice(first, first + block))
            for first in range(0, trace.samples, block)
        ]
        found[p.name] = {edge: sum(part[edge] for part in parts) for edge in parts[0]}
    return found


def _count(
    program: Program,
    p: AnyPopulation,
    sent: Mapping[str, NDArray[Any]],
    trace: Trace,
    samples: slice,
) -> dict[str, int]:
    s = trace.s[p.name][samples].astype(np.int64)
    a = np.zeros(s.shape, np.int64)
    for c in program.into(p.name):
        on_time = sent[c.source][samples][:, : max(0, trace.timesteps - c.delay)].astype(np.int64)
        if on_time.size:
            sums = synaptic_sums(c)(on_time.reshape(-1, c.source_size))
            a[:, c.delay :] += shifted_sum(sums, c.exponent).reshape(a[:, c.delay :].shape)
    states = {"u": trace.u, "v": trace.v}
    after = {q: x[p.name][samples].astype(np.int64) for q, x in states.items() if p.name in x}
    before = {q: np.zeros_like(x) for q, x in after.items()}
    for t in range(1, trace.timesteps):
        if not resets(p, t):
            for q, values in before.items():
                values[:, t] = after[q][:, t - 1]
    return count_edges(p, a, before, after, s)
