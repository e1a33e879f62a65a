"""`Program`: an integer spiking network, the waist between every front end and every back end.

Time in a `Program` is sample time: connections have zero latency plus an integer delay, state is
cleared at the start of every sample, and step t of a population is its response to input step t.
"""

from dataclasses import dataclass, field, fields
from graphlib import CycleError
from math import prod
from typing import Any, Literal

import numpy as np

from deploy.arithmetic.registers import (
    BIAS_EXP_MAX,
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    DECAY_MAX,
    MESSAGE_MAX,
    MESSAGE_MIN,
    VTH_MAX,
    WEIGHT_MAX,
    IntArray,
    Shape,
    as_register,
    check_range,
    check_shape,
    distinct,
)
from deploy.connections import Connection, Conv2d, Dense, Sparse, check_connection
from deploy.errors import BadInput
from deploy.neurons import (
    Neurons,
    Population,
    bias_registers,
    check_population,
    make_population,
)
from deploy.program.order import cycle, in_order

__all__ = [
    "BIAS_EXP_MAX",
    "BIAS_MANT_MAX",
    "BIAS_MANT_MIN",
    "DECAY_MAX",
    "VTH_MAX",
    "WEIGHT_MAX",
    "Connection",
    "Conv2d",
    "Dense",
    "Input",
    "IntArray",
    "Neurons",
    "Output",
    "Population",
    "Program",
    "Shape",
    "Sparse",
    "bias_registers",
    "equal",
    "make_input",
    "make_population",
    "registers",
]


@dataclass(frozen=True, eq=False)
class Input:
    """Where messages enter: `low` ≤ message ≤ `high` per channel, a range that the encoder enforces.

    shape: of one step. low, high: int32 [*shape]. Binary spikes are the range 0..1.
    """

    name: str
    shape: Shape
    low: IntArray
    high: IntArray

    @property
    def size(self) -> int:
        """Number of channels."""
        return int(prod(self.shape))

    @property
    def binary(self) -> bool:
        """True where every message is 0 or 1."""
        return bool(self.low.min() >= 0 and self.high.max() <= 1)


@dataclass(frozen=True)
class Output:
    """What a host reads: the spikes ("s") of a population, or its membrane potential ("v")."""

    name: str
    source: str
    quantity: Literal["s", "v"]


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network: inputs, populations, connections, outputs, with names kept from NIR.

    Construction checks every register range, name and shape and raises BadInput naming the node.

        >>> import numpy as np
        >>> from deploy.program.program import Dense, Output, Program, make_input, make_population
        >>> program = Program(
        ...     (make_input("in", (2,)),),
        ...     (make_population("lif", (1,), vth=3),),
        ...     (Dense("fc", "in", "lif", np.array([[2, 2]], np.int32)),),
        ...     (Output("out", "lif", "s"),),
        ... )
        >>> [population.name for population in program.populations]
        ['lif']
    """

    inputs: tuple[Input, ...]
    populations: tuple[Neurons, ...]
    connections: tuple[Connection, ...]
    outputs: tuple[Output, ...]
    order: tuple[str, ...] = field(init=False, repr=False)
    """Population names, each after every population that reaches it without delay."""
    _named: dict[str, Input | Neurons] = field(init=False, repr=False)
    _into: dict[str, tuple[Connection, ...]] = field(init=False, repr=False)
    _out_of: dict[str, tuple[Connection, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_names(self)
        object.__setattr__(self, "_named", {node.name: node for node in self.sources})
        object.__setattr__(self, "_into", _grouped(self.connections, "target"))
        object.__setattr__(self, "_out_of", _grouped(self.connections, "source"))
        for node in self.inputs:
            _check_input(node)
        for population in self.populations:
            check_population(population)
        for connection in self.connections:
            check_connection(
                connection,
                self.source(connection.source).shape,
                self.population(connection.target).shape,
            )
        for output in self.outputs:
            _check_output(output, self.population(output.source))
        object.__setattr__(self, "order", _zero_delay_order(self))

    @property
    def sources(self) -> tuple[Input | Neurons, ...]:
        """Everything that sends messages: the inputs, then the populations."""
        return (*self.inputs, *self.populations)

    def population(self, name: str) -> Neurons:
        """The population called `name`. Raises BadInput where there is none."""
        node = self._named.get(name)
        if isinstance(node, Neurons):
            return node
        raise BadInput(f"node '{name}': no population of this name in the program")

    def source(self, name: str) -> Input | Neurons:
        """The input or population called `name`. Raises BadInput where there is none."""
        return self._named.get(name) or self.population(name)

    def into(self, name: str) -> tuple[Connection, ...]:
        """The connections that end in `name`, in their order of definition."""
        return self._into.get(name, ())

    def out_of(self, name: str) -> tuple[Connection, ...]:
        """The connections that start in `name`, in their order of definition."""
        return self._out_of.get(name, ())


def make_input(name: str, shape: Shape, low: Any = 0, high: Any = 1) -> Input:
    """An Input with `low` and `high` broadcast to `shape`; by default binary spikes."""
    check_shape(name, shape)
    return Input(
        name,
        tuple(shape),
        as_register(name, "low", low, shape),
        as_register(name, "high", high, shape),
    )


def sent_range(node: Input | Neurons) -> tuple[int, int]:
    """The smallest and largest message that a node says it sends, over all its channels."""
    if isinstance(node, Input):
        return int(node.low.min()), int(node.high.max())
    return node.message_range


def is_graded(node: Input | Neurons) -> bool:
    """Whether a message can be other than −1, 0 or 1: NeuroBench's rule for a MAC."""
    low, high = sent_range(node)
    held = isinstance(node, Input) or node.messages_hold
    return not held or low < -1 or high > 1


