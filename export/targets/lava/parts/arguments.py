"""A program's connections as the keyword arguments of Lava's processes."""

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
    sent_range,
)
from export.targets.lava.parts.convolution import convolution

# Lava's Sparse takes about 130 bytes a synapse while it starts.
MAX_SYNAPSES = 1 << 25
# Above this, a convolution of ours starts and steps faster than Lava's Sparse.
LISTED_SYNAPSES = 1 << 20
# Lava's fixed-point Conv wraps its sums at 24 bits.
_CONV_LIMIT = 2**23


def runs_as_ours(connection: Connection) -> bool:
    """Whether the worker runs a connection as a convolution of ours: one of many synapses."""
    return isinstance(connection, Conv2d) and connection.synapse_count() > LISTED_SYNAPSES


def computed_by(connection: Connection, stock: bool) -> str:
    """Whose arithmetic sums a connection in the worker, in words."""
    if isinstance(connection, Conv2d) and stock:
        return "Lava's Conv"
    if runs_as_ours(connection):
        return "our convolution"
    if isinstance(connection, Dense):
        return "Lava's Dense"
    return "Lava's Sparse" + (", listed" if isinstance(connection, Conv2d) else "")


def ours_arguments(program: Program, connection: Connection, stock: bool) -> dict[str, Any]:
    """Arguments of our own convolution, `RecordingConv`, or, by `stock`, of Lava's sums in its place."""
    assert isinstance(connection, Conv2d)  # runs_as_ours
    return {
        "stock": stock,
        "of": convolution(connection),
        "graded": message_bits(program.source(connection.source)) > 0,
        "name": connection.name,
    }


def synapse_arguments(program: Program, connection: Connection) -> dict[str, Any]:
    """Arguments of Lava's Dense, or of its Sparse for any other kind.

    The sign mode is explicit, since Lava otherwise guesses it. A convolution's synapses are listed:
    a step of Lava's Sparse takes 2 to 16 ns a synapse, its Conv 10 to 1 000 µs a channel pair, and
    on all but very large frames of few channels this is slower. Raises BadInput for more synapses
    than Lava can hold.
    """
    from lava.utils.weightutils import SignMode
    from scipy.sparse import csr_matrix

    weights: Any
    if isinstance(connection, Dense):
        weights = connection.weight
    else:
        check_size(connection)
        listed = expand(connection)
        shape = (listed.target_size, listed.source_size)
        weights = csr_matrix((listed.weight, listed.indices, listed.indptr), shape)
    return {
        "weights": weights,
        "weight_exp": connection.exponent,
        "num_weight_bits": 8,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": message_bits(program.source(connection.source)),
        "name": connection.name,
    }


def check_size(connection: Connection) -> None:
    """Refuse, by name, a connection with more synapses than Lava's Sparse can hold (BadInput)."""
    number = connection.synapse_count()
    if not isinstance(connection, Dense) and number > MAX_SYNAPSES:
        raise BadInput(
            f"node '{connection.name}': {number} synapses exceed the {MAX_SYNAPSES} that Lava's Sparse "
            "can list one by one; the emulator runs it"
        )


def runs_as_conv(program: Program, connection: Connection) -> bool:
    """Whether Lava's fixed-point Conv computes a connection exactly.

    It ignores the weight exponent, wraps sums at 24 bits, and holds sizes in 8 bits.
    """
    if not isinstance(connection, Conv2d) or connection.exponent != 0:
        return False
    source = program.source(connection.source)
    # Lava's ports are transposed, not reshaped, to the images that its Conv reads and makes.
    if len(source.shape) != 3 or len(program.population(connection.target).shape) != 3:
        return False
    most = max(abs(end) for end in sent_range(source))
    sums = np.abs(connection.weight).sum(axis=(1, 2, 3), dtype=np.int64)
    sizes = (
        *connection.weight.shape[2:], *connection.stride, *connection.padding,
        *connection.dilation, connection.groups,
    )  # fmt: skip
    return int(sums.max()) * most < _CONV_LIMIT and max(sizes) < 128


def conv_arguments(program: Program, connection: Conv2d) -> dict[str, Any]:
    """Arguments of Lava's Conv, which convolves (flipped kernels) in width-height-channel order."""
    return {
        "weight": connection.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        "input_shape": connection.source_shape[::-1],
        "stride": connection.stride[::-1],
        "padding": connection.padding[::-1],
        "dilation": connection.dilation[::-1],
        "groups": connection.groups,
        "num_message_bits": message_bits(program.source(connection.source)),
        "name": connection.name,
    }


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
