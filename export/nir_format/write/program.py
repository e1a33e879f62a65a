"""`Program` → NIR, for programs that did not come as a graph; exact, or refused with the reason.

Values are those that `export.lowering.exact` recovers every register from: see
`export.nir_format.write.module`.
"""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.compare.parity import compare_registers
from deploy.connections import Connection, Conv2d, Dense
from deploy.errors import BadInput
from deploy.neurons import is_plain
from deploy.program.program import Population, Program, registers
from export.lowering.exact import lower
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.write.nodes import delay_node, flatten_node, integrates, neuron_node

# One unit of v in a graph is 64 of the chip's, by which sums and thresholds are aligned with v.
_V_UNIT = 64


def program_graph(program: Program, dt: float = DEFAULT_DT) -> nir.NIRGraph:
    """The NIR graph that lowers to a program, register by register.

    dt: seconds of one step. Raises BadInput naming the first node that NIR cannot hold, and why.
    """
    nodes: dict[str, Any] = {
        node.name: nir.Input(input_type={"input": np.array(node.shape)}) for node in program.inputs
    }
    edges: list[tuple[str, str]] = []
    for p in program.populations:
        if not is_plain(p):
            raise BadInput(
                f"node '{p.name}': NIR has no neurons that compute a {p.kind} as this one"
            )
        into = program.into(p.name)
        nodes[p.name], bias = _neuron(p, dt)
        for c in into:
            # A bias is added once, by the first layer before the neurons.
            nodes[c.name] = _layer(c, p, bias if c is into[0] else None)
            before = c.source
            if isinstance(c, Dense) and len(program.source(before).shape) > 1:
                before = f"{c.name}_flatten"
                nodes[before] = flatten_node(program.source(c.source).shape)
                edges.append((c.source, before))
            # In NIR a loop without a Delay takes one step.
            if c.delay and not (c.source == c.target and c.delay == 1):
                held = (program.source(c.source).size,)
                nodes[f"{c.name}_delay"] = delay_node(held, c.delay, dt)
                edges.append((before, f"{c.name}_delay"))
                before = f"{c.name}_delay"
            edges += [(before, c.name), (c.name, p.name)]
    for output in program.outputs:
        shape = np.array(program.population(output.source).shape)
        nodes[output.name] = nir.Output(output_type={"output": shape})
        edges.append((output.source, output.name))
    # nir's inference is wrong for kernels that are not square; the shapes here are the program's.
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    again = lower(graph, dt=dt, input_ranges={n.name: (n.low, n.high) for n in program.inputs})
    different = compare_registers(registers(program), registers(again))
    if different is not None:
        raise BadInput(f"NIR does not hold its registers as they are: {different}")
    return graph


def _layer(c: Connection, p: Population, bias: NDArray[np.float64] | None) -> nir.NIRNode:
    if c.exponent:
        raise BadInput(f"node '{c.name}': NIR's weights have no exponent ({c.exponent})")
    weight = c.weight.astype(np.float32)
    if isinstance(c, Dense):
        if bias is None:
            return nir.Linear(weight=weight)
        return nir.Affine(weight=weight, bias=bias.reshape(-1))
    if isinstance(c, Conv2d):
        each = np.zeros(c.weight.shape[0])
        if bias is not None:
            each = bias.reshape(len(each), -1)[:, 0]
            if (bias.reshape(len(each), -1) != each[:, None]).any():
                raise BadInput(f"node '{p.name}': NIR's Conv2d has one bias for a channel")
        return nir.Conv2d(
            input_shape=c.size,
            weight=weight,
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            groups=c.groups,
            bias=each,
        )
    raise BadInput(f"node '{c.name}': NIR has no {c.kind} connections")


def _neuron(p: Population, dt: float) -> tuple[nir.NIRNode, NDArray[np.float64] | None]:
    """(the node of a population, the bias that the layer before it must add or None)."""
    du, dv, bias = (p.du + 1) / 4096, p.dv / 4096, p.bias / _V_UNIT
    threshold = p.vth.astype(np.float64) if not p.is_readout else None
    node = neuron_node(f"node '{p.name}'", threshold, du, dv, bias, dt)
    return node, bias if bias.any() and integrates(du, dv) else None
