"""Which nodes of a flat graph come before which: distances, orders, cycles."""

from collections import deque
from collections.abc import Mapping
from graphlib import CycleError

import nir

from deploy.errors import BadInput
from deploy.program.order import cycle, in_order
from export.nir_format.normal.inline import Flat
from export.nir_format.normal.layers import LAYERS


def depths(flat: Flat) -> dict[str, int]:
    """Edges from the nearest input; every node must have one, and there must be some."""
    after: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for a, b in flat.edges:
        after[a].append(b)
    depth = {n: 0 for n, node in flat.nodes.items() if isinstance(node, nir.Input)}
    if not depth:
        raise BadInput("the graph has no Input node")
    if not any(isinstance(node, nir.Output) for node in flat.nodes.values()):
        raise BadInput("the graph has no Output node")
    waiting = deque(depth)
    while waiting:
        a = waiting.popleft()
        for b in after[a]:
            if b not in depth:
                depth[b] = depth[a] + 1
                waiting.append(b)
    unreached = sorted(set(flat.nodes) - set(depth))
    if unreached:
        raise BadInput(f"node '{unreached[0]}': no input reaches it")
    return depth


def linear_order(flat: Flat, before: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The linear nodes, each after every one that leads to it without a neuron between."""
    linear = {n for n, node in flat.nodes.items() if isinstance(node, LAYERS)}
    try:
        return in_order({n: [a for a in before[n] if a in linear] for n in sorted(linear)})
    except CycleError as error:
        names = cycle(error)
        named = ", ".join(f"'{n}'" for n in names[:5]) + (", …" if len(names) > 5 else "")
        raise BadInput(f"nodes {named}: a cycle without a neuron") from error
