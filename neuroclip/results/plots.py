"""Plots of tables and of trainings as SVG files, drawn by matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.errors import BadInput
from deploy.files import atomic_path


def plot_accuracy(table: Mapping[str, Any], path: Path) -> None:
    """Accuracy against shots, a line for each method, bars of one deviation over seeds."""
    figure, axes = _figure()
    shots = table["shots"]
    for method, values in table["accuracy"].items():
        means = [np.mean(values[str(k)]) for k in shots]
        deviations = [np.std(values[str(k)], ddof=min(1, len(table["seeds"]) - 1)) for k in shots]
        axes.errorbar(shots, means, deviations, label=method, marker="o", markersize=3, capsize=2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.set_xlabel("shots per class")
    axes.set_ylabel("accuracy on the test recordings (%)")
    axes.legend(fontsize=7)
    _save(figure, path)


def plot_operations(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy against synaptic operations per inference, a line for each message resolution."""
    figure, axes = _figure()
    for exponent in sorted({p["message_exponent"] for p in points}, reverse=True):
        line = sorted(
            (p for p in points if p["message_exponent"] == exponent), key=lambda p: p["operations"]
        )
        axes.errorbar(
            [p["operations"] for p in line], [p["accuracy"] for p in line],
            [p["deviation"] for p in line], label=f"messages in steps of 2^{-exponent}",
            marker="o", markersize=3, capsize=2,
        )  # fmt: skip
        for p in line:
            target = "no target" if p["spike_rate"] is None else f"≤ {100 * p['spike_rate']:g} %"
            axes.annotate(
                target, (p["operations"], p["accuracy"]), fontsize=6,
                xytext=(3, 3), textcoords="offset points",
            )  # fmt: skip
    axes.set_xlabel("synaptic operations per inference")
    axes.set_ylabel("accuracy on the test recordings (%)")
    axes.legend(fontsize=7)
    _save(figure, path)


def plot_history(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The curves of a training, stages one after the other: loss, validation, each layer's rate."""
    figure, axes = _figure(3)
    start = 0
    for stage in dict.fromkeys(h["stage"] for h in history):
        entries = [h for h in history if h["stage"] == stage]
        epochs = [start + h["epoch"] for h in entries]
        losses = [h["loss"] for h in entries]
        axes[0].plot(epochs[1:], losses[1:], label=stage, marker="o", markersize=2)
        axes[1].plot(epochs, [h["validation"] for h in entries], marker="o", markersize=2)
        layers = list(entries[0].get("rates", {}))
        for i, layer in enumerate(layers):
            # One colour a layer, from the first to the last, in every stage.
            colour = (0.2 + 0.6 * i / max(1, len(layers) - 1), 0.3, 0.7 - 0.5 * i / len(layers))
            rates = [100 * h["rates"][layer] for h in entries]
            axes[2].plot(epochs, rates, color=colour, linewidth=0.8)
        start = epochs[-1]
    axes[0].set_ylabel("training loss")
    axes[0].legend(fontsize=7)
    axes[1].set_ylabel("validation: cosine or accuracy")
    axes[2].set_ylabel("firing rate (%), blue: first layer")
    axes[2].set_xlabel("epoch")
    _save(figure, path)


def _figure(rows: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise BadInput(
            "matplotlib is not installed: plots need it (pip install matplotlib)"
        ) from error
    figure = Figure(figsize=(6.4, 4.2 if rows == 1 else 2.6 * rows), layout="constrained")
    return figure, figure.subplots(rows, sharex=rows > 1)


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    # The same table gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "neuroclip"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
