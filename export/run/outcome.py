"""What a run found, as `report.json` holds it: accuracy, predictions, parity."""

import hashlib
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
    return {key: _share_right(right) for key, right in _right(deployment, runs).items()}


def _right(deployment: Deployment, runs: Runs) -> dict[str, NDArray[np.bool_] | None]:
    """Which samples each executor has right; None where it, or the labels, are not known."""
    # A network quantized here has no torch module; what was made of it first runs on the emulator.
    quantized = "torch" if deployment.quantization is None else "emulator"
    names = {"quantized": quantized, "emulator": "emulator", "lava": "lava"}
    predicted = {"float": deployment.float_predictions}
    predicted |= {key: runs.predictions.get(executor) for key, executor in names.items()}
    labels = deployment.labels
    return {
        key: None if labels is None or p is None else labels == p for key, p in predicted.items()
    }


def _share_right(right: NDArray[np.bool_] | None) -> dict[str, Any] | None:
    if right is None:
        return None
    correct, total = int(right.sum()), len(right)
    low, high = wilson_interval(correct, total)
    return {"value": correct / total, "low": low, "high": high, "correct": correct, "total": total}


def predictions_json(deployment: Deployment, program: Program, runs: Runs) -> dict[str, Any]:
    """The first predictions of the emulator, and which samples each executor has right.

    correct: of each executor a text of one character a sample, "1" where it is right; with
    labels_sha256, of all labels in their order, two runs over the same samples can be paired.
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
        "correct": {
            key: None if right is None else "".join("01"[int(x)] for x in right)
            for key, right in _right(deployment, runs).items()
        },
        "labels_sha256": None if labels is None else hashlib.sha256(labels.tobytes()).hexdigest(),
        "outputs": {
            output.name: most_active(trace, output.source)[:_SHOWN].tolist()
            for output in program.outputs
            if several and (output.source in trace.readout or output.source in trace.s)
        },
    }


def parity_json(pairs: tuple[Parity, ...]) -> dict[str, Any]:
    """Every pair of executors compared, and whether all were equal."""
    return {"ok": all(pair.ok for pair in pairs), "pairs": [pair.to_json() for pair in pairs]}
