"""What quantization lost, in words."""

from deploy.report.words.figures import count, percent
from deploy.report.words.read import at, mapping, number


def quantization_sentence(report: object) -> str | None:
    """What was lost, in a sentence; None where the network was not made integers by the export."""
    found = at(report, "quantization")
    if at(found, "exact") is True:
        return "exact: every value is one of the chip's, nothing was rounded"
    if not mapping(found):
        return None
    nodes = list(mapping(at(found, "nodes")).values())
    shares = [s for node in nodes if (s := _differing(node)) is not None]
    sentence = f"{how(found)}; weights within {percent(_worst(nodes, 'weight_error'))}"
    if not shares:
        return sentence
    low, high = percent(min(shares)), percent(max(shares))
    ends = low if low == high else f"{low} to {high}"
    return f"{sentence}; {ends} of a node's spike values differ from float64"


def how(found: object) -> str:
    """How the scales were chosen."""
    data, samples = at(found, "calibration"), at(found, "calibration_samples")
    if data is None:
        return "quantized without calibration, by its values alone"
    return f"quantized, calibrated on {count(samples)} samples of {data}"


def _worst(nodes: list[object], key: str) -> float | int | None:
    return max((x for node in nodes if (x := number(at(node, key))) is not None), default=None)


def _differing(node: object) -> float | None:
    differ, compared = number(at(node, "spike_mismatches")), number(at(node, "spikes_compared"))
    return None if differ is None or not compared else differ / compared
