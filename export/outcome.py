"""What a run found, as `report.json` holds it: accuracy, predictions, parity."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.parity import Parity
from export.deployment import Deployment
from export.executors import Runs
from neuroclip.statistics import wilson_interval


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


def predictions_json(deployment: Deployment, runs: Runs) -> dict[str, Any]:
    """The first predictions of the emulator, for the reader."""
    shown = runs.predictions["emulator"][:20]
    labels = deployment.labels
    return {
        "labels": list(deployment.class_names),
        "first": [
            {"sample": i, "label": None if labels is None else int(labels[i]), "predicted": int(p)}
            for i, p in enumerate(shown)
        ],
    }


def parity_json(pairs: tuple[Parity, ...]) -> dict[str, Any]:
    """Every pair of executors compared, and whether all were equal."""
    return {"ok": all(pair.ok for pair in pairs), "pairs": [pair.to_json() for pair in pairs]}
