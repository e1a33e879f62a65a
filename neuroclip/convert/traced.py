"""The populations of a watched model and the maps between them: the traced graph.

A population is one neuron module's state through time. What it reads must be the same at every step
but for the step itself: the same sources, so many steps ago, by the same layers.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.convert.kinds import RECURRENT, input_gain
from neuroclip.convert.watch.observe import Call, Neurons, Observation, OtherLayout
from neuroclip.convert.ways import Reader, Source, Way
from neuroclip.linear.affine import Affine, channelwise, chosen, convolution, followed, matrix
from neuroclip.linear.maps import diagonal


@dataclass(frozen=True, eq=False)
class Feed:
    """What comes into a population by one way: `affine` of what `source` sent `delay` steps ago."""

    name: str
    source: str
    affine: Affine
    delay: int = 0


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of the traced graph. neuron: the module; None where it fires if any source does.

    constant: float64 [*shape], added at every step. windows: (kernel, stride, padding) of an OR over
    windows of its one source.
    """

    name: str
    neuron: Any
    shape: Shape
    feeds: tuple[Feed, ...]
    constant: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...] = ()

    @property
    def integrates(self) -> bool:
        """True where it never resets: its membrane potential is read."""
        return self.neuron is not None and self.neuron.reset_mechanism == "none"


