"""lava-dl's `.net` file → `Program`, what its training computed being kept step for step.

Conventions turned into ours: shapes and kernels are stored as torch has them, (C, H, W) and
cross-correlation, and so they stay (netx reverses both for Lava); a layer's axonal delays move to
the connections after it; the step that lava-dl lets pass from layer to layer is no sample time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from deploy.arithmetic.registers import IntArray, check_shape
from deploy.connections import Connection, Dense, one_to_one
from deploy.errors import BadInput
from deploy.program.program import (
    Input,
    Neurons,
    Output,
    Program,
    Shape,
    make_input,
    make_population,
)
from export.net_format.file import Ints, NetLayer, read_layers
from export.net_format.images import image_synapses
from export.net_format.neuron import neurons_of, without
from export.net_format.synapses import connections

# The weight of a spike where spikes are counted: the smallest that 8 bits with a sign hold.
COUNT = 2

# A layer of more neurons is for sixteen chips of Loihi 2; a small file that declares it is hostile.
MAX_LAYER = 1 << 24


@dataclass(frozen=True, eq=False)
class _Front:
    """Where the next layer starts: a source of `shape`, its spikes taking `delays` [source size]."""

    source: str
    shape: Shape
    delays: Ints


@dataclass(frozen=True, eq=False)
class _Made:
    """What a layer becomes, and the delays of its axons [neurons]; None: none."""

    population: Neurons
    connections: Sequence[Connection]
    delays: Ints | None = None


def read_net(
    path: str | Path,
    *,
    input_shape: Shape | None = None,
    input_range: tuple[Any, Any] = (0, 1),
    v_offsets: Mapping[str, int] | None = None,
) -> Program:
    """The program of a `.net` file; its populations are called 'layer1', … as the file numbers them.

    input_shape: (C, H, W) or another shape, for files whose first layer does not say it.
    input_range: smallest and largest message of the input; binary spikes where none is given.
    v_offsets: {layer: what is added to its stored vDecay}, see `export.net_format.decay`.
    Raises BadInput, one line naming the file, the layer and the value, for what no program holds.
    """
    path = Path(path)
    layers = read_layers(path)
    try:
        return lower_layers(layers, input_shape, input_range, v_offsets or {})
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def lower_layers(
    layers: Sequence[NetLayer],
    input_shape: Shape | None,
    input_range: tuple[Any, Any],
    v_offsets: Mapping[str, int],
) -> Program:
    """The program of layers that were read; arguments and errors as of `read_net`."""
    drive, front = _input(layers[0], input_shape, input_range)
    made: list[_Made] = []
    for layer in layers[1:] if layers[0].kind == "input" and layers[0].neuron is None else layers:
        if layer.kind == "flatten":
            _check_flatten(layer, front)
            continue
        made.append(_layer(layer, front, v_offsets.get(layer.name, 0)))
        population, after = made[-1].population, made[-1].delays
        delays = np.zeros(population.size, np.int64) if after is None else after
        front = _Front(population.name, population.shape, delays)
    if not made:
        raise BadInput("it has no layer of neurons")
    if front.delays.any():
        made.append(_relay(made[-1].population, front))
    last = made[-1].population
    quantity: Any = "v" if last.is_readout else "s"
    return Program(
        (drive,),
        tuple(m.population for m in made),
        tuple(c for m in made for c in m.connections),
        (Output("output", last.name, quantity),),
    )


def _layer(layer: NetLayer, front: _Front, v_offset: int) -> _Made:
    if layer.kind not in _LAYERS:
        raise _unsupported(layer)
    return _LAYERS[layer.kind](layer, front, v_offset)


def _unsupported(layer: NetLayer) -> BadInput:
    known = ("flatten", *_LAYERS)
    return layer.refuse(f"layers of type {layer.kind!r} are not supported; {', '.join(known)} are")


def _input(first: NetLayer, given: Shape | None, message: tuple[Any, Any]) -> tuple[Input, _Front]:
    """The input of a network: what its first layer says of it, or the shape that was given."""
    if first.kind == "input":
        shape = stored = _shape(first)
        if given is not None and given != stored:
            # A flat input may come in any shape of as many channels.
            if prod(given) != prod(stored) or prod(stored) not in stored:
                raise first.refuse(f"its input has shape {stored}, the data has {given}")
            shape = given
    elif given is not None:
        shape = given
    elif _LAYERS.get(first.kind) is _dense:
        shape = (_dense_weight(first, prod(_shape(first))).shape[1],)
    elif first.kind == "flatten" or first.kind in _LAYERS:
        raise first.refuse("the file does not say what shape its input has; the data must")
    else:
        raise _unsupported(first)
    name = first.name if first.kind == "input" and first.neuron is None else "input"
    return make_input(name, shape, *message), _Front(name, shape, np.zeros(prod(shape), np.int64))


def _check_flatten(layer: NetLayer, front: _Front) -> None:
    # Flattening changes nothing: neurons are numbered in C order of (C, H, W).
    if "shape" in layer.values and prod(_shape(layer)) != prod(front.shape):
        raise layer.refuse(f"its shape is {_shape(layer)}, '{front.source}' has {front.shape}")


def _encoder(layer: NetLayer, front: _Front, v_offset: int) -> _Made:
    """An input layer's neurons, driven by messages m: u ← … + (m << 6), or a = m of sigma-delta.

    The stored transform m = x·weight + bias of data x is the encoder's. netx has messages set as
    bias mantissas, which gives the same v and s where iDecay is 4096.
    """
    if front.source != "input":
        raise layer.refuse("an input layer stands first")
    population, _ = neurons_of(without(layer, "weight", "bias"), front.shape, v_offset)
    size = prod(front.shape)
    # Twice the message, halved: a weight of 8 bits is even.
    drive = one_to_one(f"{layer.name}_weight", "input", layer.name, size, 2, exponent=-1)
    return _Made(population, [drive])


def _dense(layer: NetLayer, front: _Front, v_offset: int) -> _Made:
    size = prod(_shape(layer))
    weight = _dense_weight(layer, size)
    if weight.shape[1] != prod(front.shape):
        raise layer.refuse(
            f"weight of shape {weight.shape}, '{front.source}' before it has shape {front.shape}"
        )
    population, exponent = neurons_of(layer, (size,), v_offset)
    own, after = _delays(layer, size, weight.shape[1])
    name = f"{layer.name}_weight"
    synapses = Dense(name, front.source, layer.name, _matrix(weight, size), exponent)
    found = connections(synapses, front.delays + own)
    if layer.kind == "dense_rec":
        loop = layer.ints("weight_rec")
        if loop.size != size * size:
            raise layer.refuse(f"weight_rec of shape {loop.shape}, expected {(size, size)}")
        back = Dense(f"{name}_rec", layer.name, layer.name, _matrix(loop, size), exponent)
        # A loop takes one step; lava-dl delays what leaves the layer, not what returns to it.
        found += connections(back, np.ones(size, np.int64))
    return _Made(population, found, after)


def _dense_weight(layer: NetLayer, size: int) -> Ints:
    weight = layer.ints("weight")
    if not weight.size or weight.size % size or (weight.ndim > 1 and weight.shape[0] != size):
        raise layer.refuse(f"weight of shape {weight.shape} does not fit its {size} neurons")
    return weight.reshape(size, -1)


def _matrix(weight: Ints, size: int) -> IntArray:
    return weight.reshape(size, -1).astype(np.int32)


def _image(layer: NetLayer, front: _Front, v_offset: int) -> _Made:
    shape = _shape(layer)
    # The shape is checked here, before anything of its size is made.
    synapses = image_synapses(layer, front.source, front.shape, shape)
    population, exponent = neurons_of(layer, shape, v_offset)
    synapses = replace(synapses, exponent=exponent)
    _, after = _delays(layer, shape[0], 0)
    if after is not None:
        after = np.broadcast_to(after[:, None], (shape[0], prod(shape[1:]))).reshape(-1)
    return _Made(population, connections(synapses, front.delays), after)


def _average(layer: NetLayer, front: _Front, v_offset: int) -> _Made:
    """The mean over groups of neurons, as neurons that count: v is 128 times the spikes so far."""
    classes, size = prod(_shape(layer)), prod(front.shape)
    if size % classes:
        raise layer.refuse(f"the {size} neurons before it make no {classes} groups of one size")
    members = np.ones((1, size // classes), np.int32)
    weight = np.kron(np.eye(classes, dtype=np.int32), COUNT * members).astype(np.int32)
    synapses = Dense(f"{layer.name}_weight", front.source, layer.name, weight)
    population = make_population(layer.name, (classes,), kind="integrator")
    return _Made(population, connections(synapses, front.delays))


def _relay(last: Neurons, front: _Front) -> _Made:
    """Delays after the last layer: neurons that repeat each spike when it arrives."""
    if last.is_readout:
        raise BadInput(f"node '{last.name}': delays of neurons that never fire")
    name = f"{last.name}_delayed"
    # Both states clear each step, and COUNT << 6 is above vth << 6.
    population = make_population(name, last.shape, du=4095, dv=4095, vth=1)
    synapses = one_to_one(f"{name}_weight", last.name, name, last.size, COUNT)
    return _Made(population, connections(synapses, front.delays))


def _delays(layer: NetLayer, targets: int, sources: int) -> tuple[Ints, Ints | None]:
    """(delays of its own synapses, delays of its axons [targets] or None).

    A file of lava-dl has a delay per neuron, of its axon. netx takes other shapes too: one for all,
    one for each source, one for each synapse. Where a layer's neurons have no bias, delays of axons
    and the same delays of all synapses before them give the same spikes.
    """
    none = np.zeros(sources, np.int64)
    if "delay" not in layer.values:
        return none, None
    delays = layer.ints("delay")
    if sources and delays.shape == (targets, sources):
        return delays, None
    if delays.size == 1:
        return none, np.broadcast_to(delays.reshape(()), (targets,)).copy()
    if delays.size == targets:
        return none, delays.reshape(targets)
    if delays.size == sources and delays.ndim == 1:
        return delays, None
    raise layer.refuse(f"delay of shape {delays.shape} fits neither its neurons nor its synapses")


def _shape(layer: NetLayer) -> Shape:
    shape = tuple(int(n) for n in layer.ints("shape").reshape(-1))
    check_shape(layer.name, shape)
    if prod(shape) > MAX_LAYER:
        raise layer.refuse(f"its shape {shape} has more than {MAX_LAYER} elements")
    return shape


_LAYERS = {
    "input": _encoder, "dense": _dense, "dense_rec": _dense,
    "conv": _image, "pool": _image, "average": _average,
}  # fmt: skip
