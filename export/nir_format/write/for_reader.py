"""A NIR file for one reader: the graph in its dialect, under names and in an order that it gets right."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import nir

from deploy.errors import BadInput
from export.nir_format.write.dialects import DIALECTS
from export.nir_format.write.file import write_nir

_CALLS = {
    "snntorch": "snntorch.import_nir.import_from_nir({read})",
    "norse": "norse.torch.from_nir({read}, dt={dt})",
    "sinabs": "sinabs.nir.from_nir({read}, batch_size=SAMPLES), then for every layer with a spike_fn: "
    "spike_fn = sinabs.activation.SingleSpike, reset_fn = sinabs.activation.MembraneReset(), "
    "min_v_mem = None",
}
# These go by nirtorch.load: see branches_out_of_order in `export.nir_format.upstream_bugs`.
_DEPTH_FIRST = ("norse", "sinabs")


def write_for(path: Path, graph: nir.NIRGraph, reader: str, dt: float) -> None:
    """Write a graph for a reader, one of `DIALECTS`, whose steps are of dt seconds.

    Nodes are called nNUMBER_NAME: readers take their names for attributes, and files sort by them. Raises
    BadInput for a graph of several inputs or outputs, and as its dialect does.
    """
    made = DIALECTS[reader](graph, dt)
    for kind in (nir.Input, nir.Output):
        found = [name for name, node in made.nodes.items() if isinstance(node, kind)]
        if len(found) != 1:
            raise BadInput(f"{kind.__name__} nodes {', '.join(found)}: {reader} reads exactly one")
    before = {name: [a for a, b in made.edges if b == name] for name in made.nodes}
    order = list(TopologicalSorter(before).static_order())  # a dialect has no cycles
    rank = {name: i for i, name in enumerate(order)}
    edges = sorted(made.edges, key=lambda edge: (rank[edge[0]], rank[edge[1]]))
    width = len(str(len(order)))
    names = {
        name: f"n{i:0{width}}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}" for name, i in rank.items()
    }
    nodes = {names[name]: made.nodes[name] for name in order}
    renamed = [(names[a], names[b]) for a, b in edges]
    write_nir(path, nir.NIRGraph(nodes, renamed, type_check=False))


def call_for(path: Path, reader: str, dt: float) -> str:
    """How the reader is called to load such a file, and what is then to be set."""
    checked = ""
    try:
        graph = nir.read(path)
    except ValueError:  # nir checks types that the reader does not ask for
        graph, checked = nir.read(path, type_check=False), ", type_check=False"
    call = _CALLS[reader].format(read=f"nir.read('{path.name}'{checked})", dt=float(dt))
    if reader in _DEPTH_FIRST and (late := _late(graph)) is not None:
        call += (
            "; then export.nir_format.upstream_bugs.in_order of the module, which else would run "
            f"'{late[0]}' before '{late[1]}', which it reads"
        )
    return call


def _late(graph: nir.NIRGraph) -> tuple[str, str] | None:
    """(node, source): the first node that a depth-first walk comes to before all that it reads."""
    first = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    met: dict[str, None] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in met:
            continue
        late = [a for a, b in graph.edges if b == name and a not in met]
        if late:
            return name, late[0]
        met[name] = None
        waiting += [b for a, b in reversed(graph.edges) if a == name]
    return None
