"""Bugs of nir, nirtorch, snntorch and libhdf5 that this repository steps around, all in one place.

Each has an entry below and a test that fails once upstream is right; then the entry, its test and
the way around can go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import nir

NOT_FILED = "not filed, as far as known"


@dataclass(frozen=True)
class Bug:
    """library: as on its index, with the version seen. instead: what is done here. issue: public."""

    library: str
    what: str
    instead: str
    issue: str


BUGS = {
    "conv_height": Bug(
        "nir 1.0.8",
        "the output type of a Conv2d takes the height of its kernel for both dimensions",
        "graphs are made without nir's type inference, shapes are worked out in `normal.shapes`",
        "https://github.com/neuromorphs/NIR/issues/58 (other wrong types of Conv2d)",
    ),
    "conv_groups": Bug(
        "nir 1.0.8",
        "the input type of a Conv2d has the channels of one group",
        "as above",
        NOT_FILED,
    ),
    "scalar_type": Bug(
        "nir 1.0.8, snntorch 1.0.0",
        "scalar parameters, which snntorch writes for Synaptic, give a neuron the type []",
        "a scalar is one value for every neuron of the shape before it (`export.nir_format.normal.shapes`)",
        "https://github.com/jeshraghian/snntorch/issues/410",
    ),
    "nested_type_check": Bug(
        "nir 1.0.8",
        "read(type_check=False) checks the types of nested graphs all the same",
        "nodes are built from the entries of the file (`export.nir_format.read.nodes`)",
        "https://github.com/neuromorphs/NIR/pull/167 (which added the argument)",
    ),
    "none_unwritten": Bug(
        "nir 1.0.8",
        "what is None, as the input shape of a Conv2d or metadata may be, cannot be written",
        "`export.nir_format.write.complete` states the shape",
        NOT_FILED,
    ),
    "default_map_wins": Bug(
        "nirtorch 2.6",
        "torch_to_nir's default map replaces the caller's for the same module",
        "`trace` gives it none",
        NOT_FILED,
    ),
    "affine_bias": Bug(
        "nirtorch 2.6",
        "the bias of an Affine is left at random on import",
        "no graph is run through nirtorch here",
        "https://github.com/neuromorphs/NIRTorch/pull/55",
    ),
    "conv_import": Bug(
        "nirtorch 2.6",
        "a Conv2d with groups is imported with input and output channels exchanged",
        "no graph is run through nirtorch here",
        NOT_FILED,
    ),
    "sum_pool_padding": Bug(
        "nirtorch 2.6",
        "the padding of a SumPool2d is dropped on import",
        "no graph is run through nirtorch here",
        NOT_FILED,
    ),
    "branches_out_of_order": Bug(
        "nirtorch 2.6",
        "load, by which Norse and Sinabs read, runs nodes depth first: where two branches meet, the sum "
        "is taken before the second one has run, without it or with what it sent a step before",
        "`in_order` sorts its nodes",
        NOT_FILED,
    ),
    "reset_dropped": Bug(
        "snntorch 1.0.0",
        "export_to_nir drops reset_mechanism and reset_delay: a subtracting neuron comes back as one "
        "that is reset to zero",
        "`neuroclip.convert.resets` refuses or converts what NIR cannot say",
        NOT_FILED,
    ),
    "recurrent_import": Bug(
        "snntorch 1.0.0",
        "import_from_nir leads the input of a recurrent layer through its recurrent weights",
        "recurrent graphs are normalised here (`export.nir_format.normal.normalise`)",
        "https://github.com/jeshraghian/snntorch/issues/290",
    ),
    "hdf5_loops": Bug(
        "libhdf5 1.14",
        "reading a damaged file may never return, or end the process",
        "a supervised child reads (`neuroclip.storage.supervised`)",
        "https://github.com/HDFGroup/hdf5/issues/1707",
    ),
}


def untyped_graph(
    nodes: Mapping[str, Any], edges: list[tuple[str, str]], metadata: Mapping[str, Any]
) -> nir.NIRGraph:
    """A graph whose types nir neither infers nor checks: see conv_height and conv_groups in BUGS."""
    return nir.NIRGraph(dict(nodes), edges, metadata=dict(metadata), type_check=False)


def trace(network: Any, module_map: Mapping[Any, Callable[[Any], nir.NIRNode]]) -> nir.NIRGraph:
    """nirtorch's graph of a torch module, made by `module_map` alone: see default_map_wins in BUGS."""
    import nirtorch

    return nirtorch.torch_to_nir(network, dict(module_map), default_dict=None, type_check=False)


def in_order(module: Any) -> Any:
    """A module of nirtorch.load that runs every node after all that it reads: see
    branches_out_of_order in BUGS. Graphs without cycles only."""
    nodes = module.graph.node_list
    numbers = {id(node): i for i, node in enumerate(nodes)}
    before = {
        i: [numbers[id(source)] for source in module.graph.find_source_nodes_of(node)]
        for i, node in enumerate(nodes)
    }
    module.execution_order = [nodes[i] for i in TopologicalSorter(before).static_order()]
    return module
