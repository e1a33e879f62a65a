"""NIR files, written atomically."""

import io
from pathlib import Path

import nir

from deploy.files import atomic_path
from export.nir_format.write.complete import completed


def write_nir(path: str | Path, graph: nir.NIRGraph) -> None:
    """Write a NIR file atomically. Raises BadInput where the graph's shapes do not chain."""
    # Through memory: on a full disk HDF5 ends in errors of its own that no handler can name.
    path = Path(path)
    content = io.BytesIO()
    nir.write(content, completed(graph))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())