@dataclass(eq=False)
class Graph:
    """Populations by name. calls: what the module gave at each step, of those that are neurons."""

    observation: Observation
    reader: Reader
    populations: dict[str, Population] = field(default_factory=dict)
    pools: dict[Source, str] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of each input at one step."""
        return {name: sample.shape[2:] for name, sample in self.observation.sample.items()}

    def calls(self, name: str) -> list[Call]:
        """The calls of a population of neurons."""
        return self.observation.neurons[name].calls


def traced(observation: Observation, message_max: Mapping[str, int]) -> Graph:
    """The graph of a watched run. Raises BadInput naming the module that reads what no chip sends.

    message_max: the largest |message| of each input.
    """
    graph = Graph(observation, Reader(observation.watch, observation.samples))
    # All populations fire first, so that loops find what they read.
    for neurons in observation.neurons.values():
        _population(graph, neurons, message_max)
    for population in list(graph.populations.values()):
        for feed in population.feeds:
            source = graph.populations.get(feed.source)
            if source is not None and source.integrates:
                raise BadInput(
                    f"module '{source.name}': it never resets, so it can only be read, and others read "
                    "it"
                )
    read = {feed.source for population in graph.populations.values() for feed in population.feeds}
    for name in observation.sample:
        if read and name not in read:
            raise BadInput(f"input '{name}': no neurons read it; leave it out of the sample")
    return graph


def _population(graph: Graph, neurons: Neurons, message_max: Mapping[str, int]) -> None:
    name, steps = neurons.name, graph.observation.steps
    batch = graph.observation.samples
    steps_read = [
        graph.reader.ways(name, call.labels.reshape(len(call.labels), -1))
        for call in neurons.calls
        if call.labels.ndim > 1 and len(call.labels) == batch
    ]
    if len(steps_read) != len(neurons.calls):
        raise OtherLayout(
            f"module '{name}': it reads {neurons.calls[0].labels.shape}, expected the {batch} samples "
            "first"
        )
    ways, constant = steps_read[-1]
    try:
        _same_at_each_step(name, steps_read)
    except BadInput as error:
        raise error if len(neurons.calls) == steps else OtherLayout(str(error)) from error
    if len(neurons.calls) != steps:
        again = " from a cleared state" if len(neurons.calls) < steps else ""
        raise OtherLayout(
            f"module '{name}': it makes {len(neurons.calls)} steps{again}, the sample has {steps}"
        )
    feeds = []
    shape = neurons.shape
    for way in ways:
        delay = 0 if way.step is None else steps - 1 - way.step
        feeds.append(feed_of(graph, name, way, delay, message_max, shape))
    if isinstance(neurons.neuron, RECURRENT):
        loop = _recurrent(f"{name}.recurrent", neurons.neuron, shape)
        feeds.append(Feed(f"{name}.recurrent", name, replace(loop, bias=None), 1))
        constant = constant + (0 if loop.bias is None else loop.bias)
    gain = input_gain(neurons.neuron, shape)
    if gain is not None:
        scale = channelwise(name, gain, None, shape)
        feeds = [replace(f, affine=followed(name, f.affine, scale)) for f in feeds]
        constant = constant * gain
    if not feeds:
        raise BadInput(f"module '{name}': nothing that is sent reaches it")
    graph.populations[name] = Population(
        name, neurons.neuron, shape, named_apart(feeds), constant.reshape(shape)
    )


def _same_at_each_step(name: str, steps_read: list[Any]) -> None:
    last = len(steps_read) - 1
    reference, constant = steps_read[-1]
    wanted = [(_delay(way, last), way) for way in reference]
    for delay, way in wanted:
        if delay < 0:
            raise BadInput(f"module '{name}': it reads '{way.source.name}' of a later step")
    for step, (ways, added) in enumerate(steps_read):
        found = Counter((_delay(way, step), way.key) for way in ways)
        expected = Counter((d, way.key) for d, way in wanted if d <= step)
        if found != expected:
            raise _changed(name, step, last, ways, reference)
        if not np.array_equal(added, constant):
            raise BadInput(
                f"module '{name}': what is added at step {step} differs from step {last}"
            )
    for delay, way in wanted:
        if delay > 1:
            raise BadInput(
                f"module '{name}': it reads a message more than one step old, of '{way.source.name}'"
            )


def _delay(way: Way, step: int) -> int:
    return 0 if way.step is None else step - way.step


def _changed(
    name: str, step: int, last: int, ways: tuple[Way, ...], reference: tuple[Way, ...]
) -> BadInput:
    norms = [_norms(some) for some in (ways, reference)]
    if norms[0] != norms[1] and len(norms[0]) == len(norms[1]):
        return BadInput(
            f"module '{name}': a norm of its own for each step ('{norms[0][0]}' at step {step}, "
            f"'{norms[1][0]}' at step {last}) does not exist on the chip; use one BatchNorm for all steps"
        )

    def told(ways: tuple[Way, ...], at: int) -> str:
        said = []
        for way in ways:
            layers = [link.name or link.key[0] for link in way.links]
            when = f" of step {way.step}" if way.step is not None else ""
            said.append(
                f"'{way.source.name}'{when}" + (f" by {', '.join(layers)}" if layers else "")
            )
        return f"at step {at} {' + '.join(said) or 'nothing'}"

    return BadInput(
        f"module '{name}': what it reads changes from step to step ({told(ways, step)}; "
        f"{told(reference, last)}); a chip does the same at every step"
    )


def _norms(ways: tuple[Way, ...]) -> list[str]:
    """The batch norms on the way, by name."""
    return sorted({x.name for way in ways for x in way.links if "batch_norm" in x.key[:2]})


def feed_of(
    graph: Graph, target: str, way: Way, delay: int, message_max: Mapping[str, int], shape: Shape
) -> Feed:
    """A way into neurons of a shape as what comes in from a population or an input."""
    source = way.source.name
    if way.source.pooled is not None:
        source = _pool(graph, way.source, message_max)
    affine = way.whole(target)
    named = [link for link in way.links if link.weighted] or [x for x in way.links if x.name]
    name = named[0].name if named else f"{source}_to_{target}"
    if prod(affine.target) != prod(shape):
        raise BadInput(f"module '{target}': {affine.target} come into neurons {shape}")
    return Feed(name, source, replace(affine, target=shape, bias=None), delay)


def _pool(graph: Graph, source: Source, message_max: Mapping[str, int]) -> str:
    """The population that fires where any spike of a window does."""
    if source in graph.pools:
        return graph.pools[source]
    before = source.pooled
    assert before is not None
    inner = before.source
    name = inner.name if inner.pooled is None else _pool(graph, inner, message_max)
    if message_max.get(inner.name, 1) > 1:
        raise BadInput(
            f"module '{source.name}': MaxPool2d of real values does not exist on the chip; put it after "
            "a neuron, or use AvgPool2d"
        )
    number, made = 1, source.name
    while made in graph.populations or made in graph.observation.neurons or made in graph.shapes:
        number += 1
        made = f"{source.name}_{number}"
    kernel, stride, padding = source.arguments
    affine = before.whole(source.name)
    plain = affine.map is None and len(affine.source) == 3
    if not plain:
        raise BadInput(
            f"module '{source.name}': MaxPool2d of a choice of spikes is not supported; choose after it"
        )
    feed = Feed(f"{made}_sum", name, affine)
    graph.pools[source] = made
    graph.populations[made] = Population(
        made, None, source.shape, (feed,), np.zeros(source.shape), (kernel, stride, padding)
    )
    return made


def relay(
    graph: Graph, name: str, ways: list[tuple[str, Shape, NDArray[np.int64]]], shape: Shape
) -> str:
    """A population that repeats chosen spikes: (source, its shape, indices or −1) of each source."""
    feeds = tuple(
        Feed(f"{source}_to_{name}", source, chosen(size, shape, indices))
        for source, size, indices in ways
    )
    graph.populations[name] = Population(name, None, shape, feeds, np.zeros(shape))
    return name


def named_apart(feeds: list[Feed]) -> tuple[Feed, ...]:
    """The same, those of one name numbered."""
    used: Counter[str] = Counter()
    named = []
    for feed in feeds:
        used[feed.name] += 1
        number = used[feed.name]
        named.append(feed if number == 1 else replace(feed, name=f"{feed.name}_{number}"))
    return tuple(named)


def _recurrent(name: str, neuron: Any, shape: Shape) -> Affine:
    """The loop of an RLeaky or RSynaptic."""
    recurrent = neuron.recurrent

    def values(tensor: torch.Tensor | None) -> NDArray[np.float64] | None:
        return None if tensor is None else tensor.detach().cpu().double().numpy()

    if isinstance(recurrent, nn.Linear):
        return matrix(name, recurrent.weight.detach().numpy(), values(recurrent.bias), shape)
    if isinstance(recurrent, nn.Conv2d):
        padding = recurrent.padding
        assert not isinstance(padding, str)
        return convolution(
            name, recurrent.weight.detach().numpy(), values(recurrent.bias), shape,
            padding=(padding[0], padding[1]),
        )  # fmt: skip
    factor = torch.as_tensor(recurrent.V, dtype=torch.float64).detach().cpu().expand(shape)
    return Affine(shape, shape, diagonal(factor.numpy()))
