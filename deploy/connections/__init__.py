"""Connections of a program, one file a kind: what synapses sum, whom they join, what a core stores of them.

In: integer weights. Out: synaptic sums, lists of synapses, who reaches whom. What is asked of a
connection is a method of `Connection`; a kind of one's own joins the table here by `register`, or by
an entry point of the group `neuroclip.connections` whose name is the kind's.
"""

from dataclasses import is_dataclass
from typing import TypeVar

import numpy as np

from deploy.arithmetic.registers import (
    DELAY_MAX,
    WEIGHT_EXP_MAX,
    WEIGHT_EXP_MIN,
    Shape,
    array_fields,
    is_integer,
)
from deploy.connections.connection import Connection, check_weights
from deploy.connections.conv2d import Conv2d, Pair, sum_pool
from deploy.connections.dense import Dense
from deploy.connections.sparse import Sparse, expand, one_to_one
from deploy.errors import BadInput
from deploy.plugins import enter, find_kind

__all__ = [
    "BUNDLED",
    "KINDS",
    "Connection",
    "Conv2d",
    "Dense",
    "Pair",
    "Sparse",
    "check_connection",
    "expand",
    "kind_named",
    "one_to_one",
    "register",
    "sum_pool",
]

ENTRY_POINTS = "neuroclip.connections"

KINDS: dict[str, type[Connection]] = {of.kind: of for of in (Dense, Sparse, Conv2d)}
BUNDLED = frozenset(KINDS)

Kind = TypeVar("Kind", bound=type[Connection])


def register(of: Kind) -> Kind:
    """Add a kind of one's own, also as a decorator of its class; again is no harm.

    Raises BadInput for a class that is not a kind, and for a name that another kind has.
    """
    if not (isinstance(of, type) and issubclass(of, Connection) and is_dataclass(of)):
        raise BadInput(
            f"kind {of!r}: not a dataclass that inherits from deploy.connections.Connection"
        )
    name = of.__dict__.get("kind")
    if not isinstance(name, str) or not name:
        raise BadInput(f"kind {of.__name__}: its own `kind`, a name for files, is missing")
    enter(KINDS, name, of)
    return of


def kind_named(name: str) -> type[Connection]:
    """The kind of this name, registered, bundled, or an entry point of an installed distribution.

    Raises BadInput where there is none, or where it cannot be imported.
    """
    return find_kind(KINDS, name, "connection", ENTRY_POINTS, register)


def check_connection(c: Connection, source: Shape, target: Shape) -> None:
    """Refuse a connection that no chip holds or that does not fit its ends' shapes (BadInput)."""
    if KINDS.get(getattr(c, "kind", "")) is not type(c):
        raise BadInput(
            f"node '{getattr(c, 'name', c)}': {type(c).__name__} is not registered as a kind of "
            "connection (deploy.connections.register)"
        )
    for field in array_fields(type(c)):
        array = getattr(c, field)
        if getattr(array, "dtype", None) != np.int32:
            held = getattr(array, "dtype", type(array).__name__)
            raise BadInput(f"node '{c.name}': {field} has type {held}, expected int32")
    c.check(source, target)
    check_weights(c.name, "weight", c.weight)
    if not (is_integer(c.exponent) and WEIGHT_EXP_MIN <= c.exponent <= WEIGHT_EXP_MAX):
        raise BadInput(f"node '{c.name}': weight exponent {c.exponent} is outside -7..7")
    if not (is_integer(c.delay) and 0 <= c.delay <= DELAY_MAX):
        raise BadInput(f"node '{c.name}': delay {c.delay} is outside 0..{DELAY_MAX}")
