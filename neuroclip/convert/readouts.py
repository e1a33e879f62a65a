"""Linear layers of spikes that are summed over time: neurons that integrate and never fire.

W·Σₜ s[t] + c is the potential, after the last step, of an integrator that receives W·s[t] and c/T at each
of T steps. A mean is kept as the sum, which is T times as large: W·s[t] and c at each step.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import snntorch as snn
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.convert.check import require_sum
from neuroclip.convert.traced import Feed, Graph, Population, feed_of, named_apart
from neuroclip.convert.watch.observe import OtherLayout, Returned
from neuroclip.convert.ways import Way
from neuroclip.linear.affine import channelwise, followed
from neuroclip.linear.maps import apply

Values = NDArray[np.float64]

# Two runs come to the same factors but for the rounding of float64.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Summed:
    """Ways that sum over all steps, one for each kind, and the constant [F] that is added once."""

    ways: tuple[Way, ...]
    constant: Values


def summed(graph: Graph, labels: NDArray[np.int64]) -> Summed | None:
    """What labels [N, …] hold, where it is a sum over every step of what each source sent.

    Raises BadInput as `Reader.ways` does, `OtherLayout` where it is no sum over time.
    """
    ways, constant = graph.reader.ways("output", labels.reshape(len(labels), -1))
    steps: dict[object, list[int | None]] = defaultdict(list)
    for way in ways:
        steps[way.key].append(way.step)
    every = Counter(range(graph.observation.steps))
    if not ways or any(Counter(found) != every for found in steps.values()):
        return None
    return Summed(tuple(way for way in ways if way.step == 0), constant)


def read_out(
    graph: Graph, one: Returned, shorter: Callable[[], tuple[Graph, Returned] | None]
) -> tuple[str, bool]:
    """(the population that integrates what was returned, whether it holds for so many steps alone).

    shorter: the same of a run that is a step shorter, where there is one. Raises BadInput naming the
    layer whose sums are read at single steps, and where the module returned another sum.
    """
    total = _total(graph, one)
    steps = graph.observation.steps
    less = shorter()
    other = None if less is None else _total(*less)
    gain, fixed = _gain(total, other, steps)
    shape = one.labels.shape[1:]
    feeds = []
    for way in total.ways:
        if way.source.name in graph.populations and graph.populations[way.source.name].integrates:
            raise BadInput(
                f"output: '{way.source.name}' never resets and its spikes are summed; return its membrane "
                "potential"
            )
        feed = feed_of(graph, "output", way, 0, {}, shape)
        factor = channelwise(feed.name, np.full(shape[:1] or (1,), gain), None, shape)
        feeds.append(Feed(feed.name, feed.source, followed(feed.name, feed.affine, factor)))
    name, number = f"{feeds[0].name}_sum", 1
    while name in graph.populations or name in graph.shapes:
        number += 1
        name = f"{feeds[0].name}_sum_{number}"
    constant = (gain * total.constant / steps).reshape(shape)
    neuron = snn.Leaky(beta=1.0, reset_mechanism="none")
    made = Population(name, neuron, shape, named_apart(feeds), constant)
    require_sum(graph, made, one.values * gain)
    graph.populations[name] = made
    return name, fixed


def _total(graph: Graph, one: Returned) -> Summed:
    refusal = BadInput(
        f"module '{_layer(graph, one)}': its last layer is no neuron, and its sums of single steps are no "
        "answer of a chip; return their sum or mean over all steps, or let neurons that never reset follow "
        "(Leaky(beta=1, reset_mechanism='none'))"
    )
    if one.labels.ndim < 2 or len(one.labels) != graph.observation.samples:
        raise refusal
    try:
        found = summed(graph, one.labels)
    except OtherLayout as error:
        raise refusal from error
    if found is None:
        raise refusal
    return found


def _layer(graph: Graph, one: Returned) -> str:
    """The layer that made what was returned, or was summed into it."""
    watch = graph.reader.watch
    labels = one.labels[one.labels > 0].reshape(-1)[:1]
    for _ in range(len(watch.origins)):
        if not labels.size:
            break
        origin = graph.reader.origin(int(labels[0]))
        terms = getattr(origin, "terms", ())
        if not terms:
            return origin.name
        labels = np.concatenate([t[0][t[0] > 0].reshape(-1)[:1] for t in terms])
    return "output"


def _gain(total: Summed, other: Summed | None, steps: int) -> tuple[float, bool]:
    """(what to multiply by, whether a bias makes it hold for so many steps alone)."""
    if other is None or len(other.ways) != len(total.ways):
        return 1.0, bool(total.constant.any())
    generator = np.random.default_rng(0)
    ratios = []
    for way, less in zip(total.ways, other.ways, strict=True):
        sent = generator.standard_normal((1, int(np.prod(way.source.shape))))
        a, b = _sent(way, sent), _sent(less, sent)
        if np.allclose(a, b, _SAME, 0):
            ratios.append(1.0)
        elif np.allclose(a * steps, b * (steps - 1), _SAME, 0):
            ratios.append(float(steps))
        else:
            return 1.0, True
    if len(set(ratios)) != 1:
        return 1.0, True
    gain = ratios[0]
    mine = gain * total.constant / steps
    its = (gain if gain == 1 else steps - 1) * other.constant / (steps - 1)
    return gain, not np.allclose(mine, its, _SAME, 0)


def _sent(way: Way, sent: Values) -> Values:
    made = way.whole("output").map
    return sent if made is None else apply(made, sent)
