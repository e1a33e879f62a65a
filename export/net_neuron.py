"""Neurons of lava-dl's `.net` files as populations.

A file's iDecay is a decay of 4096, the register du that decay minus one (Lava's ds_offset); vDecay
is the register dv; vThMant the register vth; a bias is a mantissa under Lava netx's exponent of 6.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from deploy.errors import BadInput
from deploy.program import DECAY_MAX, VTH_MAX, Population, Shape, make_population
from deploy.registers import check_range
from export.net_file import Ints, NetLayer

# Fixed by lava.lib.dl.netx.hdf5.Network.get_neuron_params.
BIAS_EXP = 6
SPIKING = ("LOIHI", "CUBA")

# What a CUBA neuron's fields mean to the chip, and those that only training reads.
_REGISTERS = {"iDecay", "vDecay", "vThMant", "refDelay", "wgtExp", "gradedSpike", "weight_exp"}
_TRAINING = {"theta", "tauRho", "scaleRho", "messageBits"}


@dataclass(frozen=True)
class Neuron:
    """A layer's neuron: registers per neuron, and the exponent of the weights before it."""

    du: Ints
    dv: Ints
    vth: Ints
    weight_exponent: int = 0


def neuron_of(layer: NetLayer, shape: Shape, v_offset: int = 0) -> Neuron:
    """The registers of a layer of `shape`. v_offset: added to every stored vDecay but 0.

    Raises BadInput naming the layer and what no population of a Program holds.
    """
    fields = layer.neuron
    if fields is None:
        # netx gives such a layer iDecay 0 and vDecay 4096: u sums up, v shows it, nothing fires.
        # On registers of 12 bits: the current clears and v sums up, which shows the same.
        du, dv, vth = (np.full(shape, n, np.int64) for n in (DECAY_MAX, 0, VTH_MAX))
        return Neuron(du, dv, vth)
    kind = fields.get("type")
    if kind not in SPIKING:
        raise layer.refuse(
            f"neurons of type {kind!r} are not supported; {' and '.join(SPIKING)} are"
        )
    unknown = sorted(set(fields) - _REGISTERS - _TRAINING - {"type"})
    if unknown:
        raise layer.refuse(f"its neuron has a field '{unknown[0]}' that is not known")

    def register(field: str, default: int | None = None) -> Ints:
        value = fields.get(field, None if default is None else np.int64(default))
        if value is None or isinstance(value, str):
            raise layer.refuse(f"its field 'neuron/{field}' is missing")
        return _per_neuron(layer, field, np.asarray(value), shape)

    if register("gradedSpike", 0).any():
        raise layer.refuse("gradedSpike: CUBA neurons that send their potential are not supported")
    if (register("refDelay", 1) != 1).any():
        raise layer.refuse(
            f"refDelay {int(register('refDelay').max())}: Lava's fixed-point neurons have no "
            "refractory period, only 1 is supported"
        )
    if register("weight_exp", 0).any():
        raise layer.refuse(
            "weight_exp: a scale between current and potential (WgtScaleBatchNorm) has no register"
        )
    dv = register("vDecay")
    if (dv == 4096).all() and (register("iDecay") == 0).all():
        return neuron_of(_without_neuron(layer), shape)
    if v_offset:
        dv = np.where(dv > 0, dv + v_offset, dv)
    exponents = register("wgtExp", 0)
    if (exponents != exponents.flat[0]).any():
        raise layer.refuse("wgtExp: one exponent serves a whole layer")
    neuron = Neuron(
        register("iDecay") - 1,
        dv,
        # lava-dl writes 2^18 − 1 for a layer that must not fire: no register holds more than VTH_MAX.
        np.minimum(register("vThMant"), VTH_MAX),
        int(exponents.flat[0]),
    )
    check_range(layer.name, "iDecay", register("iDecay"), 0, DECAY_MAX + 1)  # type: ignore[arg-type]
    check_range(layer.name, "vDecay", neuron.dv, 0, DECAY_MAX)  # type: ignore[arg-type]
    check_range(layer.name, "vThMant", neuron.vth, 0, VTH_MAX)  # type: ignore[arg-type]
    return neuron


def population_of(layer: NetLayer, shape: Shape, neuron: Neuron) -> Population:
    """The population of a layer with its bias. One that cannot reach its threshold integrates."""
    kind: Any = "integrator" if (neuron.vth == VTH_MAX).all() else "lif"
    return make_population(
        layer.name,
        shape,
        du=neuron.du,
        dv=neuron.dv,
        vth=neuron.vth,
        bias=_bias(layer, shape) << BIAS_EXP,
        kind=kind,
    )


def _bias(layer: NetLayer, shape: Shape) -> Ints:
    if layer.values.get("bias") is None:
        return np.zeros(shape, np.int64)
    bias = layer.ints("bias")
    if bias.ndim == 3 and len(shape) == 3 and bias.shape == shape[::-1]:
        # What netx calls a neuron-wise bias is in its own order, (width, height, channel).
        return np.ascontiguousarray(bias.transpose(2, 1, 0))
    return _per_neuron(layer, "bias", bias, shape)


def _per_neuron(layer: NetLayer, field: str, value: Ints, shape: Shape) -> Ints:
    """A field for all neurons, for every channel, or for every neuron, in the layer's shape."""
    if value.size == 1:
        return np.broadcast_to(value.reshape(()), shape)
    if value.size == shape[0]:
        return np.broadcast_to(value.reshape(-1, *(1 for _ in shape[1:])), shape)
    if value.size == prod(shape):
        return value.reshape(shape)
    raise BadInput(
        f"node '{layer.name}': {field} has {value.size} values for {prod(shape)} neurons of shape {shape}"
    )


def _without_neuron(layer: NetLayer) -> NetLayer:
    return NetLayer(layer.index, layer.name, layer.kind, layer.values, None)
