"""How `.net` files hold connections: a table by kind. Any other kind is a dense layer, if that is small."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.registers import IntArray
from deploy.connections import Connection, Conv2d, Dense, Sparse
from export.net_format.file import Ints

Held = NDArray[np.bool_]


@dataclass(frozen=True)
class NetKind:
    """How a file holds a kind of connection.

    layer: the type of its layer. images: whether that reads and makes images; netx then has no loop
    around it, and no delays of its synapses. fields: what the file says of it besides its weight.
    part: (connection, name, which sources are taken [source size], delay) → their synapses as one
    connection, or None where they have none.
    """

    layer: str
    images: bool
    fields: Callable[[Any], dict[str, Any]]
    part: Callable[[Any, str, Held, int], Connection | None]


def part(c: Connection, name: str, held: Held, delay: int) -> Connection | None:
    """The synapses of some sources as one connection with a delay; None where they have none.

    held: of each source [source size], or of each synapse of a Dense [targets, sources].
    """
    return (
        KINDS[c.kind].part(c, name, held, delay)
        if c.kind in KINDS
        else _listed(c, name, held, delay)
    )


def _listed(c: Connection, name: str, held: Held, delay: int) -> Connection | None:
    of = c.listed()
    rows = np.repeat(np.arange(c.target_size), np.diff(of.indptr))
    mask = held[of.indices]
    return _sparse(c, name, (rows[mask], of.indices[mask], of.weight[mask]), delay)


def _of_matrix(c: Dense, name: str, held: Held, delay: int) -> Connection | None:
    mask = np.broadcast_to(held, c.weight.shape) & (c.weight != 0)
    return _sparse(c, name, (*np.nonzero(mask), c.weight[mask]), delay)


def _of_kernel(c: Conv2d, name: str, held: Held, delay: int) -> Connection | None:
    channels = held.reshape(c.source_shape[0], -1)
    assert (channels == channels[:, :1]).all()  # a layer of images has a delay per channel
    inner = channels[:, 0].reshape(c.groups, 1, -1, 1, 1)
    taps = c.weight.reshape(c.groups, -1, *c.weight.shape[1:])
    weight = np.where(inner, taps, 0).reshape(c.weight.shape).astype(np.int32)
    return replace(c, name=name, weight=weight, delay=delay) if weight.any() else None


def _sparse(
    c: Connection, name: str, of: tuple[Ints, Ints, IntArray], delay: int
) -> Connection | None:
    rows, columns, weight = of
    if not len(weight):
        return None
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=c.target_size))])
    return Sparse(
        name, c.source, c.target, weight, columns.astype(np.int32), indptr.astype(np.int32),
        c.source_size, c.exponent, delay,
    )  # fmt: skip


def _matrix_fields(c: Dense) -> dict[str, Any]:
    return {"inFeatures": c.source_size, "outFeatures": c.target_size}


def _kernel_fields(c: Conv2d) -> dict[str, Any]:
    return {
        "stride": np.array(c.stride),
        "padding": np.array(c.padding),
        "dilation": np.array(c.dilation),
        "groups": c.groups,
        "kernelSize": np.array(c.weight.shape[2:]),
        "inChannels": c.source_shape[0],
        "outChannels": c.target_shape[0],
    }


KINDS = {
    Dense.kind: NetKind("dense", False, _matrix_fields, _of_matrix),
    Conv2d.kind: NetKind("conv", True, _kernel_fields, _of_kernel),
}