def registers(program: Program) -> dict[str, IntArray]:
    """Every register of a program by name, "NODE/du", "NODE/vth", "CONNECTION/weight", ….

    These are the values any executor of the program must hold; parity compares them first.
    """
    found: dict[str, IntArray] = {}
    for p in program.populations:
        found |= {f"{p.name}/{r}": values for r, values in p.registers.items()}
        # What a population says of its messages is held by nothing that computes them.
        held = {r: n for r, n in p.settings.items() if r != "message_bits"}
        found |= {f"{p.name}/{r}": np.int32(n) for r, n in held.items()}  # type: ignore[misc]
    for c in program.connections:
        found |= {f"{c.name}/weight": c.weight, f"{c.name}/exponent": np.int32(c.exponent)}  # type: ignore[dict-item]
        found[f"{c.name}/delay"] = np.int32(c.delay)  # type: ignore[assignment]
    return found


def equal(a: Program, b: Program) -> bool:
    """True where two programs hold the same nodes, registers and names, bit for bit."""
    return all(
        len(m) == len(n) and all(map(_same, m, n))
        for m, n in (
            (a.inputs, b.inputs),
            (a.populations, b.populations),
            (a.connections, b.connections),
            (a.outputs, b.outputs),
        )
    )


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name))
        for f in fields(a)  # type: ignore[arg-type]
    )


def _check_names(program: Program) -> None:
    seen: set[str] = set()
    for name in [node.name for node in program.sources] + [c.name for c in program.connections]:
        if not isinstance(name, str) or not name or "/" in name:
            raise BadInput(f"node {name!r}: a name is non-empty text without '/'")
        if name in seen:
            raise BadInput(f"node '{name}': the name is used twice")
        seen.add(name)
    if not program.inputs or not program.populations:
        raise BadInput("a program needs at least one input and one population")


def _check_input(node: Input) -> None:
    check_range(node.name, "low", node.low, MESSAGE_MIN, MESSAGE_MAX)
    check_range(node.name, "high", node.high, MESSAGE_MIN, MESSAGE_MAX)
    if (distinct(node.low) > distinct(node.high)).any():
        raise BadInput(f"node '{node.name}': the input range is empty (low > high)")


def _check_output(output: Output, source: Neurons) -> None:
    if output.quantity not in ("s", "v"):
        raise BadInput(f"node '{output.name}': quantity {output.quantity!r} is neither 's' nor 'v'")
    if output.quantity == "v" and "v" not in source.recorded:
        raise BadInput(
            f"node '{output.name}': '{source.name}' ({source.kind}) has no membrane potential to read"
        )


def _grouped(
    connections: tuple[Connection, ...], end: Literal["source", "target"]
) -> dict[str, tuple[Connection, ...]]:
    """Connections by the node at one of their ends, in their order of definition."""
    found: dict[str, list[Connection]] = {}
    for c in connections:
        found.setdefault(getattr(c, end), []).append(c)
    return {name: tuple(group) for name, group in found.items()}


def _zero_delay_order(program: Program) -> tuple[str, ...]:
    """Populations sorted so that undelayed connections point forward; a cycle needs a delay."""
    inputs = {node.name for node in program.inputs}
    before = {
        p.name: {c.source for c in program.into(p.name) if c.delay == 0} - inputs
        for p in program.populations
    }
    try:
        return in_order(before)
    except CycleError as error:
        raise BadInput(f"nodes {cycle(error)}: a cycle of connections without any delay") from error
