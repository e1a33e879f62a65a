"""One graph in the dialects of other readers of NIR: snnTorch 1.0, Norse 1.1 and Sinabs 2.0.

Each of them reads a part of the standard, and some of that otherwise than it is written. A dialect is
the same network in the words that a reader gets right; what a reader gets wrong is named where it is
stepped around, and each has a test that fails when the reader is mended.

Messages add their weight to the membrane potential or the synaptic current: r·dt = 1 for IF,
r·dt/τ = 1 for LIF, w_in·dt/τ_syn = r·dt/τ_mem = 1 for CubaLIF, as in every graph that we write.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import VTH_MAX
from export.nir_format.write.complete import completed

SNNTORCH_DT = 1e-4
"""Seconds of one step in snnTorch's reader, which has no other (snntorch.import_nir)."""

# 1 − 2^−60 is 1 in floating point: a time constant without leak that is still a number.
_NO_LEAK = 2.0**60
_SPIKING = (nir.IF, nir.LIF, nir.CubaLIF)
_POOLS = (nir.SumPool2d, nir.AvgPool2d)

Nodes = dict[str, nir.NIRNode]


def for_snntorch(graph: nir.NIRGraph, dt: float) -> nir.NIRGraph:
    """The dialect of `snntorch.import_nir.import_from_nir`.

    IF becomes LIF with a leak below any float, since snnTorch 1.0 reads IF as a leak of 0.9 with
    subtractive reset (github.com/jeshraghian/snntorch/issues/416) and takes r = 1 only; time constants
    are scaled to its fixed dt; sum pooling, which it does not know, becomes a convolution; Flatten
    counts from the end. Raises BadInput for what it cannot hold: thresholds or reset that
    differ between the neurons of a node, and CubaLIF with a bias (v_leak).
    """

    def neuron(name: str, node: Any) -> nir.NIRNode:
        _unit_gain(name, node, dt)
        _uniform(name, "v_threshold", node.v_threshold)
        scale = SNNTORCH_DT / dt
        if isinstance(node, nir.CubaLIF):
            _zero(name, "v_leak", node.v_leak, "snnTorch")
            tau_syn, tau_mem = node.tau_syn * scale, node.tau_mem * scale
            return replace(
                node,
                tau_syn=tau_syn,
                tau_mem=tau_mem,
                r=tau_mem / SNNTORCH_DT,
                w_in=tau_syn / SNNTORCH_DT,
            )
        leak = np.full(node.v_threshold.shape, _NO_LEAK * SNNTORCH_DT)
        if isinstance(node, nir.LIF):
            _zero(name, "v_leak", node.v_leak, "snnTorch")
            leak = node.tau * scale
        return nir.LIF(
            tau=leak, r=leak / SNNTORCH_DT, v_leak=0 * leak,
            v_threshold=node.v_threshold, v_reset=node.v_reset,
        )  # fmt: skip

    return _rewritten(graph, neuron, pools=(nir.SumPool2d,))


def for_norse(graph: nir.NIRGraph, dt: float) -> nir.NIRGraph:
    """The dialect of `norse.torch.from_nir(..., dt=dt)`.

    Norse ignores r of IF and LIF (it warns): that of LIF, τ/dt, is multiplied into the weights before
    the node. Average pooling, which it does not know, and sum pooling, whose padding it ignores (as
    nirtorch did, github.com/neuromorphs/NIRTorch/issues/44), become convolutions; Flatten counts from
    the end. Raises BadInput for CubaLIF with a bias (v_leak), which Norse also gives to the
    synapse, and for an LIF fed by anything but weights of its own.
    """
    gains: dict[str, NDArray[np.float64]] = {}

    def neuron(name: str, node: Any) -> nir.NIRNode:
        _unit_gain(name, node, dt)
        if isinstance(node, nir.CubaLIF):
            _zero(name, "v_leak", node.v_leak, "Norse")
            return node
        if isinstance(node, nir.LIF):
            gains[name] = node.r
        return replace(node, r=np.ones_like(node.r))

    made = _rewritten(graph, neuron, pools=_POOLS)
    for name, gain in gains.items():
        for before in [a for a, b in made.edges if b == name]:
            if sum(a == before for a, _ in made.edges) > 1:
                raise BadInput(
                    f"node '{before}': it drives other nodes than '{name}', whose r goes into its "
                    "weights for Norse; give each weights of its own"
                )
            made.nodes[before] = _with_gain(name, made.nodes[before], gain)
    return made


