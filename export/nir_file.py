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

DEFAULT_DT = 1e-4
"""Seconds of one step where nothing else is said: snnTorch's, which a NIR file does not carry."""

# A graph of more than this cannot be for one machine; a small file that declares it is hostile.
MAX_GRAPH_BYTES = 4 << 30


def read_nir(path: Path) -> nir.NIRGraph:
    """Read a NIR graph. Raises BadInput, one line naming the file and the entry, for anything that
    is not a whole, self-contained HDF5 file of numbers and names within the size limit."""
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            check_group(path, file, MAX_GRAPH_BYTES, set())
        graph = _read(path)
    except BadInput:
        raise
    except OSError as error:
        reason = error.strerror or "not a whole HDF5 file"
        raise BadInput(f"{path}: cannot read: {reason}") from error
    except Exception as error:
        # nir validates with assertions and bare KeyErrors; to its user all of them mean the same.
        where, cause = _unreadable_node(path) or ("", error)
        text = " ".join(str(cause).split()) or type(cause).__name__
        raise BadInput(f"{path}: {where}not a NIR graph that nir can read: {text}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise BadInput(f"{path}: holds a {type(graph).__name__}, expected a graph")
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


def _read(path: Path) -> Any:
    """The graph, type-checked by nir, which takes a grouped convolution for one of fewer channels
    (nir 1.0.8 infers the input type from the weights alone): a graph with one is checked by us only.
    """
    try:
        return nir.read(path)
    except ValueError:
        with h5py.File(path, "r") as file:
            groups = [
                node["groups"][()] for node in file["node/nodes"].values() if "groups" in node
            ]
        if all(np.size(n) == 1 and int(n) == 1 for n in groups):
            raise
        graph = nir.read(path, type_check=False)
        graph.validate_structure()
        return graph


def _unreadable_node(path: Path) -> tuple[str, Exception] | None:
    """The first node that cannot be read by itself, for the message, and why."""
    name, entry = None, {}
    try:
        with h5py.File(path, "r") as file:
            for name in file["node/nodes"]:
                entry = nir.serialization.hdf2dict(file["node/nodes"][name])
                nir.dict2NIRNode(entry)
    except Exception as error:
        if name is None:
            return None
        kind = f"{entry['type']}: " if isinstance(entry.get("type"), str) else ""
        return f"node '{name}': {kind}", error
    return None


def check_group(
    path: Path, group: h5py.Group, remaining: int, seen: set[int], limit: int = MAX_GRAPH_BYTES
) -> int:
    """Check every entry below a group; returns the bytes that the limit still allows.

    seen: addresses of the groups on the way, since a group may be linked into itself. limit: bytes
    of the whole file, for the message. Raises BadInput naming the file and the entry.
    """
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(link, h5py.HardLink):
            raise BadInput(
                f"{path}: entry '{where}' is a link out of place ({type(link).__name__})"
            )
        entry = group[name]
        if isinstance(entry, h5py.Group):
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise BadInput(f"{path}: entry '{where}' is a group that is linked twice")
            remaining = check_group(path, entry, remaining, seen | {address}, limit)
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
        size = math.prod(int(n) for n in entry.shape or ()) * max(entry.dtype.itemsize, 1)
        if size > remaining:
            raise BadInput(
                f"{path}: entry '{where}' of shape {entry.shape} brings the graph over "
                f"{limit} bytes"
            )
        remaining -= size
    return remaining


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
