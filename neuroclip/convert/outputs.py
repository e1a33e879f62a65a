"""What a forward returned: which population's spikes or potentials, in the order in which they stand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.convert.kinds import resets_late
from neuroclip.convert.readouts import read_out, summed
from neuroclip.convert.traced import Graph, Population, relay
from neuroclip.convert.watch.labels import Foreign, Sent, Summed
from neuroclip.convert.watch.observe import Returned
from neuroclip.convert.ways import Way, decoded, foreign
from neuroclip.linear.maps import Listed, is_diagonal

Shorter = Callable[[], Graph | None]
Quantity = Literal["spikes", "potential"]


@dataclass(frozen=True)
class Place:
    """Where a returned tensor has its axes. number: among all that is returned; time: None where it
    holds one value for all steps."""

    batch: int
    time: int | None
    number: int = 0


@dataclass(frozen=True)
class Reading:
    """A returned tensor: `quantity` of the population `name`. told: what of it, in words.

    place: of the tensor whose values are that quantity; None where none is. timesteps: how many steps a
    sample must have for it, where that matters.
    """

    name: str
    quantity: Quantity
    told: str
    place: Place | None = None
    timesteps: int | None = None


def readings(graph: Graph, output: str | None, shorter: Shorter) -> tuple[Reading, ...]:
    """What is read, the answer first: what the forward returns first, or the neurons called `output`.

    shorter: the graph of a run that is a step shorter, where there is one. Raises BadInput for a returned
    tensor whose meaning a chip's read-out does not have.
    """
    number, returned = 0, [r for r in graph.observation.returned if r.labels.any()]
    if returned:
        number = next(i for i, r in enumerate(graph.observation.returned) if r is returned[0])
    if output is not None:
        known = graph.populations.get(output)
        if known is None or known.neuron is None:
            raise BadInput(
                f"output '{output}': no such neurons; there are {sorted(graph.observation.neurons)}"
            )
        word = "membrane potential" if known.integrates else "spikes"
        first = Reading(
            output, "potential" if known.integrates else "spikes", f"{word} of '{output}'"
        )
        others = []
        for one in returned:
            try:
                others.append(_read(graph, one, False, shorter))
            except BadInput:
                continue  # the person said what the answer is
        return (first, *(r for r in others if r.name != output))
    if not returned:
        raise BadInput("model: what its forward returns comes from no layer")
    first = _read(graph, returned[0], True, shorter)
    if first.place is not None:
        first = replace(first, place=replace(first.place, number=number))
    return (first, *(_read(graph, one, False, shorter) for one in returned[1:]))


def _read(graph: Graph, one: Returned, answers: bool, shorter: Shorter) -> Reading:
    """The meaning of one returned tensor. answers: it is the first."""
    labels = one.labels
    if not labels.all():
        raise BadInput("model: part of what its forward returns is a constant zero")
    origins = {
        int(i)
        for i in np.unique(np.searchsorted(graph.reader.watch.firsts, labels, side="right") - 1)
    }
    kinds = [graph.reader.watch.origins[i] for i in sorted(origins)]
    if all(isinstance(origin, Sent) for origin in kinds):
        return _sent(graph, one, answers)
    for origin in kinds:
        if isinstance(origin, Foreign):
            raise foreign("output", origin)
    if all(isinstance(origin, Summed) for origin in kinds):
        counted = _counted(graph, one)
        if counted is not None:
            return counted
    index = next(i for i, r in enumerate(graph.observation.returned) if r is one)

    def other() -> tuple[Graph, Returned] | None:
        less = shorter()
        return None if less is None else (less, less.observation.returned[index])

    name, fixed = read_out(graph, one, other)
    for_steps = f", its bias spread over {graph.observation.steps} steps" if fixed else ""
    return Reading(
        name, "potential", f"sums over time, '{name}'{for_steps}", Place(0, None),
        graph.observation.steps if fixed else None,
    )  # fmt: skip


def _axis(values: NDArray[np.int64], size: int) -> int | None:
    """The axis along which values count 0 … size − 1, everywhere alike."""
    for axis in range(values.ndim):
        if values.shape[axis] != size:
            continue
        shape = [1] * values.ndim
        shape[axis] = size
        if (values == np.arange(size).reshape(shape)).all():
            return axis
    return None


def _sent(graph: Graph, one: Returned, answers: bool) -> Reading:
    watch, labels = graph.reader.watch, one.labels
    made = np.searchsorted(watch.firsts, labels, side="right") - 1
    samples, steps, features = (np.empty_like(labels) for _ in range(3))
    names: list[str] = []
    quantities: set[str] = set()
    which = np.empty_like(labels)
    for index in np.unique(made):
        origin = watch.origins[index]
        assert isinstance(origin, Sent)
        here = made == index
        samples[here], steps[here], features[here] = decoded(origin, labels[here] - origin.first)
        if origin.name not in names:
            names.append(origin.name)
        which[here] = names.index(origin.name)
        quantities.add(origin.quantity)
    told = " and ".join(f"'{n}'" for n in names)
    if len(quantities) != 1:
        raise BadInput(f"output: it mixes spikes and states of {told}; return each by itself")
    (quantity,) = quantities
    if quantity == "input":
        raise BadInput("model: what its forward returns is its own input")
    if quantity == "syn":
        if answers:
            raise BadInput(
                f"output: the synaptic current of {told} comes first, which is no answer; return "
                f"the spikes first, or say output='{names[0]}'"
            )
        return Reading(names[0], "potential", f"synaptic current of {told}")
    batch = _axis(samples, graph.observation.samples)
    if batch is None:
        raise BadInput(
            f"output: the samples of {told} do not lie along one axis of what is returned"
        )
    total = graph.observation.steps
    time = _axis(steps, total)
    if time is None and (steps != total - 1).any():
        raise BadInput(
            f"output: of {told} it holds neither every step in order nor the last one alone"
        )
    rest = np.moveaxis(features, [batch] if time is None else [time, batch],
                       [0] if time is None else [0, 1])  # fmt: skip
    chosen = (rest[0] if time is None else rest[0, 0]).reshape(-1)
    sources = (
        np.moveaxis(which, batch, 0)[0]
        if time is None
        else np.moveaxis(which, [time, batch], [0, 1])[0, 0]
    )
    population = graph.populations[names[0]]
    whole = len(names) == 1 and np.array_equal(chosen, np.arange(prod(population.shape)))
    place = Place(batch, time)
    if quantity == "mem":
        return replace(
            _potential(population, told, whole and len(names) == 1, answers), place=place
        )
    if population.integrates:
        if not whole:
            raise BadInput(
                f"output: a choice of {told}, which never resets and is read; choose in the layer before"
            )
        return Reading(names[0], "potential", f"membrane potential of {told}, which never resets")
    if time is None and total > 1 and answers:
        raise BadInput(
            f"output: only the spikes of the last step of {told} are returned; a chip counts those of "
            f"all steps: return them stacked or summed, or say output='{names[0]}'"
        )
    if not whole:
        return _relayed(graph, names, sources.reshape(-1), chosen, told, place)
    return Reading(names[0], "spikes", f"spikes of {told}", place)


def _potential(population: Population, told: str, whole: bool, answers: bool) -> Reading:
    if not whole:
        raise BadInput(
            f"output: a choice of the membrane potentials of {told}; choose in the layer before"
        )
    if population.integrates:
        return Reading(population.name, "potential", f"membrane potential of {told}")
    if answers:
        raise BadInput(
            f"output: the membrane potential of {told} comes first, but these neurons reset, so that it "
            "says nothing once they fire; return their spikes first, let them never reset "
            f"(reset_mechanism='none'), or say output='{population.name}'"
        )
    late = ", which the module shows before it" if resets_late(population.neuron) else ""
    return Reading(
        population.name, "potential", f"membrane potential of {told} after its reset{late}"
    )


def _relayed(
    graph: Graph, names: list[str], sources: NDArray[np.int64], chosen: NDArray[np.int64], told: str,
    place: Place,
) -> Reading:  # fmt: skip
    """A choice of spikes, or several populations side by side: a population that repeats them."""
    ways = []
    for number, name in enumerate(names):
        population = graph.populations[name]
        if population.integrates:
            raise BadInput(
                f"output: '{name}' never resets and is read beside spikes; return it alone"
            )
        indices = np.where(sources == number, chosen, -1)
        ways.append((name, population.shape, indices))
    made = relay(graph, "_".join(["chosen", *names]), ways, (len(chosen),))
    return Reading(made, "spikes", f"a choice of the spikes of {told}", place)


def _counted(graph: Graph, one: Returned) -> Reading | None:
    """Spikes of one layer summed over all steps, or averaged; None where they are weighted too."""
    labels = one.labels
    refusal = BadInput(
        "output: it is a sum, but not over every step alike of spikes; return the spikes themselves"
    )
    if len(labels) != graph.observation.samples:
        raise refusal
    try:
        found = summed(graph, labels)
    except BadInput as error:
        raise refusal from error
    if found is None:
        raise refusal
    if len(found.ways) != 1 or found.constant.any():
        return None
    (way,) = found.ways
    if not _plain(graph, way) or not _uniform(way):
        return None
    name = way.source.name
    if graph.populations[name].integrates:
        raise BadInput(
            f"output: the spikes of '{name}', which never resets, are summed; a chip reads its membrane "
            "potential: return that"
        )
    return Reading(name, "spikes", f"spikes of '{name}', counted", Place(0, None))


def _plain(graph: Graph, way: Way) -> bool:
    return (
        way.source.pooled is None
        and way.source.name not in graph.shapes
        and not any(link.name for link in way.links)
    )


def _uniform(way: Way) -> bool:
    """Every neuron's own spike times one positive factor."""
    made = way.whole("output").map
    return made is None or (
        isinstance(made, Listed)
        and is_diagonal(made)
        and bool((made.weight == made.weight[0]).all())
        and bool(made.weight[0] > 0)
    )
