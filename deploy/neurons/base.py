"""`Neurons`: what a kind of population states of itself, so that nobody else has to know it.

    T(x) = sign(x)·(|x| >> 12)      a: the integer synaptic sum of this step
    b = bias_mant << bias_exp       all state is 0 when a sample starts

A kind is one frozen dataclass in one file: the docstring says what a step computes, `step` computes
it. `examples/own_neuron.py` is a whole one. Only `kind` and `step` must be given; what is left out
is stated as unknown and never as proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import prod
from typing import Any, ClassVar, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import IntArray, Shape
from deploy.neurons.intervals import Interval, Range

State = Mapping[str, Int64]

# The edge of a kind that states none: a trace holds messages and states in 32 bits.
VALUE = "value beyond 32 bits"


@dataclass(frozen=True)
class Bounds:
    """What a population can do with sums in an interval.

    ranges: {edge: the smallest and largest value that is held against it}. messages: the smallest
    and largest of each neuron, int64 [*shape].
    """

    ranges: Mapping[str, Range]
    messages: Interval


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population: neurons of one kind, with their registers.

    Further fields of a kind that are `IntArray`, int32 [*shape], are registers of each neuron; those
    that are int or bool hold for the whole population. Both are checked, saved and compared by name.

    kind: its name in files. states: the names of what a step keeps; arrays int64 [samples, *shape].
    recorded: which of them a trace calls u and v. ungrouped: registers that every neuron has for
    itself, so that neurons which differ in them only share a core's parameter group.
    messages_hold: whether no message can leave `message_range`, so that others may rely on it: the
    emulator stops at one that does. Otherwise the range is an edge of the kind's own.
    """

    name: str
    shape: Shape

    kind: ClassVar[str]
    states: ClassVar[tuple[str, ...]] = ()
    recorded: ClassVar[Mapping[str, str]] = {}
    ungrouped: ClassVar[tuple[str, ...]] = ()
    messages_hold: ClassVar[bool] = True
    is_readout: ClassVar[bool] = False
    """Whether a host reads the membrane potential after the last step: `Trace.readout`."""

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(prod(self.shape))

    @property
    def message_range(self) -> Range:
        """The smallest and largest message that the population states it sends, silence included."""
        return 0, 1

    @property
    def binary(self) -> bool:
        """Whether it can send nothing but 0 and 1."""
        return self.messages_hold and self.message_range == (0, 1)

    @property
    def registers(self) -> dict[str, IntArray]:
        """The registers that each neuron has, by name: int32 [*shape]."""
        return {n: x for n, x in _values(self).items() if isinstance(x, np.ndarray)}

    @property
    def settings(self) -> dict[str, int]:
        """The numbers of the whole population, by name; those that are 0 are off, and left out."""
        return {n: int(x) for n, x in _values(self).items() if isinstance(x, int) and x}

    @property
    def group_registers(self) -> dict[str, IntArray]:
        """The registers by which neurons fall into a core's parameter groups."""
        return {n: x for n, x in self.registers.items() if n not in self.ungrouped}

    def check(self) -> None:
        """Refuse (BadInput) values that no chip holds; the registers' shapes are checked already."""

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """One step: (state, synaptic sums a) → (state, messages s), without changing what is given.

        a, s: int64 [samples, *shape]. t: the step of the sample, from 0.
        """
        raise NotImplementedError

    def limits(self) -> dict[str, Range]:
        """The edges of the kind, and the smallest and largest value inside each."""
        return {VALUE: (-(2**31), 2**31 - 1)}

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """What a step holds against each of `limits`, before it wraps or clips; as for `step`."""
        after, s = self.step(state, a, t)
        return {VALUE: np.stack([s, *(after[name] for name in self.recorded.values())])}

    def bounds(self, a: Interval, timesteps: int) -> Bounds | None:
        """What a sample of so many steps can reach; None, or an edge left out, where it is unknown.

        a: the smallest and largest sum of each neuron, int64 [*shape], silence (0) included. Sums
        stand in for any step of any sample, so an answer must hold for every order of them.
        """
        return None

    def cleared(self, samples: int) -> State:
        """The state before the first step of a sample."""
        return {name: np.zeros((samples, *self.shape), np.int64) for name in self.states}

    def recording(self, state: State) -> dict[str, Int64]:
        """The states that a trace records."""
        return {quantity: state[name] for quantity, name in self.recorded.items()}


def field_types(kind: type[Neurons]) -> Mapping[str, Any]:
    """The fields of a kind besides name and shape, and their types, in their order."""
    found: Mapping[str, Any] = _field_types(cast(Any, kind))  # mypy takes no class to be hashable
    return found


@cache
def _field_types(kind: Any) -> Mapping[str, Any]:
    types = get_type_hints(kind)
    return {f.name: types[f.name] for f in fields(kind) if f.name not in ("name", "shape")}


def _values(p: Neurons) -> dict[str, NDArray[Any] | int]:
    return {name: getattr(p, name) for name in field_types(type(p))}
