"""A person's module as it was read, as a normalised graph in floating point: what calibration quantizes."""

import numpy as np
import snntorch as snn

from export.graph.graph import Graph, Neuron, Path, Readout, Source
from neuroclip.convert.kinds import decay, values
from neuroclip.convert.snntorch import Understood
from neuroclip.convert.traced import Population
from neuroclip.linear.maps import Dense, Operator, diagonal


def float_graph(read: Understood) -> Graph:
    """The graph that a module was read as; its first readout answers.

    Names are those of the module with _ for a dot, each given once.
    """
    graph = read.graph
    names: dict[str, str] = {}
    taken: set[str] = set()

    def free(path: str) -> str:
        plain, number = path.replace(".", "_"), 1
        name = plain
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        return name

    sources = tuple(Source(free(name), shape) for name, shape in graph.shapes.items())
    names |= dict(zip(graph.shapes, (s.name for s in sources), strict=True))
    names |= {name: free(name) for name in graph.populations}
    paths, neurons = [], []
    for name, population in graph.populations.items():
        neurons.append(_neuron(names[name], population))
        for feed in population.feeds:
            operator: Operator = feed.affine.map or diagonal(
                np.ones(int(np.prod(feed.affine.source)))
            )
            paths.append(
                Path(free(feed.name), names[feed.source], names[name], operator, feed.delay)
            )
        if _filtered(population) and population.constant.any():
            # A bias before a synaptic filter passes it, as what comes by a path does.
            always = Dense(population.constant.reshape(-1, 1))
            paths.append(Path(free(f"{name}_bias"), None, names[name], always))
    outputs = tuple(dict.fromkeys(names[r.name] for r in read.read))
    readouts = tuple(
        Readout("output" if len(outputs) == 1 else f"output_{i}", name)
        for i, name in enumerate(outputs)
    )
    return Graph(sources, tuple(neurons), tuple(paths), readouts)


def _filtered(population: Population) -> bool:
    return isinstance(population.neuron, snn.Synaptic | snn.RSynaptic)


def _neuron(name: str, population: Population) -> Neuron:
    shape, neuron = population.shape, population.neuron

    def full(held: object) -> np.ndarray:
        return np.broadcast_to(
            np.asarray(held, np.float64).reshape(-1), int(np.prod(shape))
        ).reshape(shape)

    ones, zeros = np.ones(shape), np.zeros(shape)
    if neuron is None:  # it fires where any of its sources does
        threshold = full(0.5)
        return Neuron(name, shape, "lif", ones, ones, threshold, zeros, ones, zeros)
    filtered = _filtered(population)
    return Neuron(
        name,
        shape,
        "integrator" if population.integrates else "lif",
        full(1 - decay(neuron, "alpha", shape)) if filtered else ones,
        full(1 - decay(neuron, "beta", shape)),
        full(np.inf if population.integrates else values(neuron.threshold, shape)),
        zeros if filtered else population.constant,
        ones,
        zeros,
    )
