"""`Program` → NIR, for programs that did not come as a graph; exact, or refused with the reason.

Values are those that `export.lower` recovers every register from: see `export.nir_write`.
"""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Dense
from deploy.errors import BadInput
from deploy.parity import compare_registers
from deploy.populations import is_plain
from deploy.program import DECAY_MAX, Population, Program, registers
from export.lower import lower
from export.nir_file import DEFAULT_DT

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
                shape = np.array(program.source(c.source).shape)
                nodes[before] = nir.Flatten({"input": shape}, start_dim=0, end_dim=len(shape) - 1)
                edges.append((c.source, before))
            # In NIR a loop without a Delay takes one step.
            if c.delay and not (c.source == c.target and c.delay == 1):
                held = np.full(program.source(c.source).size, c.delay * dt)
                nodes[f"{c.name}_delay"] = nir.Delay(delay=held)
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
    raise BadInput(f"node '{c.name}': NIR has no list of synapses")


def _neuron(p: Population, dt: float) -> tuple[nir.NIRNode, NDArray[np.float64] | None]:
    """(the node of a population, the bias that the layer before it must add or None)."""
    bias = p.bias / _V_UNIT if p.bias.any() else None
    fires: dict[str, Any] = {}
    if p.kind == "lif":
        fires = {"v_threshold": p.vth.astype(np.float64), "v_reset": np.zeros(p.shape)}
    clears = (p.du == DECAY_MAX).all()
    if not p.dv.any() and clears:
        return (nir.IF if fires else nir.I)(r=np.full(p.shape, 1 / dt), **fires), bias
    if not p.dv.all() or (p.du < 0).any():
        raise BadInput(
            f"node '{p.name}': du {int(p.du.min())} and dv {int(p.dv.min())} have an infinite time "
            "constant, which NIR's leaky neurons cannot hold"
        )
    tau = 4096 * dt / p.dv.astype(np.float64)
    leak = {"tau_mem" if not clears else "tau": tau, "r": tau / dt}
    leak["v_leak"] = np.zeros(p.shape) if bias is None else bias * (4096 / p.dv)
    if clears:
        return (nir.LIF if fires else nir.LI)(**leak, **fires), None
    tau_syn = 4096 * dt / (p.du + 1)
    made = nir.CubaLIF if fires else nir.CubaLI
    return made(tau_syn=tau_syn, w_in=tau_syn / dt, **leak, **fires), None
