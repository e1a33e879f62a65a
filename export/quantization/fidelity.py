"""How far an integer program is from the float graph it was made of, over all samples."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.emulate.trace import Trace
from export.deployment.deployment import Deployment, Quantization
from export.graph.simulate import simulate

FLOAT_GRAPH = "float graph"
# Of a node: spikes of the float graph, of the integers, values that differ, values compared.
Counted = dict[str, list[int]]


def measured(
    deployment: Deployment,
    where: slice,
    inputs: Mapping[str, NDArray[Any]],
    trace: Trace,
    threads: int = 1,
) -> tuple[NDArray[np.int64], Counted]:
    """What the float graph predicts for a slice of the samples, and how its spikes compare.

    inputs, trace: of those samples; trace: what the integers did with them.
    """
    assert deployment.quantization is not None
    assert deployment.quantization.reference is not None
    reference = simulate(deployment.quantization.reference, inputs, threads)
    counted = {
        name: [
            _total(spikes),
            _total(trace.s[name]),
            int(np.count_nonzero(spikes != trace.s[name])),
            spikes.size,
        ]
        for name, spikes in reference.s.items()
    }
    return deployment.predict(reference, where), counted


def _total(messages: NDArray[Any]) -> int:
    """The sum of messages; bytes are 0 and 1, which are counted several times as fast."""
    if messages.dtype == np.uint8:
        return int(np.count_nonzero(messages.view(np.bool_)))
    return int(messages.sum(dtype=np.int64))


def added(parts: Iterable[Counted]) -> Counted:
    """The counts of all parts of the samples."""
    total: Counted = {}
    for part in parts:
        for name, counted in part.items():
            total[name] = [a + b for a, b in zip(total.get(name, [0] * 4), counted, strict=True)]
    return total


def _nodes(counted: Counted) -> dict[str, dict[str, Any]]:
    """Of every neuron that fires: spikes a step of both, and the values that differ."""
    return {
        name: {
            "rate_float": fired / values,
            "rate_quantized": quantized / values,
            "spike_mismatches": differ,
            "spikes_compared": values,
            "spikes_float": fired,
        }
        for name, (fired, quantized, differ, values) in counted.items()
    }


def quantization_json(quantization: Quantization | None, counted: Counted) -> dict[str, Any] | None:
    """As `report.json` holds it; None for a network that was trained in integers."""
    if quantization is None:
        return None
    found = _nodes(counted)
    used = {"calibration_positions": list(quantization.calibration_positions)}
    return {
        "exact": quantization.exact,
        "why": quantization.why or None,
        "calibration": quantization.calibration,
        "calibration_samples": quantization.calibration_samples,
        **(used if quantization.calibration is not None else {}),
        "nodes": {
            name: {**layer, **found.get(name, {})} for name, layer in quantization.layers.items()
        },
    }