def for_sinabs(graph: nir.NIRGraph, dt: float) -> nir.NIRGraph:
    """The dialect of `sinabs.nir.from_nir`.

    Sinabs has no Linear (it becomes Affine), reads τ in steps of its own exp(−1/τ) (so that τ is given
    as −1/ln(1 − dt/τ)), and fires at v ≥ threshold (so that the next float32 is given). Its reader
    reads no v_reset (github.com/neuromorphs/NIR/issues/138: the standard leaves subtraction open) and
    lets a neuron fire several times a step; `export.peers.nir_readers` sets both after
    loading. The values of an LIF are given one for each channel. Raises BadInput for CubaLIF, which it does
    not know, for leak to another value than 0, and for values that differ within a channel.
    """

    def neuron(name: str, node: Any) -> nir.NIRNode:
        _unit_gain(name, node, dt)
        if isinstance(node, nir.CubaLIF):
            raise BadInput(f"node '{name}': Sinabs reads no CubaLIF")
        above = np.nextafter(node.v_threshold.astype(np.float32), np.float32(np.inf))
        if isinstance(node, nir.IF):
            return nir.IF(r=np.ones_like(node.r), v_threshold=above, v_reset=node.v_reset)
        _zero(name, "v_leak", node.v_leak, "Sinabs")
        with np.errstate(divide="ignore"):  # τ = dt: nothing of v is kept, exp(−1/0) = 0
            tau = -1 / np.log1p(-dt / node.tau)
        # Its check of v_leak fails on more than one value in all dimensions but the first.
        tau, above = (_of_channels(name, f, x) for f, x in (("tau", tau), ("v_threshold", above)))
        one = np.ones_like(tau)
        return nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=above, v_reset=0 * one)

    made = _rewritten(graph, neuron, pools=_POOLS)
    for name, node in made.nodes.items():
        if isinstance(node, nir.Linear):
            made.nodes[name] = nir.Affine(node.weight, np.zeros(node.weight.shape[0], np.float32))
    return made


DIALECTS: Mapping[str, Callable[[nir.NIRGraph, float], nir.NIRGraph]] = {
    "snntorch": for_snntorch,
    "norse": for_norse,
    "sinabs": for_sinabs,
}


def _rewritten(
    graph: nir.NIRGraph,
    neuron: Callable[[str, Any], nir.NIRNode],
    pools: tuple[type, ...],
) -> nir.NIRGraph:
    """The graph with its neurons, pools and Flatten rewritten; integrators never reach a threshold."""
    try:
        TopologicalSorter({n: {a for a, b in graph.edges if b == n} for n in graph.nodes}).prepare()
    except CycleError as error:
        raise BadInput(f"nodes {error.args[1]}: a cycle; readers disagree on its delay") from error
    nodes: Nodes = {}
    for name, node in completed(graph).nodes.items():
        if isinstance(node, nir.I | nir.LI | nir.CubaLI):
            node = _as_spiking(node)
        if isinstance(node, _SPIKING):
            if (node.v_reset != 0).any():
                raise BadInput(f"node '{name}': v_reset other than 0 is not read by others")
            node = neuron(name, node)
        elif isinstance(node, pools):
            node = _ungrouped(_pool_as_conv(name, node, _shape_before(graph, name)))
        elif isinstance(node, nir.Conv1d | nir.Conv2d):
            node = _ungrouped(node)
        elif isinstance(node, nir.Flatten):
            # Readers hand these to torch, which counts the batch too, but from the end as NIR does.
            node, dimensions = copy.copy(node), len(node.input_type["input"])
            node.start_dim -= dimensions if node.start_dim >= 0 else 0
            node.end_dim -= dimensions if node.end_dim >= 0 else 0
        nodes[name] = node
    return nir.NIRGraph(nodes, list(graph.edges), type_check=False)


def _as_spiking(node: Any) -> nir.NIRNode:
    """An integrator as the chip has it: a neuron whose threshold is out of reach."""
    fields = {k: v for k, v in vars(node).items() if k in _FIELDS}
    limits = {"v_threshold": np.full(node.r.shape, float(VTH_MAX)), "v_reset": 0.0 * node.r}
    kind = {nir.I: nir.IF, nir.LI: nir.LIF, nir.CubaLI: nir.CubaLIF}[type(node)]
    return kind(**fields, **limits)


_FIELDS = {"r", "tau", "v_leak", "tau_syn", "tau_mem", "w_in"}


