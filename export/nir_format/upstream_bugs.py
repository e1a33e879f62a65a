"""Ways around bugs of nir and nirtorch; `docs/reference/upstream-bugs.md` lists them and others by name."""

from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from typing import Any

import nir


def untyped_graph(
    nodes: Mapping[str, Any], edges: list[tuple[str, str]], metadata: Mapping[str, Any]
) -> nir.NIRGraph:
    """A graph whose types nir neither infers nor checks: see conv_height and conv_groups."""
    return nir.NIRGraph(dict(nodes), edges, metadata=dict(metadata), type_check=False)


def trace(network: Any, module_map: Mapping[Any, Callable[[Any], nir.NIRNode]]) -> nir.NIRGraph:
    """nirtorch's graph of a torch module, made by `module_map` alone: see default_map_wins."""
    import nirtorch

    return nirtorch.torch_to_nir(network, dict(module_map), default_dict=None, type_check=False)


def in_order(module: Any) -> Any:
    """A module of nirtorch.load that runs every node after all that it reads: see
    branches_out_of_order. Graphs without cycles only."""
    nodes = module.graph.node_list
    numbers = {id(node): i for i, node in enumerate(nodes)}
    before = {
        i: [numbers[id(source)] for source in module.graph.find_source_nodes_of(node)]
        for i, node in enumerate(nodes)
    }
    module.execution_order = [nodes[i] for i in TopologicalSorter(before).static_order()]
    return module
