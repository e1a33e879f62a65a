"""`Program` → lava-dl's `.net` file, which `lava.lib.dl.netx.hdf5.Network` runs spike for spike.

What netx makes of a file decides what is written: a chain of layers, a bias exponent of 6, weights
whose bits it chooses itself. Load it with `reset_interval` = the steps of a sample and
`reset_offset=1` (a source process feeds it), and with `input_message_bits` where messages are graded.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from deploy.connections import Connection, Conv2d, Dense
from deploy.errors import BadInput, CheckFailed
from deploy.files import atomic_path
from deploy.parity import compare_registers
from deploy.populations import is_plain
from deploy.program import (
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    Input,
    IntArray,
    Population,
    Program,
    make_population,
    registers,
)
from deploy.synapses import expand
from export.net_neuron import BIAS_EXP
from export.net_read import read_net
from export.net_synapses import STORED_MAX

# A dense matrix of more synapses than this is no layer of a chip.
_MAX_SYNAPSES = 1 << 28


@dataclass(frozen=True, eq=False)
class _Link:
    """What leads to a population in a chain: from the population before, and from itself."""

    forward: Dense | Conv2d
    loop: Dense | None


def write_net(path: Path, program: Program) -> None:
    """Write a `.net` file atomically, and read it back, equal register by register.

    Raises BadInput naming the node that netx cannot hold, and why; CheckFailed where what is read
    back differs.
    """
    plain = netx_program(program)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        _write(file, plain)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())
    low, high = (
        np.stack([getattr(n, end) for n in plain.inputs]).reshape(plain.inputs[0].shape)
        for end in ("low", "high")
    )
    again = read_net(path, input_range=(low, high))
    different = compare_registers(registers(plain), registers(again))
    if different is not None:
        raise CheckFailed(f"{path}: read back, it holds another {different}")


def netx_program(program: Program) -> Program:
    """A program as netx holds it: weights without exponents, dense or convolutions, named by layer.

    Raises BadInput naming the node that netx cannot hold, and why.
    """
    chain = _chain(program)
    populations: list[Population] = []
    connections: list[Connection] = []
    before: Input | Population = program.inputs[0]
    for name in chain:
        population = program.population(name)
        if not is_plain(population):
            raise BadInput(
                f"node '{name}': of a {population.kind} with its settings no .net file is written"
            )
        link = _link(program, before.name, population)
        if isinstance(link.forward, Conv2d) and len(before.shape) != 3:
            raise BadInput(f"node '{name}': netx has no convolution after a dense layer")
        populations.append(_netx_population(population, link))
        connections += [c for c in (link.forward, link.loop) if c is not None]
        before = populations[-1]
    return Program(program.inputs, tuple(populations), tuple(connections), program.outputs[:1])


def _chain(program: Program) -> list[str]:
    """The populations in the order of the chain that they must be."""
    if len(program.inputs) != 1:
        raise BadInput(f"netx runs networks of one input, the program has {len(program.inputs)}")
    at, chain = program.inputs[0].name, list[str]()
    while True:
        following = {c.target for c in program.out_of(at)} - {at}
        if not following:
            break
        if len(following) > 1 or following & set(chain):
            raise BadInput(
                f"node '{at}': netx runs chains of layers, this one leads to {sorted(following)}"
            )
        at = following.pop()
        chain.append(at)
    left = sorted({p.name for p in program.populations} - set(chain))
    if left:
        raise BadInput(
            f"node '{left[0]}': netx runs chains of layers, this is not in the first one"
        )
    return chain


def _link(program: Program, before: str, p: Population) -> _Link:
    into = program.into(p.name)
    forward = [c for c in into if c.source == before]
    loops = [c for c in into if c.source == p.name]
    if len(forward) != 1 or len(loops) > 1 or len(into) != len(forward) + len(loops):
        raise BadInput(
            f"node '{p.name}': netx has one layer of weights before a population and one around it"
        )
    name = f"{p.name}_weight"
    first = _plain(replace(forward[0], name=name), 0)
    if not loops:
        if isinstance(first, Dense):
            _check_bits(p.name, first.weight)
        return _Link(first, None)
    loop = _plain(replace(loops[0], name=f"{name}_rec"), 1)
    if isinstance(first, Conv2d) or isinstance(loop, Conv2d):
        raise BadInput(f"node '{loops[0].name}': netx has loops around dense layers only")
    if p.bias.any():
        raise BadInput(
            f"node '{p.name}': netx integrates a bias before the first message is there, and a loop "
            "carries what that fires into the sample; a recurrent layer with a bias is not exact"
        )
    _check_bits(p.name, np.hstack([first.weight, loop.weight]))
    return _Link(first, loop)


def _plain(c: Connection, delay: int) -> Dense | Conv2d:
    """A connection with its exponent in its weights, dense unless it is a convolution."""
    if c.delay != delay:
        raise BadInput(
            f"node '{c.name}': netx holds a delay of {delay} here, not {c.delay}; it delays what "
            "enters a neuron, recurrence included"
        )
    scaled = c.weight.astype(np.int64) << max(c.exponent, 0)
    step = 1 << max(-c.exponent, 0)
    weight = scaled // step
    wrong = (weight * step != scaled) | (weight % 2 != 0) | (np.abs(weight) > STORED_MAX)
    if wrong.any():
        raise BadInput(
            f"node '{c.name}': weight {int(c.weight[wrong].flat[0])} under the exponent {c.exponent} "
            f"is no even number up to {STORED_MAX}; a .net file has no exponents"
        )
    made = replace(c, weight=weight.astype(np.int32), exponent=0)
    if isinstance(made, Dense | Conv2d):
        return made
    if made.target_size * made.source_size > _MAX_SYNAPSES:
        raise BadInput(
            f"node '{c.name}': netx has no sparse layers, and {made.target_size} × "
            f"{made.source_size} dense synapses are too many"
        )
    listed = expand(made)
    dense = np.zeros((made.target_size, made.source_size), np.int32)
    rows = np.repeat(np.arange(made.target_size), np.diff(listed.indptr))
    dense[rows, listed.indices] = listed.weight
    return Dense(c.name, c.source, c.target, dense, 0, c.delay)


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


def _netx_population(p: Population, link: _Link) -> Population:
    """A population as netx holds it: after a dense layer without an image's shape."""
    mantissa = p.bias >> BIAS_EXP
    wrong = (mantissa << BIAS_EXP != p.bias) | (mantissa < BIAS_MANT_MIN)
    wrong |= mantissa > BIAS_MANT_MAX
    if wrong.any():
        raise BadInput(
            f"node '{p.name}': bias {int(p.bias[wrong].flat[0])} is no mantissa of 13 bits under "
            f"netx's fixed exponent of {BIAS_EXP}"
        )
    shape = (p.size,) if isinstance(link.forward, Dense) else p.shape
    held = {register: getattr(p, register).reshape(shape) for register in ("du", "dv", "vth")}
    for register, values in held.items():
        if _stored(values) is None:
            raise BadInput(
                f"node '{p.name}': netx has one {register} for a channel, not for every neuron"
            )
    return make_population(p.name, shape, bias=p.bias.reshape(shape), kind=p.kind, **held)


