"""Maps and neurons of the model as parts of a chip network: integers under a power-of-two scale."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from deploy.program.program import VTH_MAX, Shape
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.synapses import (
    V_UNIT,
    ChipConv2d,
    ChipLinear,
    bias_exponent,
    weight_exponent,
)
from neuroclip.linear.affine import Affine
from neuroclip.linear.maps import (
    MAX_WEIGHTS,
    Convolution,
    Dense,
    diagonal,
    is_diagonal,
    listed,
    rows_of,
)

# The largest weight, in steps of an even weight: such weights are kept to the last bit.
_EXACT = 127


@dataclass(frozen=True, eq=False)
class Incoming:
    """What comes into a population by one way: synapses `name` from `source`, `delay` steps ago.

    message_max: the largest |message| that the source sends.
    """

    name: str
    source: str
    affine: Affine
    delay: int
    message_max: int = 1


def chip_map(name: str, affine: Affine) -> Convolution | Dense:
    """The map as a chip module holds it. Raises BadInput for too many weights."""
    made, size = affine.map, prod(affine.source)
    if made is None:
        made = diagonal(np.ones(size))
    if isinstance(made, Convolution | Dense):
        return made
    if is_diagonal(made) and len(affine.source) == 3 == len(affine.target):
        each = made.weight.reshape(affine.source[0], -1)
        if (each == each[:, :1]).all():
            height, width = affine.source[1:]
            return Convolution(each[:, :1, None, None], (height, width), groups=affine.source[0])
    if size * made.target_size > MAX_WEIGHTS:
        raise BadInput(
            f"module '{name}': {made.target_size} × {size} weights exceed the {MAX_WEIGHTS} of one "
            "connection"
        )
    matrix = np.zeros((made.target_size, size))
    matrix[rows_of(made), made.indices] = made.weight
    return Dense(matrix)


def with_matrix(incoming: list[Incoming]) -> list[Incoming]:
    """The same with the first of them a matrix, where all are convolutions.

    A convolution carries one bias for each channel to NIR, a matrix one for each neuron.
    """
    if not all(isinstance(chip_map(one.name, one.affine), Convolution) for one in incoming):
        return incoming
    first = incoming[0]
    whole = listed(chip_map(first.name, first.affine))
    size = whole.target_size * whole.source_size
    if size > MAX_WEIGHTS:
        raise BadInput(
            f"module '{first.name}': its bias differs within a channel, and {size} weights exceed the "
            f"{MAX_WEIGHTS} of one matrix"
        )
    matrix = np.zeros((whole.target_size, whole.source_size))
    matrix[rows_of(whole), whole.indices] = whole.weight
    return [replace(first, affine=replace(first.affine, map=Dense(matrix))), *incoming[1:]]


def synapses(made: Convolution | Dense, exponent: int, sum_max: float) -> ChipLinear:
    """The chip's synapses of a map, their sums at most `sum_max`."""
    weight = torch.from_numpy(made.weight.astype(np.float32))
    chip: ChipLinear
    if isinstance(made, Convolution):
        shape = made.stride, made.padding, made.dilation, made.groups
        chip = ChipConv2d(weight, exponent, *shape)
    else:
        chip = ChipLinear(weight, exponent)
    chip.constrain_(sum_max)
    return chip


def shares(incoming: list[Incoming]) -> list[float]:
    """The part of the largest proven sum that is left to each of several connections."""
    largest = []
    for one in incoming:
        weight = chip_map(one.name, one.affine).weight
        largest.append(one.message_max * _row_sum(torch.from_numpy(weight)))
    total = sum(largest)
    return [
        SYNAPTIC_SUM_MAX * (own / total if total > 0 else 1 / len(largest)) / one.message_max
        for own, one in zip(largest, incoming, strict=True)
    ]


