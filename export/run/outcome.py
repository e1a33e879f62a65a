"""What a run found, as `report.json` holds it: accuracy, predictions, parity."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import Parity
from deploy.program.program import Program
from export.deployment.deployment import Deployment, most_active
from export.run.executors import Runs
from neuroclip.results.statistics import wilson_interval

_SHOWN = 20


def accuracy_json(deployment: Deployment, runs: Runs) -> dict[str, Any]:
    """Accuracy per executor with its 95 % interval; null where it was not measured."""
    # A network quantized here has no torch module; what was made of it first runs on the emulator.
    quantized = "torch" if deployment.quantization is None else "emulator"
    names = {"quantized": quantized, "emulator": "emulator", "lava": "lava"}
    predicted = {key: runs.predictions.get(executor) for key, executor in names.items()}
    predicted = {"float": deployment.float_predictions} | predicted
    return {key: _share_right(deployment.labels, p) for key, p in predicted.items()}


def _share_right(
    labels: NDArray[np.int64] | None, predicted: NDArray[np.int64] | None
) -> dict[str, Any] | None:
    if labels is None or predicted is None:
        return None
    correct = int((labels == predicted).sum())
    low, high = wilson_interval(correct, len(labels))
    return {
        "value": correct / len(labels),
        "low": low,
        "high": high,
        "correct": correct,
        "total": len(labels),
    }


def predictions_json(deployment: Deployment, program: Program, runs: Runs) -> dict[str, Any]:
    """The first predictions of the emulator, for the reader.

    outputs: of a network with several, the most active neuron of each in the samples that were
    recorded; `first` is of the one that decides.
    """
    shown = runs.predictions["emulator"][:_SHOWN]
    labels = deployment.labels
    trace, several = runs.trace, len(program.outputs) > 1
    return {
        "labels": list(deployment.class_names),
        "first": [
            {"sample": i, "label": None if labels is None else int(labels[i]), "predicted": int(p)}
            for i, p in enumerate(shown)
        ],
        "outputs": {
            output.name: most_active(trace, output.source)[:_SHOWN].tolist()
            for output in program.outputs
            if several and (output.source in trace.readout or output.source in trace.s)
        },
    }


def parity_json(pairs: tuple[Parity, ...]) -> dict[str, Any]:
    """Every pair of executors compared, and whether all were equal."""
    return {"ok": all(pair.ok for pair in pairs), "pairs": [pair.to_json() for pair in pairs]}
