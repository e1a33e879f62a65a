"""NIR → `Program`: registers recovered from the graph's values, exactly or not at all."""

from collections.abc import Mapping
from math import prod
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program import (
    BIAS_EXP_MAX,
    BIAS_MANT_MIN,
    DECAY_MAX,
    VTH_MAX,
    WEIGHT_MAX,
    Connection,
    Output,
    Population,
    Program,
    Shape,
    make_input,
    make_population,
)
from export.nir_file import DEFAULT_DT
from export.nir_layers import SYNAPSES, connection, layer_shape, layer_weight

Float = NDArray[np.float64]

NEURONS = (nir.LIF, nir.IF, nir.LI, nir.I, nir.CubaLIF, nir.CubaLI)

# A decay register recovered from a time constant counts as exact within this much of an integer.
_DECAY_RESIDUAL = 1e-5
# A dyadic value of float64 has at most 52 fractional bits; finer than this no weight of 8 bits is.
_MAX_EXPONENT = 40


# What overflows becomes infinite and is refused by name; numpy's warnings would only add lines.
@np.errstate(over="ignore", invalid="ignore")
def lower(
    graph: nir.NIRGraph,
    *,
    dt: float = DEFAULT_DT,
    input_ranges: Mapping[str, tuple[Any, Any]] | None = None,
) -> Program:
    """The integer program of a graph whose values are exact on the chip.

    dt: seconds of one step (forward Euler), which a NIR file does not carry. input_ranges: the
    smallest and largest message of each input, scalars or arrays of its shape; binary spikes where
    none is given. Raises BadInput naming the node and the value that no register holds.
    """
    synapses = {n: node for n, node in graph.nodes.items() if isinstance(node, SYNAPSES)}
    neurons = {n: node for n, node in graph.nodes.items() if isinstance(node, NEURONS)}
    for name, node in graph.nodes.items():
        if not isinstance(node, (*SYNAPSES, *NEURONS, nir.Input, nir.Output, nir.Flatten)):
            raise BadInput(f"node '{name}': {type(node).__name__} is not supported yet")
    into = {name: _through_flatten(graph, name) for name in graph.nodes}

    inputs = [
        make_input(name, _shape(name, node), *(input_ranges or {}).get(name, (0, 1)))
        for name, node in graph.nodes.items()
        if isinstance(node, nir.Input)
    ]
    shapes = {node.name: node.shape for node in inputs}
    populations: list[Population] = []
    connections: list[Connection] = []
    for name in _in_order(graph, neurons):
        layers = {a: synapses[a] for a in into[name] if a in synapses}
        if not layers or len(layers) != len(into[name]):
            other = next((a for a in into[name] if a not in synapses), None)
            what = f"'{other}' ends in it without weights" if other else "nothing ends in it"
            raise BadInput(f"node '{name}': {what}; a layer of synapses is expected before it")
        sources = {}
        for layer in layers:
            before = into[layer]
            if len(before) != 1 or isinstance(graph.nodes[before[0]], SYNAPSES):
                raise BadInput(
                    f"node '{layer}': one input or neuron is expected before it, not {before}"
                )
            # A loop's own shape is that of its population, which another layer gives.
            sources[layer] = before[0], shapes.get(before[0])
        weights = {
            layer: layer_weight(layer, node, sources[layer][1]) for layer, node in layers.items()
        }
        found = {
            layer: layer_shape(layer, node, weights[layer], sources[layer][1])
            for layer, node in layers.items()
        }
        if len({prod(shape) for shape in found.values()}) != 1:
            raise BadInput(
                f"node '{name}': the layers before it have different shapes "
                f"{sorted(set(found.values()))}"
            )
        # A convolution says more about the shape than a dense layer does.
        shapes[name] = max(found.values(), key=len)
        population, scale = _population(name, neurons[name], shapes[name], layers, weights, dt)
        populations.append(population)
        for layer, node in layers.items():
            weight = np.rint(weights[layer] * scale).astype(np.int32)
            source, shape = sources[layer]
            connections.append(connection(layer, node, source, name, weight, shape))
    return Program(
        tuple(inputs), tuple(populations), tuple(connections), _outputs(graph, neurons, populations)
    )


def _through_flatten(graph: nir.NIRGraph, name: str) -> list[str]:
    """The nodes before a node. Flattening changes nothing: neurons are numbered in C order."""
    found: list[str] = []
    for before in [a for a, b in graph.edges if b == name]:
        flattens = isinstance(graph.nodes[before], nir.Flatten)
        found += _through_flatten(graph, before) if flattens else [before]
    return found


def _shape(name: str, node: nir.Input) -> tuple[int, ...]:
    shape = tuple(int(n) for n in np.atleast_1d(node.input_type["input"]))
    if not shape:
        raise BadInput(f"node '{name}': the input has no shape")
    return shape


def _in_order(graph: nir.NIRGraph, neurons: Mapping[str, Any]) -> list[str]:
    """Neuron nodes by distance from the inputs: nir returns nodes alphabetically."""
    depth: dict[str, int] = {n: 0 for n, node in graph.nodes.items() if isinstance(node, nir.Input)}
    frontier = list(depth)
    while frontier:
        reached = {b for a, b in graph.edges if a in frontier and b not in depth}
        depth |= dict.fromkeys(reached, max(depth.values()) + 1)
        frontier = sorted(reached)
    unreached = sorted(set(neurons) - set(depth))
    if unreached:
        raise BadInput(f"node '{unreached[0]}': no input reaches it")
    return sorted(neurons, key=lambda n: (depth[n], n))


