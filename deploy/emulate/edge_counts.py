"""Which edges of the chip's registers a run went beyond, and how often: counted in one way everywhere.

A recording cannot tell: what wraps or clips is gone, and a trace keeps the low 32 bits of a state. So
`observe` steps the neurons anew, on the sums of the messages that a trace recorded.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64, shifted_sum
from deploy.emulate.trace import Trace
from deploy.neurons import Neurons
from deploy.neurons.base import State
from deploy.program.program import Program

# Values of one array that are held at a time.
_BLOCK = 1 << 22


def count_edges(p: Neurons, state: State, a: Int64, t: int) -> dict[str, int]:
    """How many values of step t are beyond the limit of each edge of a population.

    state: before the step. a: its synaptic sums, int64 [samples, *shape].
    """
    limits = p.limits()
    return {
        edge: int(np.count_nonzero((values < limits[edge][0]) | (values > limits[edge][1])))
        for edge, values in p.held(state, a, t).items()
    }


def observe(
    program: Program,
    inputs: Mapping[str, NDArray[Any]],
    trace: Trace,
    nodes: Collection[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Values beyond the limit of each edge, {population: {edge: count}}, over all samples and steps.

    The counts are those of `emulate(…, observe=True)`. inputs: of the run. trace: its recorded
    messages, by any executor, of all that the populations hear. nodes: the populations to look at,
    by default all.
    """
    sent = {n.name: np.asarray(inputs[n.name]) for n in program.inputs} | dict(trace.s)
    found = {}
    for p in program.populations:
        if nodes is not None and p.name not in nodes:
            continue
        found[p.name] = dict.fromkeys(p.limits(), 0)
        sums = {c: c.sums() for c in program.into(p.name)}
        block = max(1, _BLOCK // max(p.size, *(c.source_size for c in sums), 1))
        for first in range(0, trace.samples, block):
            samples = slice(first, min(first + block, trace.samples))
            state = p.cleared(samples.stop - first)
            for t in range(trace.timesteps):
                a = np.zeros((samples.stop - first, *p.shape), np.int64)
                for c, of in sums.items():
                    if t >= c.delay:
                        heard = sent[c.source][samples, t - c.delay].reshape(len(a), -1)
                        total = of(heard.astype(np.int64))
                        a += shifted_sum(total, c.exponent).reshape(a.shape)
                for edge, count in count_edges(p, state, a, t).items():
                    found[p.name][edge] += count
                state, _ = p.step(state, a, t)
    return found
