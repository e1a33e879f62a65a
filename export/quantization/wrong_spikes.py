"""What calibration asks of candidates: their spikes against the float graph's, fed its own messages.

All candidates of a layer run as one population, side by side: its sources' messages are read once, and
each of them adds one row of weights for all. The emulator's integers are exact, so that the counts
are those of each candidate alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.program.program import Input
from export.graph.graph import Graph, Neuron, Readout, Source
from export.lowering.exact import lower_graph
from export.quantization.layer_values import Quantized
from neuroclip.linear.maps import Convolution, Dense, Operator

Float = NDArray[np.float64]

# Spikes that are held at a time.
_BYTES = 128 << 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """Data that scales are chosen on: inputs [samples, time, *shape] and the float graph's trace."""

    inputs: Mapping[str, NDArray[Any]]
    trace: Trace


def wrong_spikes(
    candidates: Sequence[Quantized], inputs: tuple[Input, ...], calibration: Calibration
) -> list[Float]:
    """How many spikes of each neuron differ from the float graph's: of each candidate, [size]."""
    if len(candidates) > 1:
        try:
            together = _counted(_side_by_side(candidates), inputs, calibration, len(candidates))
            return list(together.reshape(len(candidates), -1))
        except BadInput:  # no one exponent holds the biases of all
            pass
    return [_counted(each, inputs, calibration, 1) for each in candidates]


def _counted(
    layer: Quantized, inputs: tuple[Input, ...], calibration: Calibration, copies: int
) -> Float:
    """Wrong spikes of each neuron of a layer that is `copies` of the float graph's: [size]."""
    ranges = {node.name: (node.low, node.high) for node in inputs}
    sent: dict[str, NDArray[Any]] = {}
    found: dict[str, tuple[Any, Any]] = {}
    paths = []
    for path in layer.paths:
        if path.source is None:
            paths.append(path)
            continue
        # A name that no node has: the population itself may be among its sources.
        name = f"messages of {path.source}"
        messages = calibration.inputs.get(path.source, calibration.trace.s.get(path.source))
        assert messages is not None
        sent[name], found[name] = messages, ranges.get(path.source, (0, 1))
        paths.append(replace(path, source=name))
    name = layer.neuron.name
    graph = Graph(
        tuple(Source(source, x.shape[2:]) for source, x in sent.items()),
        (layer.neuron,),
        tuple(paths),
        (Readout("out", name),),
    )
    plan = prepare(lower_graph(graph, input_ranges=found))
    wanted = calibration.trace.s[name]
    samples, steps = wanted.shape[:2]
    wanted = wanted.reshape(samples, steps, 1, -1)
    block = max(1, _BYTES // (steps * copies * wanted.shape[-1]))
    wrong = np.zeros((copies, wanted.shape[-1]))
    for first in range(0, samples, block):
        part = slice(first, first + block)
        here = {source: x[part] for source, x in sent.items()}
        fired = emulate_fast(plan, here, "spikes", nodes={name}).s[name]
        fired = fired.reshape(len(fired), steps, copies, -1)
        wrong += np.count_nonzero(fired != wanted[part], axis=(0, 1))
    return wrong.reshape(-1)


def _side_by_side(candidates: Sequence[Quantized]) -> Quantized:
    """One population of all candidates' neurons, along their first axis.

    Raises BadInput where channels come in groups, which would have to be interleaved.
    """
    neurons = [each.neuron for each in candidates]
    shape = (len(neurons) * neurons[0].shape[0], *neurons[0].shape[1:])
    arrays = {
        name: np.concatenate([getattr(n, name) for n in neurons])
        for name in ("du", "dv", "threshold", "bias", "unit", "rest")
    }
    paths = tuple(
        replace(same[0], operator=_stacked([path.operator for path in same]))
        for same in zip(*(each.paths for each in candidates), strict=True)
    )
    neuron: Neuron = replace(neurons[0], shape=shape, **arrays)
    return Quantized(neuron, paths, np.concatenate([each.loss for each in candidates]))


def _stacked(operators: Sequence[Operator]) -> Operator:
    """One operator whose targets are those of all, one after another."""
    first, weight = operators[0], np.concatenate([op.weight for op in operators])
    if isinstance(first, Dense):
        return replace(first, weight=weight)
    if isinstance(first, Convolution):
        if first.groups > 1:
            raise BadInput("channels in groups")
        return replace(first, weight=weight)
    synapses = len(first.indices)
    ends = [first.indptr[1:] + i * synapses for i in range(len(operators))]
    return replace(
        first,
        weight=weight,
        indices=np.tile(first.indices, len(operators)),
        indptr=np.concatenate([first.indptr[:1], *ends]),
    )
