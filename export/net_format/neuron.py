"""Neurons of lava-dl's `.net` files as populations.

A file's iDecay is a decay of 4096, the register du that decay minus one (Lava's ds_offset); vDecay
is the register dv; vThMant the register vth; a bias is a mantissa under Lava netx's exponent of 6.
Exponents and kinds are those of lava.lib.dl.netx.hdf5.Network.get_neuron_params (lava-dl 0.6.0).
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from deploy.arithmetic.registers import check_range
from deploy.errors import BadInput
from deploy.neurons import (
    Delta,
    Neurons,
    Sigma,
    make_population,
    make_sigma_delta,
    make_threshold,
)
from deploy.program.program import DECAY_MAX, VTH_MAX, Shape
from export.net_format.file import Ints, NetLayer, Value

BIAS_EXP = 6
# Of sigma-delta neurons, unless netx is told otherwise.
SPIKE_EXP, STATE_EXP, MESSAGE_BITS = 6, 6, 16

SPIKING = ("LOIHI", "CUBA")
SIGMA_DELTA = "SDNN"

# What a neuron's fields mean to the chip, and those that only training reads.
_REGISTERS = {"iDecay", "vDecay", "vThMant", "refDelay", "wgtExp", "gradedSpike", "weight_exp"}
_TRAINING = {"theta", "tauRho", "scaleRho"}
_SIGMA_DELTA = {"vThMant", "activation", "sigma_output", "messageBits"}


def neurons_of(layer: NetLayer, shape: Shape, v_offset: int = 0) -> tuple[Neurons, int]:
    """(the population of a layer of `shape`, the exponent of the weights before it).

    v_offset: added to every stored vDecay but 0. A spiking layer that cannot reach its threshold is
    one of integrators. Raises BadInput naming the layer and what no population holds.
    """
    fields = layer.neuron
    if fields is None:
        return _summing(layer, shape), 0
    kind = fields.get("type")
    if kind == SIGMA_DELTA:
        _check_known(layer, fields, _SIGMA_DELTA)
        return _sigma_delta(layer, fields, shape), 0
    if kind not in SPIKING:
        known = ", ".join((*SPIKING, SIGMA_DELTA))
        raise layer.refuse(f"neurons of type {kind!r} are not supported; {known} are")
    _check_known(layer, fields, _REGISTERS | _TRAINING | {"messageBits"})
    return _spiking(layer, shape, v_offset), _one(layer, "wgtExp", 0)


def _spiking(layer: NetLayer, shape: Shape, v_offset: int) -> Neurons:
    if _register(layer, "gradedSpike", shape, 0).any():
        raise layer.refuse("gradedSpike: CUBA neurons that send their potential are not supported")
    if _register(layer, "weight_exp", shape, 0).any():
        raise layer.refuse(
            "weight_exp: a scale between current and potential (WgtScaleBatchNorm) has no register"
        )
    u_decay, dv = (_register(layer, field, shape) for field in ("iDecay", "vDecay"))
    # lava-dl writes 2^18 − 1 for a layer that must not fire: no register holds more than VTH_MAX.
    vth = np.minimum(_register(layer, "vThMant", shape), VTH_MAX)
    refractory = _one(layer, "refDelay", 1) - 1
    if v_offset:
        dv = np.where(dv > 0, dv + v_offset, dv)
    bias = _bias(layer, shape) << BIAS_EXP
    silent = bool((vth == VTH_MAX).all())
    if (dv == 4096).all() and not refractory:
        # The potential forgets: a threshold without memory, or a sum that its current keeps.
        if (u_decay == 4096).all() and not silent:
            return make_threshold(layer.name, shape, vth=vth, bias=bias)
        if not u_decay.any() and silent and not bias.any():
            return _summing(layer, shape)
    for field, values, high in (("iDecay", u_decay, 4096), ("vDecay", dv, DECAY_MAX)):
        check_range(layer.name, field, values.astype(np.int32), 0, high)
    check_range(layer.name, "vThMant", vth.astype(np.int32), 0, VTH_MAX)
    return make_population(
        layer.name,
        shape,
        du=u_decay - 1,
        dv=dv,
        vth=vth,
        bias=bias,
        kind="integrator" if silent else "lif",
        refractory=refractory,
    )


def _summing(layer: NetLayer, shape: Shape) -> Neurons:
    """A layer without neurons: netx gives it iDecay 0 and vDecay 4096, so that u sums up.

    v shows that sum, and nothing fires. On registers of 12 bits the current clears instead and v
    sums up, which shows the same.
    """
    return make_population(
        layer.name, shape, bias=_bias(layer, shape) << BIAS_EXP, kind="integrator"
    )


def _sigma_delta(layer: NetLayer, fields: Mapping[str, Value], shape: Shape) -> Neurons:
    if "delay" in layer.values:
        raise layer.refuse("delays of sigma-delta neurons are not supported")
    bits = _one(layer, "messageBits", MESSAGE_BITS)
    if layer.kind != "input" and "sigma_output" in fields:
        # A read-out sums up what it hears: it has no activation, and a threshold only where lava-dl's
        # Output block writes that of its neuron, which netx ignores.
        if _bias(layer, shape).any():
            raise layer.refuse("bias: netx has none for a sigma read-out")
        return Sigma(layer.name, shape, bits)
    if fields.get("activation", "relu") != "relu":
        raise layer.refuse(f"activation {fields['activation']!r}: sigma-delta neurons have relu")
    vth = _one(layer, "vThMant")
    if layer.kind == "input":
        return Delta(layer.name, shape, vth, SPIKE_EXP, STATE_EXP, message_bits=bits)
    bias = _bias(layer, shape)
    return make_sigma_delta(
        layer.name,
        shape,
        vth=vth,
        bias=bias,
        spike_exp=SPIKE_EXP,
        state_exp=STATE_EXP,
        message_bits=bits,
    )


def _check_known(layer: NetLayer, fields: Mapping[str, Value], known: set[str]) -> None:
    unknown = sorted(set(fields) - known - {"type"})
    if unknown:
        raise layer.refuse(f"its neuron has a field '{unknown[0]}' that is not known")


def _register(layer: NetLayer, field: str, shape: Shape, default: int | None = None) -> Ints:
    """A field of a layer's neurons, for each of them."""
    assert layer.neuron is not None
    value: Any = layer.neuron.get(field, None if default is None else np.int64(default))
    if value is None or isinstance(value, str):
        raise layer.refuse(f"its field 'neuron/{field}' is missing")
    return _per_neuron(layer, field, np.asarray(value), shape)


def _one(layer: NetLayer, field: str, default: int | None = None) -> int:
    """A field that serves a whole layer."""
    values = _register(layer, field, (1,), default)
    return int(values[0])


def _bias(layer: NetLayer, shape: Shape) -> Ints:
    if "bias" not in layer.values:
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


def without(layer: NetLayer, *fields: str) -> NetLayer:
    """A layer without some of its values."""
    return replace(layer, values={k: v for k, v in layer.values.items() if k not in fields})
