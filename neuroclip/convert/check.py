"""The traced graph in floating point against the person's own module, step by step.

Every neuron of every kept population is given what the module's own populations sent and the state that
the module held, and must come to the module's next state and spikes. Sums are taken in float64 here and
in float32 there, in another order: they may differ by that rounding, and a spike only where the
membrane potential is that close to the threshold.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.convert.kinds import decay, resets_late, values
from neuroclip.convert.traced import Feed, Graph, Population
from neuroclip.linear.maps import apply

Values = NDArray[np.float64]

# Of the sum of all magnitudes that a potential is made of: float32 keeps 24 bits of each partial sum.
_ROUNDING = 2.0**-17


def require_faithful(graph: Graph) -> int:
    """How many values were compared. Raises BadInput naming the first node, step and neuron that differ."""
    steps = graph.observation.steps
    compared = 0
    sent = _Sent(graph)
    for step in range(steps):
        for population in graph.populations.values():
            if population.neuron is not None:
                compared += _compare(graph, sent, population, step)
    return compared


class _Sent:
    """What the module's populations sent, the ORs of their windows among them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def at(self, name: str, step: int) -> Values:
        """Messages [N, size] of a step."""
        observation = self.graph.observation
        if name in observation.sample:
            return _flat(observation.sample[name][:, step])
        population = self.graph.populations[name]
        if population.neuron is not None:
            return _flat(self.graph.calls(name)[step].sent)
        if not population.windows:
            parts = [_applied(feed, self.at(feed.source, step)) for feed in population.feeds]
            return np.sum(parts, axis=0)
        (feed,) = population.feeds
        return _windows(population, self.at(feed.source, step).reshape(-1, *feed.affine.source))


def _flat(values: Values) -> Values:
    return values.reshape(len(values), -1)


def _windows(population: Population, images: Values) -> Values:
    """1 where any message of a window is positive: [N, size]."""
    (ky, kx), (sy, sx), (py, px) = population.windows
    padded = np.pad(images, ((0, 0), (0, 0), (py, py), (px, px)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (ky, kx), (2, 3))  # type: ignore[call-overload]
    return _flat(seen[:, :, ::sy, ::sx].max(axis=(4, 5)))


def require_sum(graph: Graph, population: Population, given: Values) -> None:
    """Raise BadInput where the sums of an integrator over all steps are not those that were returned."""
    sent, steps = _Sent(graph), graph.observation.steps
    size = _flat(given).shape
    constant = np.broadcast_to(population.constant.reshape(-1), size)
    total: Values = constant * float(steps)
    magnitude: Values = np.abs(total)
    for step in range(steps):
        for feed in population.feeds:
            messages = sent.at(feed.source, step)
            total = total + _applied(feed, messages)
            magnitude = magnitude + np.abs(_applied(_absolute(feed), np.abs(messages)))
    magnitude = np.maximum(magnitude, magnitude.max() / 16)
    _require(graph, population, steps - 1, "sum over time", total, _flat(given), magnitude)


def _compare(graph: Graph, sent: _Sent, population: Population, step: int) -> int:
    name, neuron = population.name, population.neuron
    call = graph.calls(name)[step]
    size = call.spk.reshape(len(call.spk), -1).shape
    current = np.broadcast_to(population.constant.reshape(-1), size).copy()
    magnitude = np.abs(current)
    for feed in population.feeds:
        if step >= feed.delay:
            messages = sent.at(feed.source, step - feed.delay)
            current += _applied(feed, messages)
            magnitude += np.abs(_applied(_absolute(feed), np.abs(messages)))
    # What cancels within the layers on the way was rounded at the size it had there, which the composed
    # map does not show; another neuron's sum stands for it, at a sixteenth, so that it hides little.
    magnitude = np.maximum(magnitude, magnitude.max() / 16)
    before = graph.calls(name)[step - 1] if step else None
    mem = _flat(before.mem) if before is not None else np.zeros(size)
    late = resets_late(neuron)
    if late and before is not None:
        mem = np.where(_flat(before.spk) != 0, 0.0, mem)
    leak = decay(neuron, "beta", population.shape)
    if call.syn is not None:
        syn = _flat(before.syn) if before is not None and before.syn is not None else np.zeros(size)
        alpha = decay(neuron, "alpha", population.shape)
        current, magnitude = alpha * syn + current, magnitude + np.abs(alpha * syn)
        _require(graph, population, step, "synaptic current", current, _flat(call.syn), magnitude)
    potential = leak * mem + current
    magnitude = magnitude + np.abs(leak * mem)
    threshold = values(neuron.threshold, population.shape)
    fires, spk = potential > threshold, _flat(call.spk)
    near = np.abs(potential - threshold) <= _ROUNDING * (magnitude + np.abs(threshold))
    if not population.integrates:
        wrong = ((spk != 0) != fires) & ~near
        if wrong.any() or not np.isin(spk, (0, 1)).all():
            wrong = wrong if wrong.any() else ~np.isin(spk, (0, 1))
            raise _differs(graph, population, step, "spike", fires, spk, wrong)
        potential = potential if late else np.where(spk != 0, 0.0, potential)
    _require(graph, population, step, "membrane potential", potential, _flat(call.mem), magnitude)
    return 2 * spk.size


def _applied(feed: Feed, messages: Values) -> Values:
    return messages if feed.affine.map is None else apply(feed.affine.map, messages)


def _absolute(feed: Feed) -> Feed:
    """The same with the magnitudes of its weights."""
    made = feed.affine.map
    if made is None:
        return feed
    return replace(feed, affine=replace(feed.affine, map=replace(made, weight=np.abs(made.weight))))


def _require(
    graph: Graph, population: Population, step: int, what: str, found: Values, given: Values,
    magnitude: Values,
) -> None:  # fmt: skip
    wrong = ~(np.abs(found - given) <= _ROUNDING * magnitude + 1e-30)
    if wrong.any():
        raise _differs(graph, population, step, what, found, given, wrong)


def _differs(
    graph: Graph, population: Population, step: int, what: str, found: Any, given: Any, wrong: Any
) -> BadInput:
    sample, place = (int(x[0]) for x in np.nonzero(wrong))
    index = tuple(int(i) for i in np.unravel_index(place, population.shape))
    return BadInput(
        f"module '{population.name}': at step {step} of sample {sample} the {what} of neuron {index} is "
        f"{float(given[sample, place]):g} in the module and {float(found[sample, place]):g} in the graph "
        "read from it; it does something that was not understood"
    )
