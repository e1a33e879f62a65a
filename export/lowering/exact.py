"""The normalised graph → `Program`: registers recovered from its values, exactly or not at all."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.neurons import Neurons, make_threshold
from deploy.program.program import (
    BIAS_EXP_MAX,
    BIAS_MANT_MIN,
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
from export.graph.graph import Graph, Neuron, Path
from export.nir_format.normal.neurons import DEFAULT_DT, Discretisation
from export.nir_format.normal.normalise import normalise
from neuroclip.linear.maps import Convolution, geometry, listed, to_connection

Float = NDArray[np.float64]

# A register recovered from float64 arithmetic counts as exact within this much of an integer.
_RESIDUAL = 1e-5
# A dyadic value of float64 has at most 52 fractional bits; finer than this no weight of 8 bits is.
_MAX_EXPONENT = 40


def lower(
    graph: nir.NIRGraph,
    *,
    dt: float = DEFAULT_DT,
    discretisation: Discretisation = "euler",
    input_ranges: Mapping[str, tuple[Any, Any]] | None = None,
) -> Program:
    """The integer program of a NIR graph whose values are exact on the chip.

    dt: seconds of one step, which a NIR file does not carry. discretisation: see
    `export.nir_format.normal.neurons`. input_ranges: the smallest and largest message of each input,
    scalars or arrays of its shape; binary spikes where none is given. Raises BadInput naming the node and the
    value that no register holds.
    """
    normalised = normalise(graph, dt=dt, discretisation=discretisation)
    return lower_graph(normalised, input_ranges=input_ranges)


@np.errstate(over="ignore", invalid="ignore")
def lower_graph(
    graph: Graph, *, input_ranges: Mapping[str, tuple[Any, Any]] | None = None
) -> Program:
    """The integer program of a normalised graph, of which nothing is rounded.

    Decays must be k/4096, and the weights into a population, its threshold and its bias integers of
    the chip under one power of two. Raises BadInput naming the node and the value.
    """
    inputs = [
        make_input(source.name, source.shape, *(input_ranges or {}).get(source.name, (0, 1)))
        for source in graph.inputs
    ]
    shapes = graph.shapes
    populations: list[Neurons] = []
    connections: list[Connection] = []
    for neuron in graph.neurons:
        paths = tuple(_fitting(path, shapes) for path in graph.into(neuron.name))
        scale = _scale(neuron, paths)
        populations.append(_population(neuron, scale))
        for path in paths:
            source = path.source
            if source is None:
                source = f"{path.name}.one"
                populations.append(one(source))
            weight = np.rint(path.operator.weight * scale).astype(np.int32)
            connections.append(
                to_connection(
                    path.operator, weight, path.name, source, path.target, delay=path.delay
                )
            )
    kinds = {n.name: n.kind for n in graph.neurons}
    outputs = [
        Output(r.name, r.source, "v" if kinds[r.source] == "integrator" else "s")
        for r in graph.readouts
    ]
    return Program(tuple(inputs), tuple(populations), tuple(connections), tuple(outputs))


def _fitting(path: Path, shapes: Mapping[str, Shape]) -> Path:
    """The path with its synapses listed where its convolution's image is none of its ends': reshaped."""
    op = path.operator
    if not isinstance(op, Convolution):
        return path
    ends = (
        (op.target_shape, shapes[path.target]),
        (geometry(op).source_shape, shapes[path.source or ""]),
    )
    if all(image == shape or len(shape) != 3 for image, shape in ends):
        return path
    return replace(path, operator=listed(op))


def one(name: str) -> Population:
    """One neuron that fires at every step, the first one included: its bias exceeds its threshold."""
    return make_population(name, (1,), vth=0, bias=64)


def _population(neuron: Neuron, scale: float) -> Neurons:
    fires = neuron.kind == "lif"
    if fires and (neuron.dv == 1).all() and (neuron.du == 1).all():
        # Without memory; the register of a membrane decay ends at 4095 of 4096.
        return make_threshold(
            neuron.name,
            neuron.shape,
            vth=np.rint(neuron.threshold * scale).astype(np.int64),
            bias=np.rint(neuron.bias * scale * 64).astype(np.int64),
        )
    return make_population(
        neuron.name,
        neuron.shape,
        du=_decay(neuron.name, "synaptic", neuron.du) - 1,
        dv=_decay(neuron.name, "membrane", neuron.dv),
        vth=np.rint(neuron.threshold * scale).astype(np.int64) if fires else VTH_MAX,
        bias=np.rint(neuron.bias * scale * 64).astype(np.int64),
        kind=neuron.kind,
    )


def _decay(name: str, what: str, decay: Float) -> NDArray[np.int64]:
    """The decay k of a fraction lost at each step: k/4096."""
    exact = 4096 * decay
    k = np.rint(exact)
    worst = int(np.abs(exact - k).argmax())
    if abs(exact.flat[worst] - k.flat[worst]) >= _RESIDUAL or (k.flat[worst] == 0) != (
        exact.flat[worst] == 0
    ):
        raise BadInput(
            f"node '{name}': its {what} decay (dt / tau) is {exact.flat[worst]:.6g}/4096 a step, no "
            "register holds it; quantize the model first"
        )
    return k.astype(np.int64)


def _scale(neuron: Neuron, paths: tuple[Path, ...]) -> float:
    """The smallest power of two under which weights are even integers, and threshold and bias fit."""
    weights = [path.operator.weight for path in paths]
    threshold = neuron.threshold if neuron.kind == "lif" else np.zeros(neuron.shape)
    for exponent in range(_MAX_EXPONENT + 1):
        scale = 2.0**exponent
        halves = [weight * (scale / 2) for weight in weights]
        if (
            any((np.abs(half) > WEIGHT_MAX // 2).any() for half in halves)
            or (threshold * scale > VTH_MAX).any()
        ):
            break
        biases = neuron.bias * scale * 64
        if np.abs(biases).max() > -BIAS_MANT_MIN << BIAS_EXP_MAX:
            break
        if (
            all((half == np.rint(half)).all() for half in halves)
            and _whole(threshold * scale)
            and _whole(biases)
        ):
            return scale
    unit = neuron.unit.flat[int(np.abs(neuron.unit - 1).argmax())]
    gain = "" if unit == 1 else f"its gain (r, w_in and time constants together) is {unit:.6g}; "
    raise BadInput(
        f"node '{neuron.name}': {gain}its weights {sorted(p.name for p in paths)}, threshold and bias "
        "are not integers of the chip under any common power of two; quantize the model first"
    )


def _whole(values: Float) -> bool:
    return bool((np.abs(values - np.rint(values)) < _RESIDUAL).all())