def exponent_of(neuron: Any, incoming: list[Incoming]) -> int:
    """The largest exponent at which all weights into a population are legal and their sum proven.

    Weights that are multiples of one power of two and fit keep every bit.
    """
    weights = [torch.from_numpy(chip_map(one.name, one.affine).weight) for one in incoming]
    rooms = shares(incoming)
    # A way without weight (a difference of the same spikes, a layer of zeros) asks for no scale.
    held = [i for i, weight in enumerate(weights) if bool(weight.any())]
    weights = [weights[i] for i in held] or [torch.ones(1, 1)]
    rooms = [rooms[i] for i in held] or [SYNAPTIC_SUM_MAX]
    exponent = min(
        weight_exponent(weight, 1, round(room)) for weight, room in zip(weights, rooms, strict=True)
    )
    finest = max(_grid(weight) for weight in weights)
    if finest >= exponent and all(
        float(weight.abs().max()) * 2.0**finest <= _EXACT
        and _row_sum(weight) * 2.0 ** (finest + 1) + weight[0].numel() <= room
        for weight, room in zip(weights, rooms, strict=True)
    ):
        exponent = finest + 1
    threshold = torch.as_tensor(neuron.threshold).max()
    if neuron.reset_mechanism != "none" and threshold > 0:
        # The threshold has 17 bits: a network whose weights are tiny beside it gets coarser ones.
        while threshold * 2.0**exponent > VTH_MAX:
            exponent -= 1
    return exponent


def _grid(weight: Tensor) -> int:
    """The least k for which every weight is a multiple of 2^−k; float32 weights have one."""
    mantissa, exponent = np.frexp(weight[weight != 0].numpy())
    if not mantissa.size:
        return 0
    whole = np.rint(mantissa * 2.0**53).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int((53 - zeros - exponent).max())


def _row_sum(weight: Tensor) -> float:
    return float(weight.flatten(1).abs().sum(dim=1).max())


def population_bias(constant: NDArray[np.float64]) -> Tensor:
    """What is added to each neuron [*shape], of a shape that broadcasts to it: one for each channel."""
    bias = torch.from_numpy(constant.astype(np.float32))
    if bias.ndim == 3 and bool((bias == bias[:, :1, :1]).all()):
        return bias[:, :1, :1].clone()
    return bias


def chip_neuron(name: str, neuron: Any, shape: Shape, bias: Tensor, exponent: int) -> ChipNeuron:
    """The population of a neuron module: its threshold and decays in registers."""
    integrator = neuron.reset_mechanism == "none"
    unit = V_UNIT * 2.0**exponent
    synaptic = isinstance(neuron, snn.Synaptic | snn.RSynaptic)
    alpha = _values(name, "alpha", neuron.alpha, shape) if synaptic else torch.zeros(())
    if bool((alpha > 0).any()) and bool(bias.any()):
        raise BadInput(
            f"module '{name}': a bias before a Synaptic passes its synaptic filter, which no "
            "register does; train with bias=False"
        )
    threshold = _values(name, "threshold", neuron.threshold, shape)
    vth = torch.round(threshold * 2.0**exponent).to(torch.int32)
    if not integrator and bool((threshold < 0).any()):
        raise BadInput(f"module '{name}': a threshold of {float(threshold.min()):g} is negative")
    return ChipNeuron(
        bias.clone(),
        unit=unit,
        shape=shape,
        bias_exponent=bias_exponent(bias, unit),
        du=_register(4095 - torch.round(4096 * alpha)),
        dv=_register(torch.round(4096 * (1 - _values(name, "beta", neuron.beta, shape)))),
        vth=VTH_MAX if integrator else _register(vth),
        kind="integrator" if integrator else "lif",
    )


def _register(value: Tensor) -> int | Tensor:
    value = value.to(torch.int32).clamp(max=VTH_MAX)
    return int(value) if value.ndim == 0 else value


def _values(name: str, parameter: str, value: Tensor, shape: Shape) -> Tensor:
    """A parameter of a neuron, one for all or of a shape that broadcasts to the population's."""
    value = torch.as_tensor(value, dtype=torch.float32).detach()
    if parameter in ("alpha", "beta"):
        value = value.clamp(0, 1)
    if value.numel() == 1:
        return value.reshape(())
    try:
        return value.expand(shape)
    except RuntimeError:
        raise BadInput(
            f"module '{name}': {parameter} of the shape {tuple(value.shape)} for neurons {shape}"
        ) from None
