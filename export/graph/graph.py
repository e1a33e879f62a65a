"""The normalised graph: what a NIR graph computes at one step length, in float64.

Inputs and neurons joined by paths, each a chain of NIR's linear nodes composed into one operator.
Nested graphs, shapes, delays in seconds, time constants, resistances, resting and reset potentials
are gone; passes and the lowering to integers see nothing of NIR.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.program.program import Shape
from neuroclip.linear.maps import Operator

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """An input node. shape: of its messages at one step."""

    name: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Neuron:
    """A population in the units in which one unit of synaptic input `a` adds one to its current.

        u ← (1 − du)·u + a
        v ← (1 − dv)·v + u + bias
        s = v > threshold, then v ← 0 where s

    All arrays are float64 [*shape]; u and v are 0 at the start. du is 1 where there is no synaptic
    filter. An integrator never fires, its threshold is infinite, and v is read. The potential that
    the NIR node speaks of is unit·v + rest.
    """

    name: str
    shape: Shape
    kind: Literal["lif", "integrator"]
    du: Float
    dv: Float
    threshold: Float
    bias: Float
    unit: Float
    rest: Float


@dataclass(frozen=True, eq=False)
class Path:
    """Synapses from an input or a neuron to a neuron: a ← operator(messages of t − delay).

    source: its name, or None for a source of one channel that sends 1 at every step: a bias that a
    synaptic filter or a delay comes after. operator: on flat arrays. delay: in steps.
    """

    name: str
    source: str | None
    target: str
    operator: Operator
    delay: int = 0


@dataclass(frozen=True)
class Readout:
    """An output node: the spikes of a neuron, or the potential of an integrator."""

    name: str
    source: str


@dataclass(frozen=True, eq=False)
class Graph:
    """A normalised graph; neurons are ordered by their distance from the inputs.

    The first readout is the one that predicts.
    """

    inputs: tuple[Source, ...]
    neurons: tuple[Neuron, ...]
    paths: tuple[Path, ...]
    readouts: tuple[Readout, ...]

    def neuron(self, name: str) -> Neuron:
        """The neuron called `name`, which must be there."""
        return next(n for n in self.neurons if n.name == name)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every input and neuron by name."""
        inputs = {source.name: source.shape for source in self.inputs}
        return inputs | {n.name: n.shape for n in self.neurons}

    def into(self, name: str) -> tuple[Path, ...]:
        """The paths that end in a neuron."""
        return tuple(p for p in self.paths if p.target == name)