def _stored(values: IntArray) -> NDArray[np.int32] | None:
    """A register as it is stored: one number, one for each channel, or None where neither will do."""
    if (values == values.flat[0]).all():
        return np.int32(values.flat[0])  # type: ignore[return-value]
    each = values.reshape(values.shape[0], -1)
    return each[:, 0] if (each == each[:, :1]).all() else None


def _write(file: h5py.File, program: Program) -> None:
    (drive,) = program.inputs
    _layer(file, drive.name, "input", drive.shape)
    shape = drive.shape
    for p in program.populations:
        assert is_plain(p)
        forward, *loops = program.into(p.name)
        if isinstance(forward, Dense) and len(shape) > 1:
            _layer(file, f"{p.name}_flatten", "flatten", (forward.source_size, 1, 1))
        dense = isinstance(forward, Dense)
        kind = ("dense_rec" if loops else "dense") if dense else "conv"
        group = _layer(file, p.name, kind, (p.size,) if dense else p.shape)
        group["weight"] = forward.weight
        if loops:
            group["weight_rec"] = loops[0].weight
        if isinstance(forward, Conv2d):
            for field in ("stride", "padding", "dilation"):
                group[field] = np.array(getattr(forward, field))
            group["groups"] = forward.groups
            group["kernelSize"] = np.array(forward.weight.shape[2:])
            group["inChannels"], group["outChannels"] = forward.source_shape[0], p.shape[0]
        else:
            group["inFeatures"], group["outFeatures"] = forward.source_size, p.size
        if p.bias.any():
            group["bias"] = _bias(p)
        neuron: dict[str, Any] = {
            "type": "CUBA",
            "iDecay": _stored(p.du) + 1,  # type: ignore[operator]
            "vDecay": _stored(p.dv),
            "vThMant": _stored(p.vth),
            "refDelay": 1,
            "gradedSpike": False,
        }
        for field, value in neuron.items():
            group[f"neuron/{field}"] = value
        shape = p.shape


def _layer(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> h5py.Group:
    index = len(file["layer"]) if "layer" in file else 0
    group = file.create_group(f"layer/{index}")
    group.create_dataset("type", (1,), "S10", [kind.encode("ascii")])
    group["shape"] = np.array(shape)
    group["name"] = name  # netx does not look at it; our reader gives nodes their names back
    return group


def _bias(p: Population) -> IntArray:
    mantissa = p.bias >> BIAS_EXP
    each = _stored(mantissa)
    if len(p.shape) == 1:
        return mantissa
    if each is not None:
        return np.broadcast_to(each, (p.shape[0],))
    # netx takes a bias for every neuron in its own order: (width, height, channel).
    return np.ascontiguousarray(mantissa.transpose(2, 1, 0))
