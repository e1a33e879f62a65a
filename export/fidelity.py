"""How far an integer program is from the float graph it was made of, over all samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.trace import Trace
from export.deployment import Deployment, Quantization
from export.simulate import simulate


class Fidelity:
    """Spikes of the float graph and of the integers, counted chunk by chunk of the samples.

    predictions: the classes that the float graph predicts, in the order of the samples.
    """

    def __init__(self, deployment: Deployment) -> None:
        assert deployment.quantization is not None
        assert deployment.quantization.reference is not None
        self._graph = deployment.quantization.reference
        self._predict = deployment.predict
        self._counted: dict[str, list[int]] = {}
        self.predictions: list[NDArray[np.int64]] = []

    def watch(self, where: slice, inputs: Mapping[str, NDArray[Any]], trace: Trace) -> None:
        """Count the samples of a slice: their inputs, and what the integers did with them."""
        reference = simulate(self._graph, inputs)
        self.predictions.append(self._predict(reference, where))
        for name, spikes in reference.s.items():
            counted = self._counted.setdefault(name, [0, 0, 0, 0])
            counted[0] += int(spikes.sum(dtype=np.int64))
            counted[1] += int(trace.s[name].sum(dtype=np.int64))
            counted[2] += int(np.count_nonzero(spikes != trace.s[name]))
            counted[3] += spikes.size

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Of every neuron that fires: spikes a step of both, and the values that differ."""
        return {
            name: {
                "rate_float": fired / values,
                "rate_quantized": quantized / values,
                "spike_mismatches": differ,
                "spikes_compared": values,
                "spikes_float": fired,
            }
            for name, (fired, quantized, differ, values) in self._counted.items()
        }


def quantization_json(
    quantization: Quantization | None, fidelity: Fidelity | None
) -> dict[str, Any] | None:
    """As `report.json` holds it; None for a network that was trained in integers."""
    if quantization is None:
        return None
    measured = {} if fidelity is None else fidelity.nodes()
    return {
        "exact": quantization.exact,
        "why": quantization.why or None,
        "calibration": quantization.calibration,
        "calibration_samples": quantization.calibration_samples,
        "nodes": {
            name: {**layer, **measured.get(name, {})} for name, layer in quantization.layers.items()
        },
    }
