"""A graph as nir can write it: every shape stated, and numbers in place of arrays without dimension."""

import copy
from typing import Any

import nir
import numpy as np

from export.nir_format.normal.inline import inlined
from export.nir_format.normal.layers import CONVOLUTIONS
from export.nir_format.normal.shapes import shapes_of
from export.nir_format.normal.topology import depths
from export.nir_format.upstream_bugs import untyped_graph


def completed(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The same graph, with the input shape of each convolution and flattening, numbers for arrays of
    no dimension, and no None in metadata. Raises BadInput where the shapes do not chain."""
    flat = inlined(graph)
    before = flat.before()
    shapes = shapes_of(flat, before, depths(flat))
    changed: dict[int, Any] = {}
    for name, node in flat.nodes.items():
        numbers = {
            k: x[()] for k, x in vars(node).items() if isinstance(x, np.ndarray) and not x.shape
        }
        if numbers:
            changed[id(node)] = copy.copy(node)
            vars(changed[id(node)]).update(numbers)
        source = max((shapes[a] for a in before[name]), key=len, default=())
        if isinstance(node, CONVOLUTIONS) and node.input_shape is None:
            changed[id(node)] = copy.copy(changed.get(id(node), node))
            line = isinstance(node, nir.Conv1d)
            changed[id(node)].input_shape = source[-1] if line else source[-2:]
        elif isinstance(node, nir.Flatten) and node.input_type.get("input") is None:
            changed[id(node)] = copy.copy(node)
            changed[id(node)].input_type = {"input": np.array(source)}
    return _rebuilt(graph, changed)


def _rebuilt(graph: nir.NIRGraph, changed: dict[int, Any]) -> nir.NIRGraph:
    nodes = {
        name: _rebuilt(node, changed)
        if isinstance(node, nir.NIRGraph)
        else changed.get(id(node), node)
        for name, node in graph.nodes.items()
    }
    metadata = {key: value for key, value in graph.metadata.items() if value is not None}
    return untyped_graph(nodes, graph.edges, metadata)
