"""NeuroBench's metrics (Yik et al. 2025) of a run, as the package's own harness names and defines them.

The harness hooks the layers of a torch model that takes one step at a time, all samples in one batch:

    Effective_ACs, Effective_MACs   Σ over connections and steps of the non-zero weights that non-zero
                                    messages meet, per sample; a step of a connection is of ACs where all
                                    its messages are −1, 0 or 1, else of MACs
    Dense                           the same with no zeros anywhere
    ActivationSparsity              zeros among all that neurons give out: spikes, and of read-outs, which
                                    give out their membrane potential, the potential of each step
    ConnectionSparsity              zeros among the weights, a kernel's once, rounded to 4 places
    Footprint, ParameterCount       bytes of parameters and buffers, and number of parameters, of the torch
                                    model (`export.peers.neurobench`); null where there is none

A connection of delay d (a loop) meets in a step what was sent d steps before, and in the first d nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.count.operations import Counts
from deploy.emulate.fast import emulate_fast, prepare
from deploy.program.program import Program

# Bytes of potentials that are held at a time.
_CHUNK_BYTES = 64 << 20

Arrays = Mapping[str, NDArray[Any]]


def metrics(
    program: Program, counts: Counts, inputs: Arrays, per_step: Arrays, accuracy: float | None
) -> dict[str, Any]:
    """The metrics but Footprint and ParameterCount, which are of a torch model, under the harness's names.

    counts: of this program. inputs: messages [samples, time, *shape] of all samples. per_step:
    `Trace.per_step`. accuracy: of the classes predicted, None where no labels are known.
    """
    weights = [c.weight for c in program.connections]
    size = sum(w.size for w in weights)
    zeros = size - sum(int(np.count_nonzero(w)) for w in weights)
    given = sum(counts.neuron_updates.values())
    silent = {p.name for p in program.populations if p.is_readout}
    fired = sum(n for name, n in counts.spikes.items() if name not in silent)
    active = fired + _potentials(program, inputs, silent)
    return {
        "ConnectionSparsity": round(zeros / size, 4) if size else None,
        "ClassificationAccuracy": accuracy,
        "ActivationSparsity": (given - active) / given if given else 0.0,
        "SynapticOperations": _operations(program, counts, inputs, per_step),
    }


def _operations(
    program: Program, counts: Counts, inputs: Arrays, per_step: Arrays
) -> dict[str, float]:
    found = {"Effective_MACs": 0, "Effective_ACs": 0, "Dense": 0}
    graded = {name: _graded_steps(x) for name, x in inputs.items()}
    for c in program.connections:
        steps = max(0, counts.timesteps - c.delay)
        sent = np.asarray(per_step[c.source]).reshape(counts.timesteps, -1)[:steps]
        each = sent @ c.fan_out(zeros=False)
        mac = graded.get(c.source, np.full(counts.timesteps, c.name in counts.graded))[:steps]
        found["Effective_MACs"] += int(each[mac].sum())
        found["Effective_ACs"] += int(each[~mac].sum())
        found["Dense"] += counts.samples * steps * c.synapse_count()
    return {name: n / counts.samples for name, n in found.items()}


def _graded_steps(messages: NDArray[Any]) -> NDArray[np.bool_]:
    """In which steps a message of any sample is other than −1, 0 or 1."""
    flat = messages.reshape(*messages.shape[:2], -1)
    other: NDArray[np.bool_] = ((flat > 1) | (flat < -1)).any(axis=(0, 2))
    return other


def _potentials(program: Program, inputs: Arrays, readouts: set[str]) -> int:
    """Potentials of read-outs other than zero, over all samples and steps."""
    if not readouts:
        return 0
    first = next(iter(inputs.values()))
    row = 4 * first.shape[1] * sum(p.size for p in program.populations)
    size = max(1, _CHUNK_BYTES // row)
    plan, found = prepare(program), 0
    for start in range(0, len(first), size):
        part = {name: x[start : start + size] for name, x in inputs.items()}
        trace = emulate_fast(plan, part, "all", nodes=readouts)
        found += sum(int(np.count_nonzero(trace.v[name])) for name in readouts)
    return found
