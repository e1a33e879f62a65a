"""How Lava sums each kind of connection: a table, and its Sparse, which lists synapses, for all others.

Lava itself is imported where a process is made and nowhere here: processes are named as text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deploy.connections import expand
from deploy.errors import BadInput
from deploy.program.program import (
    Connection,
    Conv2d,
    Dense,
    Input,
    Neurons,
    Program,
    Sparse,
    sent_range,
)
from export.targets.lava.parts.convolution import convolution

# Lava's Sparse takes about 130 bytes a synapse while it starts.
MAX_SYNAPSES = 1 << 25
# Above this, a convolution of ours starts and steps faster than Lava's Sparse.
LISTED_SYNAPSES = 1 << 20
# Lava's fixed-point Conv wraps its sums at 24 bits.
_CONV_LIMIT = 2**23

Arguments = dict[str, Any]
_OURS = "export.targets.lava.processes.synapses"
_STOCK_SPARSE = "lava.proc.sparse.process:Sparse"


@dataclass(frozen=True)
class LavaSynapses:
    """How Lava sums the synapses of a connection.

    by: whose arithmetic it is, in words. process: "module:Class" of it. arguments: (program, connection)
    → keyword arguments of the process. most: synapses that it can hold. frames: whether its ports are
    frames, in width-height-channel order, and not flat.
    """

    by: str
    process: str
    arguments: Callable[[Program, Any], Arguments]
    most: int | None = None
    frames: bool = False


def recorded(c: Connection, stock: bool = False) -> LavaSynapses:
    """How the worker sums a connection, with recorders; stock: by Lava's arithmetic alone."""
    if c.kind in _RECORDED:
        return _RECORDED[c.kind](c, stock)
    return _sparse(f"{_OURS}:RecordingSparse", ", listed")


def built(program: Program, c: Connection) -> LavaSynapses:
    """How stock processes sum a connection of a program, for `build`."""
    if c.kind in _BUILT:
        return _BUILT[c.kind](program, c)
    return _sparse(_STOCK_SPARSE, ", listed")


def check_size(how: LavaSynapses, connection: Connection) -> None:
    """Refuse, by name, a connection with more synapses than Lava can hold (BadInput)."""
    number = connection.synapse_count()
    if how.most is not None and number > how.most:
        raise BadInput(
            f"node '{connection.name}': {number} synapses exceed the {how.most} that Lava's Sparse "
            "can list one by one; the emulator runs it"
        )


def message_bits(source: Input | Neurons) -> int:
    """Bits of a graded message, sign included; 0 for binary spikes, which is what Dense calls them."""
    low, high = sent_range(source)
    if low >= 0 and high <= 1:
        return 0
    return max(abs(low), abs(high)).bit_length() + (low < 0)


def loose_parts(program: Program) -> list[str]:
    """One sender of each part that no connection joins to the rest; empty where all are joined.

    Lava silently leaves out processes that it cannot reach from the one it runs. A neuron that
    every part reaches through weights of 0 joins them.
    """
    part = {node.name: node.name for node in program.sources}
    for c in program.connections:
        old, new = part[c.source], part[c.target]
        part = {name: new if of == old else of for name, of in part.items()}
    parts = sorted(set(part.values()))
    return parts if len(parts) > 1 else []


def _dense(process: str) -> LavaSynapses:
    return LavaSynapses("Lava's Dense", process, lambda program, c: _weighted(program, c, c.weight))


def _sparse(process: str, listed: str = "") -> LavaSynapses:
    return LavaSynapses(f"Lava's Sparse{listed}", process, _listed, MAX_SYNAPSES)


def _listed(program: Program, c: Connection) -> Arguments:
    from scipy.sparse import csr_matrix

    of = expand(c)
    shape = (of.target_size, of.source_size)
    return _weighted(program, c, csr_matrix((of.weight, of.indices, of.indptr), shape))


def _weighted(program: Program, c: Connection, weights: Any) -> Arguments:
    """Of Dense and Sparse. The sign mode is explicit, since Lava otherwise guesses it."""
    from lava.utils.weightutils import SignMode

    return {
        "weights": weights,
        "weight_exp": c.exponent,
        "num_weight_bits": 8,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": message_bits(program.source(c.source)),
        "name": c.name,
    }


def _recorded_conv(c: Conv2d, stock: bool) -> LavaSynapses:
    """Ours for many synapses, or, by `stock`, with Lava's sums in its place; else its list.

    A step of Lava's Sparse takes 2 to 16 ns a synapse, its Conv 10 to 1 000 µs a channel pair, and on
    all but very large frames of few channels this is slower.
    """

    def ours(program: Program, c: Conv2d) -> Arguments:
        graded = message_bits(program.source(c.source)) > 0
        return {"stock": stock, "of": convolution(c), "graded": graded, "name": c.name}

    if stock or c.synapse_count() > LISTED_SYNAPSES:
        by = "Lava's Conv" if stock else "our convolution"
        return LavaSynapses(by, f"{_OURS}:RecordingConv", ours)
    return _sparse(f"{_OURS}:RecordingSparse", ", listed")


def _built_conv(program: Program, c: Conv2d) -> LavaSynapses:
    """Lava's fixed-point Conv, which on a chip stores its kernels once, where it is exact, else the list.

    It ignores the weight exponent, wraps sums at 24 bits, and holds sizes in 8 bits.
    """
    source = program.source(c.source)
    most = max(abs(end) for end in sent_range(source))
    sums = np.abs(c.weight).sum(axis=(1, 2, 3), dtype=np.int64)
    sizes = (*c.weight.shape[2:], *c.stride, *c.padding, *c.dilation, c.groups)
    if (
        c.exponent == 0
        # Lava's ports are transposed, not reshaped, to the images that its Conv reads and makes.
        and len(source.shape) == len(program.population(c.target).shape) == 3
        and int(sums.max()) * most < _CONV_LIMIT
        and max(sizes) < 128
    ):
        return LavaSynapses("Lava's Conv", "lava.proc.conv.process:Conv", _conv, frames=True)
    return _sparse(_STOCK_SPARSE, ", listed")


def _conv(program: Program, c: Conv2d) -> Arguments:
    """Of Lava's Conv, which convolves (flipped kernels) in width-height-channel order."""
    return {
        "weight": c.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        "input_shape": c.source_shape[::-1],
        "stride": c.stride[::-1],
        "padding": c.padding[::-1],
        "dilation": c.dilation[::-1],
        "groups": c.groups,
        "num_message_bits": message_bits(program.source(c.source)),
        "name": c.name,
    }


_RECORDED: dict[str, Callable[[Any, bool], LavaSynapses]] = {
    Dense.kind: lambda c, stock: _dense(f"{_OURS}:RecordingDense"),
    Sparse.kind: lambda c, stock: _sparse(f"{_OURS}:RecordingSparse"),
    Conv2d.kind: _recorded_conv,
}
_BUILT: dict[str, Callable[[Program, Any], LavaSynapses]] = {
    Dense.kind: lambda program, c: _dense("lava.proc.dense.process:Dense"),
    Conv2d.kind: _built_conv,
}
