"""A deployment's graph made the chip's: as it is where its values are exact, quantized otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, Quantization
from export.graph.graph import Graph
from export.graph.simulate import simulate
from export.lowering.exact import lower_graph
from export.nir_format.write.graph import graph_to_nir
from export.quantization.quantize import quantize
from export.quantization.wrong_spikes import Calibration

# Calibration holds the spikes of every neuron of its samples, at most this much.
_MAX_BYTES = 512 << 20


def on_chip(
    deployment: Deployment,
    graph: Graph,
    calibration: Mapping[str, NDArray[Any]] | None = None,
    calibration_name: str = "calibration",
    positions: Sequence[int] = (),
    *,
    dt: float,
) -> Deployment:
    """The deployment with a NIR graph whose values are the chip's exactly.

    graph: its own graph, normalised at a step of dt seconds. calibration: {input: integer messages
    [samples, time, *shape]} that scales are chosen on, as many of the first samples as 512 MiB of
    spikes hold; without it they follow from the values alone. positions: of these in their data.
    Raises BadInput naming the node, or the data that do not fit.
    """
    try:
        why = inexact(graph, deployment.input_ranges)
        if why is None:
            return replace(deployment, quantization=Quantization(exact=True))
        found, ranges = None, dict(deployment.input_ranges)
        if calibration is not None:
            found = _simulated(graph, calibration, calibration_name)
            for name, messages in found.inputs.items():
                low, high = ranges[name]
                ranges[name] = min(low, int(messages.min())), max(high, int(messages.max()))
        integers, errors = quantize(graph, ranges, found)
        made = graph_to_nir(integers, dt)
    except BadInput as error:
        text = str(error)
        named = text if text.startswith(f"{calibration_name}: ") else f"{deployment.model}: {text}"
        raise BadInput(named) from error
    return replace(
        deployment,
        graph=made,
        quantization=Quantization(
            exact=False,
            why=why,
            calibration=None if found is None else calibration_name,
            calibration_samples=0 if found is None else found.trace.samples,
            calibration_positions=tuple(positions[: found.trace.samples]) if found else (),
            layers={name: error.to_json() for name, error in errors.items()},
            reference=graph,
        ),
    )


def inexact(graph: Graph, input_ranges: Mapping[str, tuple[Any, Any]]) -> str | None:
    """The first value of a graph that no register holds; None where it lowers without loss."""
    try:
        lower_graph(graph, input_ranges=input_ranges)
    except BadInput as error:
        return str(error)
    return None


def _simulated(graph: Graph, calibration: Mapping[str, NDArray[Any]], name: str) -> Calibration:
    steps = max(messages.shape[1] for messages in calibration.values())
    bytes_each = steps * sum(int(np.prod(n.shape)) for n in graph.neurons)
    count = max(1, _MAX_BYTES // bytes_each)
    messages = {node: each[:count] for node, each in calibration.items()}
    try:
        return Calibration(messages, simulate(graph, messages))
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error
