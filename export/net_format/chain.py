"""A `Program` as netx holds it: a chain of layers, or the reason why it is none.

What lava-dl 0.6.0's netx does with a file decides what is refused: its bias exponent is 6, it has one
layer of weights before a population and one around it, it chooses the bits of weights itself, it
ignores the delays of convolutions, and it integrates biases before the first message is there.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Dense
from deploy.errors import BadInput
from deploy.neurons import Neurons, is_plain
from deploy.program.program import (
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    Input,
    IntArray,
    Population,
    Program,
    make_population,
)
from export.net_format.kinds import KINDS, NetKind
from export.net_format.neuron import BIAS_EXP
from export.net_format.synapses import STORED_MAX, connections

# A dense matrix of more synapses than this is no layer of a chip.
_MAX_SYNAPSES = 1 << 28


@dataclass(frozen=True, eq=False)
class NetxLayer:
    """One layer of the chain.

    weight: from the population before, without exponent or delay; delays: int32 [targets, sources]
    of its synapses, None where all are 0; loop: from the population to itself, one step later.
    """

    population: Population
    weight: Connection
    delays: IntArray | None
    loop: Connection | None

    @property
    def how(self) -> NetKind:
        """How a file holds its weights."""
        return KINDS[self.weight.kind]


def netx_layers(program: Program) -> tuple[NetxLayer, ...]:
    """The chain of layers that a program is. Raises BadInput naming what netx cannot hold, and why."""
    layers: list[NetxLayer] = []
    before: Input | Population = program.inputs[0]
    for name in _chain(program):
        population = program.population(name)
        if not is_plain(population):
            raise BadInput(
                f"node '{name}': of a {population.kind} with its settings no .net file is written"
            )
        layer = _layer(program, before, population)
        biased = next((x.population.name for x in layers if x.population.bias.any()), None)
        if layer.loop is not None and biased is None and layer.population.bias.any():
            biased = name
        if biased is not None and (layer.loop is not None or layer.delays is not None):
            raise BadInput(
                f"node '{name}': netx integrates the bias of '{biased}' before the first message is "
                "there, and a loop or a delay carries what that fires into the sample"
            )
        layers.append(layer)
        before = layer.population
    return tuple(layers)


def netx_program(program: Program) -> Program:
    """The program that a reader of the file gets: layers as netx holds them, with our names.

    Raises BadInput naming the node that netx cannot hold, and why.
    """
    layers, found = netx_layers(program), list[Connection]()
    for layer in layers:
        delays = np.zeros(layer.weight.source_size, np.int64)
        if layer.delays is not None:
            delays = layer.delays.astype(np.int64)
        found += connections(layer.weight, delays)
        found += [] if layer.loop is None else [layer.loop]
    return Program(
        program.inputs, tuple(x.population for x in layers), tuple(found), program.outputs[:1]
    )


def stored(values: IntArray) -> NDArray[Any] | None:
    """A register as it is stored: one number, one for each channel, or None where neither will do."""
    if (values == values.flat[0]).all():
        return np.asarray(values.flat[0])
    each = values.reshape(values.shape[0], -1)
    return each[:, 0] if (each == each[:, :1]).all() else None


def _chain(program: Program) -> list[str]:
    """The populations in the order of the chain that they must be."""
    if len(program.inputs) != 1:
        raise BadInput(f"netx runs networks of one input, the program has {len(program.inputs)}")
    at, chain = program.inputs[0].name, list[str]()
    while following := {c.target for c in program.out_of(at)} - {at}:
        if len(following) > 1 or following & set(chain):
            raise BadInput(
                f"node '{at}': netx runs chains of layers, this one leads to {sorted(following)}"
            )
        at = following.pop()
        chain.append(at)
    left = sorted({p.name for p in program.populations} - set(chain))
    if left:
        raise BadInput(f"node '{left[0]}': netx runs chains of layers, this is not in the chain")
    return chain


def _layer(program: Program, before: Input | Neurons, p: Population) -> NetxLayer:
    name = f"{p.name}_weight"
    loops = [c for c in program.into(p.name) if c.source == p.name]
    forward = [c for c in program.into(p.name) if c.source == before.name]
    if len(loops) > 1 or len(forward) + len(loops) != len(program.into(p.name)):
        raise BadInput(
            f"node '{p.name}': netx has one layer of weights before a population and one around it"
        )
    weight, delays = _forward(p, [_plain(c) for c in forward], bool(loops))
    images = KINDS[weight.kind].images
    if images and len(before.shape) != 3:
        raise BadInput(f"node '{p.name}': netx has no convolution after a dense layer")
    loop = None
    if loops:
        back = _plain(loops[0])
        if images or KINDS[back.kind].images:
            raise BadInput(f"node '{back.name}': netx has loops around dense layers only")
        if back.delay != 1:
            raise BadInput(
                f"node '{back.name}': netx's loops take one step, this takes {back.delay}"
            )
        loop = replace(back, name=f"{name}_rec")
    if not images:
        weights = [weight.weight, *([] if loop is None else [loop.weight])]
        _check_bits(p.name, np.hstack(weights))
    return NetxLayer(_population(p, images), replace(weight, name=name), delays, loop)


def _forward(
    p: Population, found: list[Connection], looped: bool
) -> tuple[Connection, IntArray | None]:
    """One layer of weights, and the delays of its synapses, of connections with one delay each."""
    first = found[0]
    if len(found) == 1 and first.delay == 0:
        return first, None
    late = max(c.delay for c in found)
    if looped or any(KINDS[c.kind].images for c in found):
        what = "its loop would be delayed too" if looped else "it ignores those of convolutions"
        raise BadInput(f"node '{first.name}': netx has no delay of {late} here: {what}")
    held = [c.weight != 0 for c in found]
    if (sum(h.astype(int) for h in held) > 1).any():
        raise BadInput(f"node '{p.name}': netx has one synapse between two neurons, with one delay")
    delays = sum(h * c.delay for h, c in zip(held, found, strict=True))
    weight = sum(c.weight for c in found)
    merged = Dense(first.name, first.source, p.name, np.asarray(weight, np.int32))
    return merged, np.asarray(delays, np.int32)


def _plain(c: Connection) -> Connection:
    """A connection with its exponent in its weights, dense where a file does not hold its kind."""
    c = c if c.kind in KINDS else _dense(c)
    scaled = c.weight.astype(np.int64) << max(c.exponent, 0)
    step = 1 << max(-c.exponent, 0)
    weight = scaled // step
    wrong = (weight * step != scaled) | (weight % 2 != 0) | (np.abs(weight) > STORED_MAX)
    if wrong.any():
        raise BadInput(
            f"node '{c.name}': weight {int(c.weight[wrong].flat[0])} under the exponent {c.exponent} "
            f"is no even number up to {STORED_MAX}; a .net file has no exponents"
        )
    return replace(c, weight=weight.astype(np.int32), exponent=0)


def _dense(c: Connection) -> Dense:
    if c.target_size * c.source_size > _MAX_SYNAPSES:
        raise BadInput(
            f"node '{c.name}': netx has no {c.kind} layers, and {c.target_size} × "
            f"{c.source_size} dense synapses are too many"
        )
    of = c.listed()
    dense = np.zeros((c.target_size, c.source_size), np.int32)
    rows = np.repeat(np.arange(c.target_size), np.diff(of.indptr))
    dense[rows, of.indices] = of.weight
    return Dense(c.name, c.source, c.target, dense, c.exponent, c.delay)


def _check_bits(name: str, weight: IntArray) -> None:
    """Weights that netx's optimize_weight_bits and Lava's Dense keep as they are."""
    low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        raise BadInput(f"node '{name}': netx cannot load a layer whose weights are all zero")
    if high < 0 and -low & (-low - 1) == 0:
        raise BadInput(
            f"node '{name}': all weights are negative down to {low}; netx scales that to −256, which "
            "Lava's Dense clips to −255"
        )


def _population(p: Population, images: bool) -> Population:
    """A population as netx holds it: with an image's shape only after a layer that makes images."""
    mantissa = p.bias >> BIAS_EXP
    wrong = (mantissa << BIAS_EXP != p.bias) | (mantissa < BIAS_MANT_MIN)
    wrong |= mantissa > BIAS_MANT_MAX
    if wrong.any():
        raise BadInput(
            f"node '{p.name}': bias {int(p.bias[wrong].flat[0])} is no mantissa of 13 bits under "
            f"netx's fixed exponent of {BIAS_EXP}"
        )
    shape = p.shape if images else (p.size,)
    held = {register: getattr(p, register).reshape(shape) for register in ("du", "dv", "vth")}
    for register, values in held.items():
        if stored(values) is None:
            raise BadInput(
                f"node '{p.name}': netx has one {register} for a channel, not for every neuron"
            )
    return make_population(p.name, shape, bias=p.bias.reshape(shape), kind=p.kind, **held)
