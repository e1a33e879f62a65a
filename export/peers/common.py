"""What the simulators share: the synapses of a connection as a matrix, and the trace of a run."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from deploy.connections import expand
from deploy.emulate.reference import Messages, empty_trace
from deploy.emulate.trace import Record, Trace
from deploy.errors import BadInput
from deploy.neurons import Population, is_lif
from deploy.program.program import Connection, Program

States = Mapping[str, NDArray[Any]]


class Timed(NamedTuple):
    """The trace of a run, and the seconds that its steps took: neither building nor reading it out."""

    trace: Trace
    seconds: float


def required(package: str, extra: str = "oracles") -> ModuleType:
    """An optional package. Raises BadInput naming the extra that installs it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise BadInput(
            f"{package.replace('_', '-')} cannot be imported ({error}); it comes with the extra "
            f"'{extra}': pip install neuroclip[{extra}]"
        ) from error


def spiking_populations(program: Program, simulator: str) -> tuple[Population, ...]:
    """The populations of a program that sends spikes only, all of them leaky integrate-and-fire.

    Raises BadInput naming the first input that can send anything but 0 and 1, or the first population
    of another kind, or that is reset within a sample.
    """
    for node in program.inputs:
        if not node.binary:
            raise BadInput(
                f"input '{node.name}': messages of {int(node.low.min())}..{int(node.high.max())}; "
                f"{simulator} carries spikes only"
            )
    found: list[Population] = []
    for p in program.populations:
        if not is_lif(p):
            raise BadInput(f"node '{p.name}': {simulator} has no population of kind '{p.kind}'")
        if p.reset_interval:
            raise BadInput(f"node '{p.name}': {simulator} has no reset within a sample")
        found.append(p)
    return tuple(found)


def sample_synapses(c: Connection, samples: int) -> scipy.sparse.csr_matrix:
    """The synapses of a connection for samples side by side, int64 [samples·sources, samples·targets].

    Each sample has neurons of its own, so that one run of a simulator takes them all.
    """
    listed = expand(c)
    one = scipy.sparse.csr_matrix(
        (listed.weight.astype(np.int64), listed.indices, listed.indptr),
        shape=(c.target_size, c.source_size),
    )
    one.eliminate_zeros()
    return scipy.sparse.block_diag([one.T.tocsr()] * samples, format="csr", dtype=np.int64)


def trace_of(
    program: Program,
    inputs: Messages,
    s: States,
    u: States | None = None,
    v: States | None = None,
) -> Trace:
    """The trace of states {population: [samples, time, *shape]} in sample time.

    u, v: both, or neither for a trace of spikes without readouts.
    """
    samples, timesteps = next(iter(inputs.values())).shape[:2]
    record: Record = "spikes" if v is None else "all"
    trace = empty_trace(program, samples, timesteps, record)
    for quantity, states in (("s", s), ("u", u or {}), ("v", v or {})):
        for name, array in getattr(trace, quantity).items():
            array[...] = states[name].reshape(array.shape)
    for name, total in trace.messages.items():
        total[...] = np.count_nonzero(inputs[name] if name in inputs else trace.s[name], (0, 1))
    if v is None:
        return replace(trace, readout={})
    for name, readout in trace.readout.items():
        readout[...] = trace.v[name][:, -1]
    return trace
