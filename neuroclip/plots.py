"""Plots of tables as SVG files, drawn by matplotlib."""

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


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BadInput(
            "matplotlib is not installed: plots need it (pip install matplotlib)"
        ) from error
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    # The same table gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "neuroclip"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
