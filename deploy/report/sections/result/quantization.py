"""How a float graph became integers: what each layer lost, and which spikes differ for it."""

from typing import Any

from deploy.report.words.figures import NOT_MEASURED, count
from deploy.report.words.quantization import how, quantization_sentence
from deploy.report.words.read import at, mapping, number, pair
from deploy.report.words.section import Run


def facts(run: Run) -> dict[str, Any] | None:
    """One row per node; None where the network was not made integers by the export."""
    found = at(run.report, "quantization")
    sentence = quantization_sentence(run.report)
    if sentence is None:
        return None
    return {
        "exact": sentence if at(found, "exact") is True else "",
        "why": at(found, "why"),
        "how": how(found),
        "rows": [_row(name, node) for name, node in mapping(at(found, "nodes")).items()],
    }


def _row(name: str, node: object) -> dict[str, Any]:
    scales = pair(at(node, "scale"))
    between = "" if scales is None else f" ({scales[0]:.4g} to {scales[1]:.4g})"
    differ, fired = at(node, "spike_mismatches"), at(node, "spikes_float")
    return {
        "name": name,
        "scale": f"{at(node, 'scale_per')}{between}",
        "error": at(node, "weight_error"),
        "rates": [_rate(at(node, key)) for key in ("rate_float", "rate_quantized")],
        "differ": NOT_MEASURED
        if differ is None
        else f"{count(differ)} beside {count(fired)} spikes",
    }


def _rate(rate: object) -> str:
    found = number(rate)
    return NOT_MEASURED if found is None else f"{found:.5f}"