def _outputs(
    graph: nir.NIRGraph, neurons: Mapping[str, Any], populations: list[Population]
) -> tuple[Output, ...]:
    kinds = {p.name: p.kind for p in populations}
    found = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Output):
            for source in [a for a, b in graph.edges if b == name]:
                if source not in neurons:
                    raise BadInput(f"node '{name}': '{source}' before it is no neuron")
                found.append(Output(name, source, "v" if kinds[source] == "integrator" else "s"))
    if not found:
        raise BadInput("the graph has no Output node")
    return tuple(found)


def _population(
    name: str,
    node: Any,
    shape: Shape,
    layers: Mapping[str, Any],
    weights: Mapping[str, Float],
    dt: float,
) -> tuple[Population, float]:
    """The population of a neuron node, and the power of two that makes its layers integers."""

    def parameter(field: str) -> Float:
        values = np.asarray(getattr(node, field), np.float64)
        if values.size == 1:
            return np.broadcast_to(values.reshape(()), shape)
        if values.size != prod(shape):
            raise BadInput(
                f"node '{name}': {field} has {values.size} values for {prod(shape)} neurons"
            )
        return values.reshape(shape)

    fires = isinstance(node, nir.LIF | nir.IF | nir.CubaLIF)
    if fires and parameter("v_reset").any():
        raise BadInput(f"node '{name}': v_reset {parameter('v_reset').max()} is not 0")
    if isinstance(node, nir.IF | nir.I):
        du, dv = np.full(shape, DECAY_MAX), np.zeros(shape, np.int64)
        gain, drive = parameter("r") * dt, np.zeros(shape)
    elif isinstance(node, nir.LIF | nir.LI):
        du, dv = np.full(shape, DECAY_MAX), _decay(name, "tau", parameter("tau"), dt)
        gain, drive = parameter("r") * dt / parameter("tau"), parameter("v_leak") * dv / 4096
    else:
        du = _decay(name, "tau_syn", parameter("tau_syn"), dt) - 1
        dv = _decay(name, "tau_mem", parameter("tau_mem"), dt)
        gain = (
            parameter("w_in")
            * parameter("r")
            * dt
            * dt
            / parameter("tau_syn")
            / parameter("tau_mem")
        )
        drive = parameter("v_leak") * dv / 4096
    if not np.allclose(gain, 1, rtol=1e-9, atol=0):
        raise BadInput(
            f"node '{name}': its gain (r, w_in and time constants together) is "
            f"{gain.flat[np.abs(gain - 1).argmax()]:.6g}, exact lowering needs 1"
        )
    for layer, synapse in layers.items():
        if getattr(synapse, "bias", None) is None:
            continue
        bias = np.asarray(synapse.bias, np.float64)
        # One for every neuron; of a convolution, one for every channel.
        per_channel = isinstance(synapse, nir.Conv2d) and bias.size == shape[0]
        if bias.size != prod(shape) and not per_channel:
            raise BadInput(f"node '{layer}': bias has {bias.size} values for {prod(shape)} neurons")
        if bias.any():
            if (du != DECAY_MAX).any():
                raise BadInput(
                    f"node '{layer}': a bias before node '{name}' passes its synaptic filter, "
                    "which no register does; use v_leak"
                )
            spread = (-1,) + (1,) * (len(shape) - 1) if per_channel else shape
            drive = drive + bias.reshape(spread)
    threshold = parameter("v_threshold") if fires else np.zeros(shape)
    scale = _scale(name, weights, drive, threshold)
    return (
        make_population(
            name,
            shape,
            du=du,
            dv=dv,
            vth=np.rint(threshold * scale).astype(np.int64) if fires else VTH_MAX,
            bias=np.rint(drive * scale * 64).astype(np.int64),
            kind="lif" if fires else "integrator",
        ),
        scale,
    )


def _decay(name: str, field: str, tau: Float, dt: float) -> NDArray[np.int64]:
    """The decay k of a time constant: τ = 4096·dt/k."""
    if (tau <= 0).any():
        raise BadInput(f"node '{name}': {field} {tau.min()} is not positive")
    if tau.min() < dt * (1 - _DECAY_RESIDUAL):
        raise BadInput(f"node '{name}': {field} {tau.min()} is shorter than one step, dt {dt}")
    exact = 4096 * dt / tau
    k = np.rint(exact)
    worst = int(np.abs(exact - k).argmax())
    if abs(exact.flat[worst] - k.flat[worst]) >= _DECAY_RESIDUAL or not 1 <= k.flat[worst] <= 4096:
        raise BadInput(
            f"node '{name}': {field} {tau.flat[worst]} is a decay of {exact.flat[worst]:.6g}/4096 at "
            f"dt {dt}, no register holds it"
        )
    return k.astype(np.int64)


def _scale(name: str, weights: Mapping[str, Float], drive: Float, threshold: Float) -> float:
    """The smallest power of two under which weights are even integers, and threshold and bias fit."""
    for exponent in range(_MAX_EXPONENT + 1):
        scale = 2.0**exponent
        halves = [weight * (scale / 2) for weight in weights.values()]
        if (
            any((np.abs(half) > WEIGHT_MAX // 2).any() for half in halves)
            or (threshold * scale > VTH_MAX).any()
        ):
            break
        biases = drive * scale * 64
        if np.abs(biases).max() > -BIAS_MANT_MIN << BIAS_EXP_MAX:
            break
        if (
            all((half == np.rint(half)).all() for half in halves)
            and (threshold * scale == np.rint(threshold * scale)).all()
            and (np.abs(biases - np.rint(biases)) < _DECAY_RESIDUAL).all()
        ):
            return scale
    raise BadInput(
        f"node '{name}': its weights {sorted(weights)}, threshold and bias are not integers of the chip "
        "under any common power of two; quantize the model first"
    )
