"""NIR files: written atomically, and read from strangers, what they declare being checked first."""

import io
import math
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from deploy.errors import BadInput
from deploy.files import atomic_path
from export.nir_read import graph_of

DEFAULT_DT = 1e-4
"""Seconds of one step where nothing else is said: snnTorch's, which a NIR file does not carry."""

# A graph of more than this cannot be for one machine; a small file that declares it is hostile.
MAX_GRAPH_BYTES = 4 << 30
MAX_ENTRIES = 1 << 17
MAX_GROUP_DEPTH = 100
# Many bytes must be stored: weights are compressed a few times, pruned ones a few ten times, and
# only a file made for it holds nothing where it declares gigabytes.
_UNSTORED_BYTES = 64 << 20
_DENSEST = 100


def read_nir(path: Path) -> nir.NIRGraph:
    """Read a NIR graph. Raises BadInput, one line naming the file and the entry, for anything that
    is not a whole, self-contained HDF5 file of numbers and names within the size limit.

    Types are not checked: nir's inference of them is wrong in places, and the passes make their own.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            _check_group(path, file, Budget(), set())
            if not isinstance(file.get("node"), h5py.Group):
                raise BadInput(f"{path}: not a NIR file: it has no group 'node'")
            entries = nir.serialization.hdf2dict(file["node"])
    except BadInput:
        raise
    except OSError as error:
        reason = error.strerror or "not a whole HDF5 file"
        raise BadInput(f"{path}: cannot read: {reason}") from error
    except Exception as error:
        # Of a damaged file h5py raises errors of every kind.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: not a whole HDF5 file: {text[:200]}") from error
    try:
        graph = graph_of(entries)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    for name, node in graph.nodes.items():
        _check_numbers(path, name, node)
    return graph


def write_nir(path: Path, graph: nir.NIRGraph) -> None:
    """Write a NIR file atomically."""
    # Through memory: on a full disk HDF5 ends in errors of its own that no handler can name.
    content = io.BytesIO()
    nir.write(content, graph)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


class Budget:
    """What the entries of a file may still take of memory and time."""

    def __init__(self) -> None:
        self.bytes, self.unstored, self.entries = MAX_GRAPH_BYTES, _UNSTORED_BYTES, MAX_ENTRIES

    def take(self, path: Path, where: str, entry: h5py.Dataset) -> None:
        """Take what reading an entry costs. Raises BadInput where that is more than is left."""
        elements = math.prod(int(n) for n in entry.shape or ())
        size = elements * max(entry.dtype.itemsize, 1)
        if entry.dtype.kind in "OSU" and elements > MAX_ENTRIES:
            size = self.bytes + 1
        self.bytes -= size
        if self.bytes < 0:
            raise BadInput(
                f"{path}: entry '{where}' of shape {entry.shape} brings the graph over "
                f"{MAX_GRAPH_BYTES} bytes"
            )
        stored = entry.id.get_storage_size()
        self.unstored -= max(0, size - _DENSEST * stored)
        if self.unstored < 0:
            raise BadInput(
                f"{path}: entry '{where}' of shape {entry.shape} takes {size} bytes, of which the "
                f"file holds {stored}"
            )


def _check_group(path: Path, group: h5py.Group, budget: Budget, seen: set[int]) -> None:
    """Check every entry below a group before any is read.

    seen: addresses of the groups on the way, since a group may be linked into itself.
    """
    if len(seen) > MAX_GROUP_DEPTH:
        raise BadInput(f"{path}: groups are nested deeper than {MAX_GROUP_DEPTH}")
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name}"[-300:]
        budget.entries -= 1
        if budget.entries < 0:
            raise BadInput(f"{path}: entry '{where}' is one of more than {MAX_ENTRIES}")
        if not isinstance(link, h5py.HardLink):
            raise BadInput(
                f"{path}: entry '{where}' is a link out of place ({type(link).__name__})"
            )
        entry = group[name]
        if isinstance(entry, h5py.Group):
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise BadInput(f"{path}: entry '{where}' is a group that is linked twice")
            _check_group(path, entry, budget, seen | {address})
            continue
        if not isinstance(entry, h5py.Dataset):
            raise BadInput(f"{path}: entry '{where}' is neither a group nor a data set")
        if entry.is_virtual or entry.external:
            raise BadInput(f"{path}: entry '{where}' keeps its data in another file")
        text = h5py.check_string_dtype(entry.dtype) is not None
        if not text and entry.dtype.kind not in "biuf":
            raise BadInput(
                f"{path}: entry '{where}' has type {entry.dtype}, expected numbers or text"
            )
        budget.take(path, where, entry)


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
