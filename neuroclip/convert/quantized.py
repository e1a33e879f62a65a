"""What a person quantized in training: weights as brevitas does, states by snnTorch's `state_quant`.

Both are kept to the last bit, or refused with the scale.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import snntorch as snn
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.convert.kinds import decay, neurons, values
from neuroclip.convert.traced import Feed, Graph, Population
from neuroclip.linear.maps import apply, listed

Values = NDArray[np.float64]


def quantized_layers(model: nn.Module) -> frozenset[str]:
    """Paths of layers whose weights are quantized in training, as brevitas' QuantLinear's are.

    Raises BadInput naming one whose weights no power of two and seven bits with a sign hold: the chip
    would change them.
    """
    found = set()
    for name, module in model.named_modules():
        quantize = getattr(module, "quant_weight", None)
        if not callable(quantize):
            continue
        held = quantize()
        scale = held.scale.detach().cpu().double().reshape(-1).numpy()
        mantissa, _ = np.frexp(scale)
        if (mantissa != 0.5).any() or (scale != scale[0]).any():
            odd = scale[mantissa != 0.5][0] if (mantissa != 0.5).any() else scale[0]
            raise BadInput(
                f"module '{name}': its weights are quantized in steps of {odd:g}; the chip keeps them where "
                "all steps of a layer are one power of two"
            )
        largest = float(held.value.detach().abs().max()) / scale[0]
        if largest > 127:
            raise BadInput(
                f"module '{name}': a quantized weight of {largest:g} steps; the chip keeps at most 127"
            )
        found.add(name)
    return frozenset(found)


@dataclass(frozen=True)
class Levels:
    """States are rounded to multiples of `step`, a power of two, from `low` to `high`."""

    step: float
    low: float
    high: float


def state_levels(model: nn.Module) -> dict[str, Levels]:
    """{path of neurons: the levels of their state_quant}.

    Raises BadInput with the step where it is no power of two.
    """
    found = {}
    for name, neuron in neurons(model):
        if not neuron.state_quant:
            continue
        levels = _levels(neuron.state_quant)
        if levels is None:
            raise BadInput(
                f"module '{name}': its state_quant is a function that is not known; expected one of "
                "snntorch.functional.quant.state_quant"
            )
        steps = np.diff(levels)
        step, (mantissa, _) = float(steps.min()), np.frexp(steps)
        if (mantissa != 0.5).any() or (steps != step).any() or (levels % step).any():
            raise BadInput(
                f"module '{name}': its state_quant rounds states to steps of {float(steps[0]):g} from "
                f"{levels[0]:g} to {levels[-1]:g}; the chip keeps them where all steps are one power of "
                "two and 0 is a level"
            )
        found[name] = Levels(step, float(levels[0]), float(levels[-1]))
    return found


def _levels(quantize: Any) -> Values | None:
    """The levels of a function that snnTorch's `state_quant` made, in order."""
    code, cells = getattr(quantize, "__code__", None), getattr(quantize, "__closure__", None) or ()
    held = dict(zip(code.co_freevars, cells, strict=True)) if code is not None else {}
    levels = held["levels"].cell_contents if "levels" in held else None
    if not isinstance(levels, Tensor) or levels.numel() < 2:
        return None
    return np.sort(levels.detach().cpu().double().numpy().reshape(-1))


def require_states_kept(
    graph: Graph, levels: dict[str, Levels], message_max: dict[str, int]
) -> None:
    """Raise BadInput where rounding to levels may change a state, which no register does."""
    for name, population in graph.populations.items():
        calls = graph.observation.neurons.get(name)
        if calls is None or calls.module not in levels:
            continue
        level = levels[calls.module]
        why = _changed(graph, population, level, message_max)
        if why:
            raise BadInput(
                f"module '{name}': its state_quant, in steps of {level.step:g}, may change its states: {why}"
            )


def _changed(
    graph: Graph, population: Population, level: Levels, message_max: dict[str, int]
) -> str:
    """Why a state may be no level; nothing where each is one."""
    neuron, shape = population.neuron, population.shape
    size = prod(shape)
    beta = np.broadcast_to(decay(neuron, "beta", shape), size)
    if not np.isin(beta, (0, 1)).all():
        return f"beta is {beta[~np.isin(beta, (0, 1))][0]:g}, neither 0 nor 1"
    if (np.mod(population.constant, level.step) != 0).any():
        return "a bias that is no multiple"
    low = high = population.constant.reshape(-1).astype(np.float64)
    for feed in population.feeds:
        if (np.mod(_weights(feed), level.step) != 0).any():
            return f"weights of '{feed.name}' that are no multiples"
        least, most = _range(graph, feed, message_max)
        low, high = low + least, high + most
    if isinstance(neuron, snn.Synaptic | snn.RSynaptic):
        alpha = decay(neuron, "alpha", shape)
        if (alpha != 0).any():
            return f"alpha is {float(alpha[alpha != 0][0]):g}, not 0"
        if (low < level.low).any() or (high > level.high).any():
            return (
                f"currents from {low.min():g} to {high.max():g}, levels from {level.low:g} to "
                f"{level.high:g}"
            )
    floor = np.where(beta == 1, 0.0, level.low)
    if (low < floor).any():
        kept = (
            "with beta 1, which adds them up"
            if (beta == 1).any()
            else f"below the lowest {level.low:g}"
        )
        return f"sums as low as {low.min():g}, {kept}"
    if population.integrates:
        if (beta == 1).any():
            return "it never resets, and adds up without end"
        return (
            f"sums up to {high.max():g}, above {level.high:g}" if (high > level.high).any() else ""
        )
    if (values(neuron.threshold, shape) >= level.high).any():
        return f"its threshold is not below the highest level {level.high:g}"
    return ""


def _weights(feed: Feed) -> Values:
    made = feed.affine.map
    return np.ones(1) if made is None else np.asarray(made.weight, np.float64)


def _range(graph: Graph, feed: Feed, message_max: dict[str, int]) -> tuple[Values, Values]:
    """The least and the largest sums of one way into a population."""
    largest = float(message_max.get(feed.source, 1))
    sample = graph.observation.sample.get(feed.source)
    least = -largest if sample is not None and (sample < 0).any() else 0.0
    made = feed.affine.map
    ones = np.ones((1, prod(feed.affine.source)))
    if made is None:
        return least * ones[0], largest * ones[0]
    whole = listed(made)
    up, down = (
        apply(replace(whole, weight=np.clip(sign * whole.weight, 0, None)), ones)[0]
        for sign in (1, -1)
    )
    return least * up - largest * down, largest * up - least * down
