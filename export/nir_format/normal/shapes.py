"""The shape after every node of a flat graph, worked out here: nir's own inference is wrong in places."""

from collections import deque
from collections.abc import Mapping
from math import prod
from typing import Any

import nir
import numpy as np

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.nir_format.normal.inline import Flat, Wire
from export.nir_format.normal.layers import MAX_NEURONS, layer, spreadable
from export.nir_format.normal.neurons import NEURONS, own_shape, without_batch


def shapes_of(
    flat: Flat, before: Mapping[str, list[str]], depth: Mapping[str, int]
) -> dict[str, Shape]:
    """The shape after every node, worked out here: nir's own inference is wrong in places.

    A node's shape follows from those before it. In a loop, where one waits for itself, what is
    known of the nearest neuron decides, and its own parameters where nothing is.
    """
    after: dict[str, list[str]] = {name: [] for name in flat.nodes}
    missing = {name: len(befores) for name, befores in before.items()}
    for b, befores in before.items():
        for a in befores:
            after[a].append(b)
    shapes: dict[str, Shape] = {}
    ready = deque(n for n in sorted(flat.nodes, key=lambda n: (depth[n], n)) if not before[n])
    loops = deque(
        n
        for n in sorted(flat.nodes, key=lambda n: (depth[n], n))
        if isinstance(flat.nodes[n], NEURONS)
    )
    while True:
        while ready:
            name = ready.popleft()
            if name in shapes:
                continue
            known = [shapes[a] for a in before[name] if a in shapes]
            shapes[name] = _shape(name, flat.nodes[name], known)
            for b in after[name]:
                missing[b] -= 1
                if missing[b] == 0:
                    ready.append(b)
        while loops and loops[0] in shapes:
            loops.popleft()
        # Of the neurons that wait for themselves, the first that something is known of.
        first = next(
            (
                n
                for n in loops
                if n not in shapes
                and (any(a in shapes for a in before[n]) or own_shape(n, flat.nodes[n]))
            ),
            None,
        )
        if first is None:
            break
        ready.append(first)
    unknown = [n for n in flat.nodes if n not in shapes]
    if unknown:
        raise BadInput(f"node '{min(unknown)}': its shape follows from nothing in the graph")
    for a, b in flat.edges:
        if isinstance(flat.nodes[b], (*NEURONS, Wire)) and prod(shapes[a]) != prod(shapes[b]):
            raise BadInput(
                f"node '{b}': the nodes before it have different shapes, '{a}' {shapes[a]}, "
                f"its own is {shapes[b]}"
            )
    return shapes


def _shape(name: str, node: Any, known: list[Shape]) -> Shape:
    if isinstance(node, nir.Input):
        stated = np.atleast_1d(np.asarray(node.input_type["input"]))
        if not stated.size or stated.dtype.kind not in "iu" or (stated < 1).any():
            raise BadInput(f"node '{name}': the input has shape {_brief(stated)}")
        if prod(int(n) for n in stated) > MAX_NEURONS or stated.ndim > 1 or stated.size > 8:
            raise BadInput(
                f"node '{name}': shape {_brief(stated)} has more than {MAX_NEURONS} values"
            )
        return without_batch(tuple(int(n) for n in stated))
    if isinstance(node, NEURONS):
        own = own_shape(name, node)
        # A convolution says more about the shape than a dense layer does.
        best = max(known, key=len) if known else own
        assert best is not None
        if own and prod(own) != prod(best) and spreadable(own, best) is None:
            raise BadInput(
                f"node '{name}': its parameters have {prod(own)} values for {prod(best)} neurons"
            )
        if own and prod(own) == prod(best) and len(own) > len(best):
            best = own
        if prod(best) > MAX_NEURONS:
            raise BadInput(f"node '{name}': shape {best} has more than {MAX_NEURONS} values")
        return best
    if len({prod(shape) for shape in known}) != 1:
        raise BadInput(
            f"node '{name}': the nodes before it have different shapes {sorted(set(known))}"
        )
    longest = max(known, key=len)
    if not isinstance(node, nir.Output):
        return layer(name, node, longest)[1]
    stated = node.output_type.get("output")
    if stated is not None and prod(int(n) for n in np.atleast_1d(stated)) != prod(longest):
        raise BadInput(f"node '{name}': shape {_brief(stated)}, the node before it has {longest}")
    return longest


def _brief(value: Any) -> str:
    text = str(np.asarray(value).tolist())
    return text if len(text) < 60 else text[:57] + "..."
