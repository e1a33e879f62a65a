"""Which edges of the chip's registers a run went beyond, and how often: counted in one way everywhere.

A recorded state cannot tell alone: what wraps or clips is gone. Where the recorded u and v of plain leaky
neurons bound the sum that came between, `observe` takes it from them:

    (a << 6) mod 2^24 = (u_t − T(u_{t−1}·(4096 − (du + 1)))) mod 2^24        |a| < 2^17 is proven

Elsewhere it steps the neurons anew, on the sums of the messages that a trace recorded.
"""

import sys
from collections.abc import Collection, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64, decayed, shifted_sum
from deploy.connections import Connection
from deploy.emulate.trace import Trace
from deploy.neurons import Neurons, Population, is_plain
from deploy.neurons.base import State
from deploy.neurons.edges import CURRENT, DRIVE, FIRES, POTENTIAL, SYNAPTIC_SUM
from deploy.program.program import Input, Program, sent_range

# Values of one array that are held at a time.
_BLOCK = 1 << 22
# States that NumPy has counted before numba is imported.
_SMALL = 1 << 24
# Sums that u's 24 bits tell apart.
_SUM = 1 << 17
# Bounds that int64 might not hold.
_ABSURD = 1 << 62


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

    The counts are those of `emulate(…, observe=True)`. inputs: of the run. trace: by any executor,
    with the messages of all that the populations hear; recorded states of theirs save stepping them.
    nodes: the populations to look at, by default all.
    """
    sent = {n.name: np.asarray(inputs[n.name]) for n in program.inputs} | dict(trace.s)
    found = {}
    for p in program.populations:
        if nodes is not None and p.name not in nodes:
            continue
        if is_plain(p) and p.name in trace.u and p.name in trace.v and _told_by_u(program, p):
            u, v = (
                x[p.name].reshape(trace.samples, trace.timesteps, -1) for x in (trace.u, trace.v)
            )
            found[p.name] = (_fast if _pays(u.size) else counted_from_states)(p, u, v)
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


def counted_from_states(p: Population, u: NDArray[Any], v: NDArray[Any]) -> dict[str, int]:
    """Values beyond the limit of each edge, from a plain population's states [samples, time, size]."""
    found = dict.fromkeys(p.limits(), 0)
    state = p.cleared(len(u))
    for t in range(u.shape[1]):
        now = u[:, t].astype(np.int64).reshape(state["u"].shape)
        a = now - decayed(state["u"], p.decays[0]) >> 6
        a = (a + _SUM) % (2 * _SUM) - _SUM
        for edge, count in count_edges(p, state, a, t).items():
            found[edge] += count
        state = {**state, "u": now, "v": v[:, t].astype(np.int64).reshape(now.shape)}
    return found


def _fast(p: Population, u: NDArray[Any], v: NDArray[Any]) -> dict[str, int]:
    from deploy.emulate.edge_kernel import count

    edges, limits = (SYNAPTIC_SUM, CURRENT, DRIVE, POTENTIAL, FIRES), p.limits()
    unheld = -(2**62), 2**62
    counts = np.zeros(len(edges), np.int64)
    mu, mv = (4096 - decay.reshape(-1).astype(np.int64) for decay in p.decays)
    bias = p.bias.reshape(-1).astype(np.int64)
    count(u, v, mu, mv, bias, np.array([limits.get(e, unheld) for e in edges]), counts)
    return {edge: int(n) for edge, n in zip(edges, counts, strict=True) if edge in limits}


def _told_by_u(program: Program, p: Population) -> bool:
    """Whether no sum of a population can be beyond 17 bits and a sign, whatever its sources send."""
    heard = [(c, program.source(c.source)) for c in program.into(p.name)]
    if not all(isinstance(source, Input) or source.messages_hold for _, source in heard):
        return False
    # The weights themselves are summed only where their number does not do, nor is absurd.
    for heaviest in (_by_number, _by_weights):
        most = sum(
            int(heaviest(c) * max(map(abs, sent_range(source))) * 2.0**c.exponent) + 1
            for c, source in heard
        )
        if not _SUM <= most < _ABSURD:
            break
    return most < _SUM


def _by_number(c: Connection) -> int:
    return int(np.abs(c.weight).max(initial=0)) * c.fan_in()


def _by_weights(c: Connection) -> int:
    return int(c.largest_sums(np.ones(c.source_size, np.int64)).max(initial=0))


def _pays(values: int) -> bool:
    """Whether so many states are worth loading what compiles: not where a run is over in less."""
    return _has_numba() and (values > _SMALL or "numba" in sys.modules)


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
