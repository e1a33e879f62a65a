"""`Program` → NIR, for programs that did not come as a graph; exact, or refused with the reason.

Values are those that `export.lowering.exact` recovers every register from: weights are the integer
weights, thresholds the register vth, biases the integer bias / 64.
"""

from collections.abc import Callable
from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT
from deploy.compare.parity import compare_registers
from deploy.connections import Connection, Conv2d, Dense, Sparse
from deploy.errors import BadInput
from deploy.neurons import Integrator, Neurons, Population, Threshold, is_plain
from deploy.program.program import Program, equal, registers
from export.graph.graph import Graph, Neuron, Path, Readout, Source
from export.lowering.exact import lower, lower_graph, one
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.write.graph import as_written, graph_to_nir
from neuroclip.linear.maps import Convolution, Listed, Operator
from neuroclip.linear.maps import Dense as DenseMap


def program_graph(program: Program, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """The NIR graph that lowers to a program, register by register, but for synapses that NIR holds
    as a dense layer only (`export.nir_format.write.graph.as_written`).

    dt: seconds of one step. Raises BadInput naming the first node that NIR cannot hold, and why.
    """
    graph = _graph(program)
    ranges = {node.name: (node.low, node.high) for node in program.inputs}
    _require_same(program, lower_graph(graph, input_ranges=ranges))
    made = graph_to_nir(graph, dt)
    expected = lower_graph(as_written(graph), input_ranges=ranges)
    _require_same(expected, lower(made, dt=dt, input_ranges=ranges))
    return made


def _graph(program: Program) -> Graph:
    """The graph whose values are the registers of a program."""
    constants = {
        p.name for p in program.populations
        if not program.into(p.name) and p.size == 1 and _registers(p) == _registers(one(p.name))
    }  # fmt: skip
    for output in program.outputs:
        source = program.population(output.source)
        if source.name in constants or (output.quantity == "v") != source.is_readout:
            raise BadInput(
                f"node '{output.name}': NIR's outputs read the spikes of neurons that fire and the "
                "potential of those that do not"
            )
    return Graph(
        tuple(Source(node.name, node.shape) for node in program.inputs),
        tuple(_neuron(p) for p in program.populations if p.name not in constants),
        tuple(
            Path(
                c.name, None if c.source in constants else c.source, c.target, _operator(c), c.delay
            )
            for c in program.connections
        ),
        tuple(Readout(output.name, output.source) for output in program.outputs),
    )


def _registers(p: Neurons) -> dict[str, list[int]]:
    held = ("du", "dv", "vth", "bias_mant", "bias_exp", "refractory", "reset_interval")
    return {r: np.asarray(getattr(p, r, ())).reshape(-1).tolist() for r in held}


def _operator(c: Connection) -> Operator:
    if c.exponent:
        raise BadInput(f"node '{c.name}': NIR's weights have no exponent ({c.exponent})")
    if c.kind not in _OPERATORS:
        raise BadInput(f"node '{c.name}': NIR has no {c.kind} connections")
    return _OPERATORS[c.kind](c, c.weight.astype(np.float64))


def _neuron(p: Any) -> Neuron:
    if p.kind not in _HELD or not _HELD[p.kind](p):
        raise BadInput(f"node '{p.name}': NIR has no neurons that compute a {p.kind} as this one")
    ones, zeros = np.ones(p.shape), np.zeros(p.shape)
    du, dv = (ones, ones) if p.decays is None else (decay / 4096 for decay in p.decays)
    threshold = np.full(p.shape, np.inf) if p.is_readout else p.vth.astype(np.float64)
    kind: Literal["lif", "integrator"] = "integrator" if p.is_readout else "lif"
    bias = p.bias / 2**STATE_SHIFT
    return Neuron(p.name, p.shape, kind, du, dv, threshold, bias, ones, zeros)


# The kinds that NIR has nodes for, and which of them; all others are refused by name.
_HELD: dict[str, Callable[[Any], bool]] = {
    Population.kind: is_plain,
    Integrator.kind: is_plain,
    Threshold.kind: lambda p: True,
}
_OPERATORS: dict[str, Callable[[Any, NDArray[np.float64]], Operator]] = {
    Dense.kind: lambda c, weight: DenseMap(weight),
    Sparse.kind: lambda c, weight: Listed(weight, c.indices, c.indptr, c.source_size),
    Conv2d.kind: lambda c, weight: Convolution(
        weight, c.size, c.stride, c.padding, c.dilation, c.groups
    ),
}


def _require_same(wanted: Program, found: Program) -> None:
    """Raise BadInput where two programs differ in more than the order of their nodes."""
    different = compare_registers(registers(wanted), registers(found))
    if different is not None:
        raise BadInput(f"NIR does not hold its registers as they are: {different}")
    if not equal(wanted, _ordered_as(wanted, found)):
        raise BadInput("NIR does not hold its shapes and outputs as they are")


def _ordered_as(wanted: Program, found: Program) -> Program:
    """`found` with its nodes in the order of `wanted`, where both have the same names."""
    place = {node.name: i for i, node in enumerate((*wanted.sources, *wanted.connections))}
    return Program(
        tuple(sorted(found.inputs, key=lambda node: place[node.name])),
        tuple(sorted(found.populations, key=lambda node: place[node.name])),
        tuple(sorted(found.connections, key=lambda node: place[node.name])),
        wanted.outputs if set(wanted.outputs) == set(found.outputs) else found.outputs,
    )
