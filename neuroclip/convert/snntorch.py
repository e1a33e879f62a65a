"""A trained snnTorch network as a chip network: what the chip does alike is kept, the rest refused.

    chip = to_chip(model, sample)

The person's own module is the first executor. It is run on the sample, watched (`observe`), what its
neurons read is followed back to what was sent (`ways`, `traced`), and the graph so found must give every
spike and potential of the module (`check`). Only then do weights, thresholds, biases and decays become
integers (`parts`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.chip.network import INPUT, ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.recurrence import Surrogate
from neuroclip.chip.synapses import V_UNIT, ChipSumPool2d
from neuroclip.convert.check import require_faithful
from neuroclip.convert.kinds import prepared, require_kinds, require_plain
from neuroclip.convert.outputs import Reading, readings
from neuroclip.convert.parts import (
    Incoming,
    chip_map,
    chip_neuron,
    exponent_of,
    population_bias,
    shares,
    synapses,
    with_matrix,
)
from neuroclip.convert.quantized import quantized_layers, require_states_kept, state_levels
from neuroclip.convert.resets import require_chip_resets
from neuroclip.convert.traced import Graph, Population, traced
from neuroclip.convert.watch.calls import Signature, signature
from neuroclip.convert.watch.layout import Layout
from neuroclip.convert.watch.observe import Observation
from neuroclip.convert.watch.sample import (
    Sample,
    attempt,
    given_sample,
    input_shape,
    probed,
    random_sample,
)


def to_chip(
    model: nn.Module,
    sample: ArrayLike | Tensor | Mapping[str, ArrayLike | Tensor] | None = None,
    *,
    shape: Shape | Mapping[str, Shape] | None = None,
    message_max: int = 1,
    layout: Layout | None = None,
    output: str | None = None,
    seed: int = 0,
) -> ChipNetwork:
    """The chip network of an snnTorch network that does on a sample what the network itself does.

    Linear, Conv2d, AvgPool2d, BatchNorm, Flatten, sums, factors and choices of channels between neurons
    become one set of synapses with even integer weights under a power-of-two scale per population;
    Leaky, Synaptic and RLeaky keep threshold and decays in registers of 17 and 12 bits; MaxPool2d after
    neurons is a population that fires where any of its inputs does. A neuron that never resets is an
    integrator, whose membrane potential is read. The result can be trained on, exported and run;
    learned weights are the model's own until then. Its `notes` say what was compared, on which sample,
    and what is read.

    sample: a few inputs [samples, steps, *shape]; without it random spikes of `shape`, which may be left
    out where a Linear comes first. Of a forward with several inputs, each by the name of its parameter:
    {"left": …, "right": …}. message_max: the largest |input|, integers; 1 for spikes. layout: what
    one call of the model takes ("step": [N, …], "batch-first": [N, T, …], "time-first": [T, N, …],
    "static": [N, …] for all steps); found by trying where it is not said. output: the neurons that
    answer, where what the forward returns first does not.

    Raises BadInput naming the module that the chip cannot do as it is, or the first node, step and
    neuron at which the network read differs from the module.
    """
    return understood(
        model, sample, shape=shape, message_max=message_max, layout=layout, output=output, seed=seed
    ).network()


@dataclass(frozen=True, eq=False)
class Understood:
    """A module as it was read on a sample, in floating point. read: what answers first."""

    graph: Graph
    read: tuple[Reading, ...]
    message_max: Mapping[str, int]
    quantized: frozenset[str]
    notes: tuple[str, ...]

    def network(self) -> ChipNetwork:
        """The chip network of it."""
        network = _Conversion(self.graph, self.message_max, self.quantized).network(self.read)
        network.notes = self.notes
        network.timesteps = next((r.timesteps for r in self.read if r.timesteps), None)
        return network


def understood(
    model: nn.Module,
    sample: ArrayLike | Tensor | Mapping[str, ArrayLike | Tensor] | None = None,
    *,
    shape: Shape | Mapping[str, Shape] | None = None,
    message_max: int = 1,
    layout: Layout | None = None,
    output: str | None = None,
    seed: int = 0,
) -> Understood:
    """What `to_chip` reads of a model before anything becomes an integer; arguments and errors are its."""
    model, told = prepared(model)
    require_kinds(model)
    require_chip_resets(model)
    require_plain(model)
    for name, values in model.state_dict().items():
        if bool(torch.isnan(values).any()):
            raise BadInput(f"model: '{name}' holds NaN")
    quantized, levels = quantized_layers(model), state_levels(model)
    called = signature(model, tuple(sample if isinstance(sample, Mapping) else _named(shape)))
    largest = dict.fromkeys(called.inputs, message_max)
    if sample is None:
        shapes = _shapes(model, called, shape)
        ran_on = "random spikes"

        def make(steps: int) -> Sample:
            return random_sample(shapes, steps, seed)
    else:
        given = given_sample(called, sample if isinstance(sample, Mapping) else {INPUT: sample})
        _require_shapes(called, given, shape)
        largest = {n: max(message_max, ceil(float(x.abs().max()))) for n, x in given.items()}
        ran_on = "the given sample"

        def make(steps: int) -> Sample:
            return given

    def read(observation: Observation) -> tuple[Graph, int]:
        graph = traced(observation, largest)
        require_states_kept(graph, levels, largest)
        compared = require_faithful(graph)
        _require_probed(graph, probed(model, observation, seed))
        return graph, compared

    graph, compared = attempt(model, called, make, layout, read)

    def shorter() -> Graph | None:
        steps = graph.observation.steps - 1
        less = {name: x[:, :steps] for name, x in make(steps).items()}
        if steps < 1:
            return None
        try:
            return attempt(
                model,
                called,
                lambda _: less,
                graph.observation.layout,
                lambda o: traced(o, largest),
            )
        except BadInput:
            return None  # it makes a number of steps of its own

    answers = readings(graph, output, shorter)
    notes = (*_notes(graph, compared, ran_on, answers), *told)
    return Understood(graph, answers, largest, quantized, notes)


def _require_probed(graph: Graph, probe: Observation) -> None:
    """Raise BadInput where the graph differs from a run in which nothing is silent."""
    counts = [
        {name: len(neurons.calls) for name, neurons in seen.neurons.items()}
        for seen in (graph.observation, probe)
    ]
    if counts[0] != counts[1]:
        raise BadInput("model: how many steps its forward makes depends on its data")
    try:
        require_faithful(replace(graph, observation=probe))
    except BadInput as error:
        raise BadInput(f"{error} (on random inputs, all neurons sending random spikes)") from error


def _named(shape: Shape | Mapping[str, Shape] | None) -> tuple[str, ...]:
    return tuple(shape) if isinstance(shape, Mapping) else ()


def _shapes(
    model: nn.Module, called: Signature, shape: Shape | Mapping[str, Shape] | None
) -> dict[str, Shape]:
    """The shape of each input, as given or as the first layer tells it."""
    if isinstance(shape, Mapping):
        return {n: tuple(s) for n, s in zip(called.inputs, shape.values(), strict=True)}
    return {INPUT: input_shape(model) if shape is None else tuple(shape)}


def _require_shapes(
    called: Signature, given: Sample, shape: Shape | Mapping[str, Shape] | None
) -> None:
    """Raise BadInput where a sample has another shape than was said."""
    if shape is None:
        return
    wanted = shape if isinstance(shape, Mapping) else {INPUT: shape}
    named = dict(zip(called.inputs, wanted, strict=False)) if len(wanted) == 1 else {}
    for name, sample in given.items():
        size = wanted.get(named.get(name, name))
        if size is not None and tuple(sample.shape[2:]) != tuple(size):
            raise BadInput(
                f"sample of the shape {tuple(sample.shape)}, expected [samples, steps, "
                f"{', '.join(map(str, size))}]"
            )


def _notes(graph: Graph, compared: int, ran_on: str, read: tuple[Reading, ...]) -> tuple[str, ...]:
    observation = graph.observation
    notes = [
        f"converted from a module that was run on {ran_on} ({observation.samples} × "
        f"{observation.steps} steps): the network read from it gives its {compared} spikes and potentials, "
        "and those of a run on random inputs in which all neurons send random spikes",
        "read from it, the answer first: " + "; ".join(r.told for r in read),
    ]
    for name, place in observation.states.items():
        where = f"in place {place + 1}" if isinstance(place, int) else f"as '{place}'"
        notes.append(f"its '{name}' is what its forward returned {where} a step before")
    if observation.layout == "static":
        notes.append("its forward shows the same input at every step: repeat it so")
    silent = [
        name
        for name, neurons in observation.neurons.items()
        if not any(call.spk.any() for call in neurons.calls)
    ]
    if silent:
        notes.append(
            f"silent on that sample: {', '.join(silent)}; give a sample that makes them fire"
        )
    return tuple(notes)


# What a network has beside its modules: names that people give to modules of theirs.
_EMPTY = ChipNetwork({}, {}, (), ())


class _Conversion:
    """Populations by name, each with what comes in."""

    def __init__(
        self, graph: Graph, message_max: Mapping[str, int], quantized: frozenset[str]
    ) -> None:
        self.graph, self.message_max, self.quantized = graph, message_max, quantized
        self.modules: dict[str, nn.Module] = {}
        self.wires: list[Wire] = []
        self.names = {name: name for name in graph.shapes}
        for name in graph.populations:
            self.names[name] = self._free(name)

    def network(self, read: tuple[Reading, ...]) -> ChipNetwork:
        """The network whose outputs are those read."""
        for population in self.graph.populations.values():
            if population.windows:
                self._any_of(population)
            elif population.neuron is None:
                self._repeat(population)
            else:
                self._neurons(population)
        outputs = tuple(dict.fromkeys(self.names[r.name] for r in read))
        return ChipNetwork(self.graph.shapes, self.modules, tuple(self.wires), outputs)

    def _free(self, path: str) -> str:
        """A module path as the name of a torch attribute that nothing has yet."""
        plain = path.replace(".", "_")
        taken = {*self.names.values(), *self.modules}
        number, name = 1, plain
        while name in taken or hasattr(_EMPTY, name):
            number += 1
            name = f"{plain}_{number}"
        return name

    def _neurons(self, population: Population) -> None:
        """A population of the person's neurons, and the synapses into it."""
        incoming = self._incoming(population)
        bias = population_bias(population.constant)
        if bias.ndim == 3 and bias.shape[1:] != (1, 1):
            incoming = with_matrix(incoming)
        exponent = exponent_of(population.neuron, incoming)
        self._synapses(population, incoming, exponent)
        self.modules[self.names[population.name]] = chip_neuron(
            population.name, population.neuron, population.shape, bias, exponent
        )

    def _incoming(self, population: Population) -> list[Incoming]:
        return [
            Incoming(f.name, f.source, f.affine, f.delay, self.message_max.get(f.source, 1))
            for f in population.feeds
        ]

    def _synapses(self, population: Population, incoming: list[Incoming], exponent: int) -> None:
        target = self.names[population.name]
        for one, sum_max in zip(incoming, shares(incoming), strict=True):
            name = self._free(one.name)
            made = chip_map(one.name, one.affine)
            self.modules[name] = chip = synapses(made, exponent, sum_max)
            kept = chip.integer_weight() * 2.0**-exponent
            if one.name in self.quantized and not np.array_equal(
                kept.detach().numpy(), made.weight
            ):
                raise BadInput(
                    f"module '{one.name}': its quantized weights and what else drives '{population.name}' "
                    "do not fit one scale of the chip"
                )
            self.wires.append(Wire(name, self.names[one.source], target, one.delay))

    def _any_of(self, population: Population) -> None:
        """Max pooling of spikes: a population that fires where any in the window does."""
        (feed,), (kernel, stride, padding) = population.feeds, population.windows
        name = self._free(feed.name)
        self.modules[name] = ChipSumPool2d(population.shape[0], kernel, stride, padding)
        self.wires.append(Wire(name, self.names[feed.source], self.names[population.name]))
        self._fires_at_once(population)

    def _repeat(self, population: Population) -> None:
        """A population that fires where what it reads does."""
        self._synapses(population, self._incoming(population), 1)
        self._fires_at_once(population)

    def _fires_at_once(self, population: Population) -> None:
        # Both registers clear what was there: the sum alone decides, and one spike is enough. The
        # gradient passes where no spike or one came, on either side of the threshold.
        self.modules[self.names[population.name]] = ChipNeuron(
            torch.zeros([1] * len(population.shape)), unit=2.0 * V_UNIT, shape=population.shape,
            du=4095, dv=4095, vth=1, surrogate=Surrogate(width=1.5),
        )  # fmt: skip