def _unit_gain(name: str, node: Any, dt: float) -> None:
    gains = {
        nir.IF: lambda: [("r·dt", node.r * dt)],
        nir.LIF: lambda: [("r·dt/τ", node.r * dt / node.tau)],
        nir.CubaLIF: lambda: [
            ("w_in·dt/τ_syn", node.w_in * dt / node.tau_syn),
            ("r·dt/τ_mem", node.r * dt / node.tau_mem),
        ],
    }
    for what, gain in gains[type(node)]():
        if not np.allclose(gain, 1, rtol=1e-6):
            worst = np.ravel(gain)[int(np.abs(np.ravel(gain) - 1).argmax())]
            raise BadInput(f"node '{name}': {what} is {worst:g} with dt = {dt:g}, expected 1")


def _uniform(name: str, field: str, values: NDArray[Any]) -> None:
    if np.unique(values).size > 1:
        raise BadInput(
            f"node '{name}': {field} differs between neurons ({values.min():g}..{values.max():g}); "
            "snnTorch reads one for a node"
        )


def _zero(name: str, field: str, values: NDArray[Any], reader: str) -> None:
    if np.any(values):
        value = np.ravel(values)[int(np.flatnonzero(values)[0])]
        raise BadInput(f"node '{name}': {field} is {value:g}; {reader} reads 0 only")


def _of_channels(name: str, field: str, values: NDArray[Any]) -> NDArray[Any]:
    """One value for each channel, [C, 1, …], of [C, …]."""
    first = values.reshape(len(values), -1)[:, 0].reshape(-1, *[1] * (values.ndim - 1))
    if (values != first).any():
        raise BadInput(
            f"node '{name}': {field} differs within a channel; Sinabs reads one for each"
        )
    return first


def _with_gain(name: str, node: Any, gain: NDArray[np.float64]) -> nir.NIRNode:
    """Weights and bias times the gain of each target neuron, or of each channel."""
    if not isinstance(node, nir.Linear | nir.Affine | nir.Conv2d):
        raise BadInput(f"node '{name}': its input is a {type(node).__name__}, expected weights")
    channel = np.asarray(gain, np.float64).reshape(node.weight.shape[0], -1)
    if (channel != channel[:, :1]).any():
        raise BadInput(f"node '{name}': r differs within a channel, which no kernel can hold")
    factor = channel[:, 0]
    made = copy.copy(node)
    made.weight = node.weight * factor.reshape(-1, *[1] * (node.weight.ndim - 1))
    if not isinstance(node, nir.Linear):
        made.bias = node.bias * factor
    return made


def _shape_before(graph: nir.NIRGraph, name: str) -> tuple[int, ...]:
    """(C, H, W) before a node, from the input or the neurons that it reads."""
    before = next((a for a, b in graph.edges if b == name), "")
    node = graph.nodes.get(before)
    if isinstance(node, nir.Input):
        shape = tuple(int(n) for n in node.input_type["input"])
    else:
        shape = np.shape(getattr(node, "v_threshold", ()))
    if len(shape) != 3:
        raise BadInput(f"node '{name}': it reads the shape {shape}, expected (C, H, W)")
    return shape


def _pool_as_conv(name: str, node: Any, shape: tuple[int, ...]) -> nir.NIRNode:
    kernel, stride, padding = (
        tuple(int(n) for n in np.broadcast_to(getattr(node, field), 2))
        for field in ("kernel_size", "stride", "padding")
    )
    value = 1.0 if isinstance(node, nir.SumPool2d) else 1.0 / (kernel[0] * kernel[1])
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=np.full((shape[0], 1, *kernel), value, np.float32),
        stride=stride,
        padding=padding,
        dilation=(1, 1),
        groups=shape[0],
        bias=np.zeros(shape[0], np.float32),
    )


def _ungrouped(node: Any) -> nir.NIRNode:
    """The same convolution with one group, its kernel zero between groups.

    All three readers give torch the weight's C_in / groups for C_in, which it refuses.
    """
    groups = int(node.groups)
    if groups == 1:
        return node
    outputs, inputs = node.weight.shape[:2]
    weight = np.zeros((outputs, groups, inputs, *node.weight.shape[2:]), node.weight.dtype)
    for i in range(outputs):
        weight[i, i // (outputs // groups)] = node.weight[i]
    made = copy.copy(node)
    made.weight, made.groups = weight.reshape(outputs, groups * inputs, *weight.shape[3:]), 1
    return made
