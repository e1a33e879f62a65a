"""Post-training quantization: a normalised graph's float values as registers of the chip.

A neuron that is set to zero when it fires depends only on the ratios of its weights and its bias to
its threshold. So every neuron that fires, or every channel of a convolution, has a scale s of its own:

    weight 2·round(w·s/2),   threshold round(θ·s),   bias round(64·b·s)

Integrators, whose potentials are compared, share one. Scales are chosen among candidates by the error
of those ratios; with calibration data, first by the spikes that differ from the float graph's where
the layer is fed the float graph's own messages.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Input, make_input
from export.graph.graph import Graph, Neuron, Path
from export.quantization.layer_error import LayerError
from export.quantization.layer_values import Choice, Layer
from export.quantization.wrong_spikes import Calibration, wrong_spikes

Float = NDArray[np.float64]

# Candidate scales: shares of the largest that fits, and powers of two of the NIR node's own unit.
_SHARES = 2.0 ** -(np.arange(16) / 16)
_OCTAVES = 10
# Errors that differ by less are the same; then the smallest registers are taken.
_DIGITS = 12
# Of each group's best candidates by ratio, calibration simulates so many.
_SIMULATED = 8


# What overflows becomes infinite and is refused by name; numpy's warnings would only add lines.
@np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
def quantize(
    graph: Graph,
    input_ranges: Mapping[str, tuple[Any, Any]],
    calibration: Calibration | None = None,
    *,
    per_channel: bool = True,
    bits: int = 8,
) -> tuple[Graph, dict[str, LayerError]]:
    """(the nearest graph whose values are the chip's, what each neuron node loses).

    The graph found is one that `export.lowering.exact.lower_graph` lowers as it is. input_ranges: smallest
    and largest message of each input. per_channel: False gives every layer one scale. bits: of a
    weight, sign included, 2..8. Decays are truncated, as those of the recorded hardware are. Raises
    BadInput naming the node that no registers approximate.
    """
    inputs = tuple(
        make_input(s.name, s.shape, *input_ranges.get(s.name, (0, 1))) for s in graph.inputs
    )
    neurons: list[Neuron] = []
    paths: dict[str, Path] = {}
    errors: dict[str, LayerError] = {}
    for neuron in graph.neurons:
        layer = Layer(neuron, graph.into(neuron.name), inputs, per_channel, 2 ** (bits - 1) - 1)
        choice = _chosen(layer, inputs, calibration)
        found = layer.quantized(choice)
        if found is None:
            raise BadInput(f"node '{neuron.name}': no scale brings its values into the registers")
        layer.require_held(found)
        neurons.append(found.neuron)
        paths |= {path.name: path for path in found.paths}
        errors[neuron.name] = layer.error(choice, found)
    integers = replace(
        graph, neurons=tuple(neurons), paths=tuple(paths[path.name] for path in graph.paths)
    )
    return integers, errors


def _chosen(layer: Layer, inputs: tuple[Input, ...], calibration: Calibration | None) -> Choice:
    """Of each group, the candidate with the fewest wrong spikes, the best ratios, the smallest scale."""
    candidates = _candidates(layer)
    errors = np.full((len(candidates), layer.groups), np.inf)
    for i, candidate in enumerate(candidates):
        found = layer.quantized(candidate)
        if found is not None:
            errors[i] = np.round(layer.mean_of(found.loss), _DIGITS)
    scales = np.stack([c.scale for c in candidates])
    truncates = np.stack([c.truncates for c in candidates])
    ranked = np.lexsort((scales, errors), axis=0)

    def of_rank(rank: Any) -> Choice:
        picked = ranked[rank, np.arange(layer.groups)]
        each = np.arange(layer.groups)
        return Choice(scales[picked, each], truncates[picked, each])

    if calibration is None or not layer.fires:
        return of_rank(0)
    wrong = np.full((min(_SIMULATED, len(candidates)), layer.groups), np.inf)
    made = {rank: layer.quantized(of_rank(rank)) for rank in range(len(wrong))}
    held = {rank: found for rank, found in made.items() if found is not None}
    for rank, each in zip(held, wrong_spikes([*held.values()], inputs, calibration), strict=True):
        wrong[rank] = layer.sum_of(each)
    return of_rank(wrong.argmin(axis=0))


def _candidates(layer: Layer) -> list[Choice]:
    nearest = np.zeros(layer.groups, np.bool_)
    found = [Choice(layer.fits * share, nearest) for share in _SHARES]
    # Published converters scale potentials by a power of two and truncate: registers of recorded runs.
    unit = layer.unit
    whole = 2.0 ** np.floor(np.log2(layer.fits / unit)) * unit
    for octave in range(_OCTAVES):
        scale = whole * 2.0**-octave
        found += [Choice(scale, nearest), Choice(scale, ~nearest)]
    return found
