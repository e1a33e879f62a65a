"""Residual streams in two lowerings: by fan-in, or as graded messages that relay the running sum.

A residual stream is a sum of branches, synaptic sums of several populations, that several
populations read, each reader a prefix of the branches. By fan-in every branch has synapses onto
every later reader. As a stream, each reader has a stage before it, a Graded population of
threshold 0 that sends its sum as it is:

    stage 1 = Σ branches of reader 1        stage k = stage k − 1 + branches new to reader k
    reader k hears stage k, and no branch

One neuron relays to one neuron by a weight of 2 and an exponent of −1: (2·m) >> 1 = m for every
integer m, so that the readers get the sums of the fan-in, bit for bit. Graded messages need Loihi 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from deploy.arithmetic.index_sets import Ints
from deploy.arithmetic.integers import shifted_sum
from deploy.connections import Connection, Conv2d, one_to_one
from deploy.errors import BadInput
from deploy.neurons import Graded, Neurons
from deploy.program.program import Input, Program

# The largest magnitude of a stage's sum: doubled by the relay's weight it is still within 24 bits.
STREAM_MAX = 2**22 - 1
WEIGHT, EXPONENT = 2, -1


@dataclass(frozen=True)
class Reader:
    """A population that reads a residual stream by fan-in: (branch, connection) in the stream's order.

    A branch has one name in all of its readers; its connections differ in name and target only.
    """

    name: str
    branches: tuple[tuple[str, str], ...]


def stage_name(number: int) -> str:
    """The name of the stage before the reader of this number, counted from 1."""
    return f"stream{number}"


def relay_name(source: str, target: str) -> str:
    """The name of the synapses from a branch or stage to a stage or reader."""
    return f"{source}_{target}"


def repeated(readers: Sequence[Reader]) -> frozenset[str]:
    """Connections of either lowering that a network whose sums are stored does not have.

    Every branch once is enough there: by fan-in its synapses onto further readers, and as a stream
    the relays, are left out.
    """
    found, seen = set(), set()
    before: str | None = None
    for number, reader in enumerate(readers, start=1):
        for branch, connection in reader.branches:
            if branch in seen:
                found.add(connection)
            seen.add(branch)
        stage = stage_name(number)
        found.add(relay_name(stage, reader.name))
        if before is not None:
            found.add(relay_name(before, stage))
        before = stage
    return frozenset(found)


def as_stream(program: Program, readers: Sequence[Reader]) -> Program:
    """The program with stages in the place of the fan-in of these readers, in the stream's order.

    Raises BadInput, naming the node, where a reader lacks a branch of one before it, a branch is
    not the same everywhere, readers differ in shape, or a stage's sum can exceed STREAM_MAX.
    """
    held = {c.name: c for c in program.connections}
    fan_in = {connection for reader in readers for _, connection in reader.branches}
    for reader in readers:
        for _, name in reader.branches:
            if name not in held or held[name].target != reader.name:
                raise BadInput(f"node '{name}': not a connection into '{reader.name}'")
    connections = [c for c in program.connections if c.name not in fan_in]
    stages: dict[str, Neurons] = {}
    first: dict[str, Connection] = {}
    low, high = np.zeros(1, np.int64), np.zeros(1, np.int64)
    before: str | None = None
    shape = program.population(readers[0].name).shape if readers else ()
    for number, reader in enumerate(readers, start=1):
        stage = stage_name(number)
        if program.population(reader.name).shape != shape:
            raise BadInput(
                f"node '{reader.name}': of the shape {program.population(reader.name).shape}, "
                f"'{readers[0].name}' reads the same stream as {shape}"
            )
        branches = [branch for branch, _ in reader.branches]
        if branches[: len(first)] != list(first) or len(branches) == len(first):
            raise BadInput(
                f"node '{reader.name}': its branches {branches} do not go on from {list(first)}"
            )
        for branch, name in reader.branches:
            if branch in first:
                _require_same(first[branch], held[name])
                continue
            first[branch] = held[name]
            connections.append(replace(held[name], name=relay_name(branch, stage), target=stage))
            smallest, largest = _sums(program, held[name])
            low, high = low + smallest, high + largest
        if max(int(high.max()), -int(low.min())) > STREAM_MAX:
            raise BadInput(
                f"node '{stage}': its sum can reach {int(low.min())}..{int(high.max())}, beyond the "
                f"±{STREAM_MAX} that a relay of 24 bits sends exactly; lower the skips by fan-in"
            )
        stages[reader.name] = Graded(stage, shape, rectified=False)
        if before is not None:
            connections.append(relay(relay_name(before, stage), before, stage, shape))
        connections.append(relay(relay_name(stage, reader.name), stage, reader.name, shape))
        before = stage
    populations: list[Neurons] = []
    for p in program.populations:
        populations += [stages[p.name], p] if p.name in stages else [p]
    return Program(program.inputs, tuple(populations), tuple(connections), program.outputs)


def relay(
    name: str, source: str, target: str, shape: tuple[int, ...], weight: int = WEIGHT
) -> Connection:
    """Neuron i to neuron i of populations of a shape, by default every message as it is."""
    if len(shape) == 3:
        kernels = np.full((shape[0], 1, 1, 1), weight, np.int32)
        return Conv2d(name, source, target, kernels, shape[1:], groups=shape[0], exponent=EXPONENT)
    return one_to_one(name, source, target, int(np.prod(shape)), weight, exponent=EXPONENT)


def _require_same(first: Connection, other: Connection) -> None:
    """Refuse a branch whose synapses onto two readers differ."""
    same = type(first) is type(other) and all(
        np.array_equal(getattr(first, f.name), getattr(other, f.name))
        for f in fields(first)
        if f.name not in ("name", "target")
    )
    if not same:
        raise BadInput(
            f"node '{other.name}': not the same synapses as '{first.name}', of the same branch"
        )


def _sums(program: Program, c: Connection) -> tuple[Ints, Ints]:
    """The smallest and largest sum of each neuron, silence included, after the exponent."""
    source = program.source(c.source)
    if isinstance(source, Input):
        low, high = (x.reshape(-1).astype(np.int64) for x in (source.low, source.high))
    else:
        low, high = (np.full(source.size, end) for end in source.message_range)
    smallest, largest = c.sum_bounds(np.minimum(low, 0), np.maximum(high, 0))
    return shifted_sum(smallest, c.exponent), shifted_sum(largest, c.exponent)
