"""NIR files, read from strangers: what they declare is checked first."""

from pathlib import Path
from typing import Any

import nir
import numpy as np

from deploy.errors import BadInput
from export.nir_format.normal.neurons import INFINITE
from export.nir_format.read.nodes import graph_of
from neuroclip.storage.hdf5 import read_entries


def read_nir(path: str | Path) -> nir.NIRGraph:
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


def _check_numbers(path: Path, name: str, node: Any) -> None:
    if isinstance(node, nir.NIRGraph):
        for inner, child in node.nodes.items():
            _check_numbers(path, f"{name}.{inner}", child)
        return
    for field, value in vars(node).items():
        array = value if isinstance(value, np.ndarray) else None
        if array is None or array.dtype.kind != "f":
            continue
        allowed = np.isfinite(array) | ((field in INFINITE) & np.isposinf(array))
        if not allowed.all():
            bad = array[~allowed].flat[0]
            raise BadInput(f"{path}: node '{name}': {field} holds {bad}")
