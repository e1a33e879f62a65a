"""NIR files: written atomically, and read from strangers, what they declare being checked first."""

import io
from pathlib import Path
from typing import Any

import nir
import numpy as np

from deploy.errors import BadInput
from deploy.files import atomic_path
from export.complete import completed
from export.nir_entries import read_entries
from export.nir_read import graph_of

DEFAULT_DT = 1e-4
"""Seconds of one step where nothing else is said: snnTorch's, which a NIR file does not carry."""


def read_nir(path: Path) -> nir.NIRGraph:
    """Read a NIR graph. Raises BadInput, one line naming the file and the entry, for anything that
    is not a whole, self-contained HDF5 file of numbers and names within the size limit.

    Types are not checked: nir's inference of them is wrong in places, and the passes make their own.
    """
    path = Path(path)
    entries = read_entries(path)
    try:
        graph = graph_of(entries)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    for name, node in graph.nodes.items():
        _check_numbers(path, name, node)
    return graph


def write_nir(path: Path, graph: nir.NIRGraph) -> None:
    """Write a NIR file atomically. Raises BadInput where the graph's shapes do not chain."""
    # Through memory: on a full disk HDF5 ends in errors of its own that no handler can name.
    content = io.BytesIO()
    nir.write(content, completed(graph))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _check_numbers(path: Path, name: str, node: Any) -> None:
    if isinstance(node, nir.NIRGraph):
        for inner, child in node.nodes.items():
            _check_numbers(path, f"{name}.{inner}", child)
        return
    for field, value in vars(node).items():
        array = value if isinstance(value, np.ndarray) else None
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = array[~np.isfinite(array)].flat[0]
            raise BadInput(f"{path}: node '{name}': {field} holds {bad}")
