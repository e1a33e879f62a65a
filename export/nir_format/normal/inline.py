"""Nested NIR graphs → one flat graph, whose nodes are named OUTER.INNER, with checked edges."""

from dataclasses import dataclass
from typing import Any

import nir

from deploy.errors import BadInput

MAX_DEPTH = 32
"""Nested deeper than this no tool writes graphs."""


@dataclass(frozen=True)
class Flat:
    """Nodes by name, none of them a graph, and the edges between them, each once."""

    nodes: dict[str, Any]
    edges: tuple[tuple[str, str], ...]

    def before(self) -> dict[str, list[str]]:
        """The nodes before every node, in the order of the edges."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for a, b in self.edges:
            found[b].append(a)
        return found


def inlined(graph: nir.NIRGraph) -> Flat:
    """The graph with every nested one in its place: an inner Input or Output node becomes edges.

    Raises BadInput naming an edge to a node that is not there, an edge that is there twice, and a
    nested graph of several inputs or outputs, since an edge does not say which of them it means.
    """
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    _inline(graph, "", nodes, edges, 0)
    return Flat(nodes, tuple(edges))


def _inline(
    graph: nir.NIRGraph,
    prefix: str,
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
    depth: int,
) -> tuple[list[str], list[str]]:
    """Add a graph's nodes and edges; returns where the edges into it go, and where those out start."""
    if depth > MAX_DEPTH:
        raise BadInput(f"node '{prefix[:100]}': graphs are nested deeper than {MAX_DEPTH}")
    seen = set()
    for edge in graph.edges:
        for end in edge:
            if end not in graph.nodes:
                raise BadInput(
                    f"edge '{prefix}{edge[0]}' → '{prefix}{edge[1]}': there is no node '{end}'"
                )
        if tuple(edge) in seen:
            raise BadInput(f"edge '{prefix}{edge[0]}' → '{prefix}{edge[1]}': it is there twice")
        seen.add(tuple(edge))
    # A node's ends: where edges into it go, and where those out of it start. An inner Input takes
    # what comes from outside and passes it on; it keeps its place as a node without function.
    ends: dict[str, tuple[list[str], list[str]]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            ends[name] = _inline(node, f"{full}.", nodes, edges, depth + 1)
            continue
        if full in nodes:
            raise BadInput(f"node '{full}': the name is used twice when nested graphs are joined")
        nodes[full] = Wire() if depth and isinstance(node, nir.Input | nir.Output) else node
        ends[name] = [full], [full]
    for before, after in graph.edges:
        for end, side, kind in ((before, 1, "outputs"), (after, 0, "inputs")):
            if len(ends[end][side]) != 1:
                raise BadInput(
                    f"node '{prefix}{end}': the graph in it has {len(ends[end][side])} {kind}, an edge "
                    "does not say which it means"
                )
        edges.append((ends[before][1][0], ends[after][0][0]))
    into = [prefix + n for n, node in graph.nodes.items() if isinstance(node, nir.Input)]
    out = [prefix + n for n, node in graph.nodes.items() if isinstance(node, nir.Output)]
    return into, out


class Wire:
    """A node that passes on the sum of what comes in: an inner Input or Output."""
