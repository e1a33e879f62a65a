"""How a float graph became integers: what each layer lost, and which spikes differ for it."""

from deploy.report.words.figures import NOT_MEASURED, count, percent
from deploy.report.words.markup import Child, Markup, el, missing, section, table, value
from deploy.report.words.read import at, mapping, number, pair

HEAD = (
    "node",
    "a scale for each",
    "weights off by",
    "spikes a step, float",
    "integers",
    "spike values that differ",
)


def quantization_sentence(report: object) -> str | None:
    """What was lost, in a sentence; None where the network was not made integers by the export."""
    found = at(report, "quantization")
    if at(found, "exact") is True:
        return "exact: every value is one of the chip's, nothing was rounded"
    if not mapping(found):
        return None
    nodes = list(mapping(at(found, "nodes")).values())
    shares = [s for node in nodes if (s := _differing(node)) is not None]
    sentence = f"{_how(found)}; weights within {percent(_worst(nodes, 'weight_error'))}"
    if not shares:
        return sentence
    low, high = percent(min(shares)), percent(max(shares))
    ends = low if low == high else f"{low} to {high}"
    return f"{sentence}; {ends} of a node's spike values differ from float64"


def quantization_section(report: object) -> Markup | None:
    """One row per node; None where the network was not made integers by the export."""
    found = at(report, "quantization")
    sentence = quantization_sentence(report)
    if sentence is None:
        return None
    if at(found, "exact") is True:
        return section("quantization", "Quantization", el("p", sentence, "."))
    rows = [[name, *_row(node)] for name, node in mapping(at(found, "nodes")).items()]
    why = at(found, "why")
    return section(
        "quantization",
        "Quantization",
        el("p", f"Not exact on the chip: {why}." if why else missing("not said why")),
        el(
            "p",
            f"The graph was {_how(found)}. Errors are shares of a layer's largest weight, at the scale "
            "under which each threshold is exact. Spikes are those of the whole network beside the "
            "float64 simulation of the graph: a layer inherits the differences of those before it.",
        ),
        table(HEAD, rows, "llrrrr", "What became of each node"),
    )


def _how(found: object) -> str:
    data, samples = at(found, "calibration"), at(found, "calibration_samples")
    if data is None:
        return "quantized without calibration, by its values alone"
    return f"quantized, calibrated on {count(samples)} samples of {data}"


def _worst(nodes: list[object], key: str) -> float | int | None:
    return max((x for node in nodes if (x := number(at(node, key))) is not None), default=None)


def _differing(node: object) -> float | None:
    differ, compared = number(at(node, "spike_mismatches")), number(at(node, "spikes_compared"))
    return None if differ is None or not compared else differ / compared


def _row(node: object) -> list[Child]:
    scales = pair(at(node, "scale"))
    between = "" if scales is None else f" ({scales[0]:.4g} to {scales[1]:.4g})"
    differ, fired = at(node, "spike_mismatches"), at(node, "spikes_float")
    said = NOT_MEASURED if differ is None else f"{count(differ)} beside {count(fired)} spikes"
    return [
        f"{at(node, 'scale_per')}{between}",
        value(percent(at(node, "weight_error"))),
        *(_rate(at(node, key)) for key in ("rate_float", "rate_quantized")),
        value(said),
    ]


def _rate(rate: object) -> Child:
    found = number(rate)
    return missing() if found is None else f"{found:.5f}"
