"""Chains of linear nodes from a source to a neuron, composed: the paths of the normalised graph."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import nir
import numpy as np

from deploy.arithmetic.registers import DELAY_MAX
from deploy.errors import BadInput
from deploy.program.program import Shape
from export.graph.graph import Path
from export.nir_format.normal.inline import Flat
from export.nir_format.normal.layers import POOLS, layer, layer_bias
from export.nir_format.normal.neurons import FIRING, NEURONS, delay_steps
from neuroclip.linear.compose import compose
from neuroclip.linear.maps import Dense, Operator, diagonal

# Ways of linear nodes from one source to one node; a ladder of branches has 2^n of them.
_MAX_WAYS = 64


@dataclass(frozen=True, eq=False)
class Way:
    """Linear nodes from a source (None: a constant) to a node; operator None changes nothing.

    label: the last node on the way that has weights; rank: how much it says.
    """

    source: str | None
    operator: Operator | None
    delay: int
    label: str
    rank: int


def ways_of(
    flat: Flat,
    before: Mapping[str, list[str]],
    order: tuple[str, ...],
    shapes: Mapping[str, Shape],
    dt: float,
) -> dict[str, list[Way]]:
    """The ways that end in each linear node, composed as far as there."""
    ways: dict[str, list[Way]] = {}
    for name in order:
        node = flat.nodes[name]
        source = max((shapes[a] for a in before[name]), key=len)
        op, shape = layer(name, node, source)
        rank = 0 if op is None else 1 if isinstance(node, (nir.Scale, *POOLS)) else 2
        found = []
        for a in before[name]:
            for way in ways_from(flat, ways, a):
                found += _delayed(name, node, way, source, dt)
        if op is not None:
            found = [
                Way(
                    w.source,
                    op if w.operator is None else compose(name, op, w.operator),
                    w.delay,
                    *((name, rank) if rank >= w.rank else (w.label, w.rank)),
                )
                for w in found
            ]
        bias = layer_bias(name, node, shape)
        if bias is not None:
            found.append(Way(None, Dense(bias[:, None]), 0, name, rank))
        if len(found) > _MAX_WAYS:
            raise BadInput(f"node '{name}': more than {_MAX_WAYS} ways of layers lead to it")
        ways[name] = found
    return ways


def ways_from(flat: Flat, ways: Mapping[str, list[Way]], name: str) -> list[Way]:
    """The ways that end in what comes out of a node."""
    node = flat.nodes[name]
    if name in ways:
        return ways[name]
    if isinstance(node, NEURONS) and not isinstance(node, FIRING):
        raise BadInput(
            f"node '{name}': {type(node).__name__} does not fire; its potential can be an output, "
            "not the input of another node"
        )
    if isinstance(node, nir.Output):
        raise BadInput(f"node '{name}': an output has no node after it")
    return [Way(name, None, 0, "", -1)]


def _delayed(name: str, node: Any, way: Way, shape: Shape, dt: float) -> list[Way]:
    """A way with a Delay node at its end: as many ways as it has different delays."""
    if not isinstance(node, nir.Delay):
        return [way]
    steps = delay_steps(name, node.delay, shape, dt).reshape(-1)
    different = np.unique(steps)
    if way.delay + int(different[-1]) > DELAY_MAX:
        raise BadInput(
            f"node '{name}': a delay of {way.delay + int(different[-1])} steps in all, a connection "
            f"has at most {DELAY_MAX}"
        )
    if len(different) == 1:
        return [replace(way, delay=way.delay + int(different[0]))]
    found = []
    for step in different:
        mask = diagonal((steps == step).astype(np.float64))
        op = mask if way.operator is None else compose(name, mask, way.operator)
        found.append(replace(way, operator=op, delay=way.delay + int(step)))
    return found


def paths_of(name: str, ways: list[Way], shape: Shape, taken: set[str]) -> list[Path]:
    """The ways into a neuron as paths, each under a name of its own: that of its weights' node."""
    paths = []
    for w in ways:
        op = diagonal(np.ones(prod(shape))) if w.operator is None else w.operator
        label = w.label or f"{w.source}.{name}"
        if w.source is None:
            label += ".bias"
        unique, number = label, 2
        while unique in taken:
            unique, number = f"{label}.{number}", number + 1
        taken.add(unique)
        paths.append(Path(unique, w.source, name, op, w.delay))
    return paths
