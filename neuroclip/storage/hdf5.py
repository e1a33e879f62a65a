"""The entries of an HDF5 file, read by libhdf5 in a supervised child and handed over as plain bytes."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from deploy.errors import BadInput
from neuroclip.storage.supervised import Died, supervised

# A graph of more than this cannot be for one machine; a small file that declares it is hostile.
MAX_GRAPH_BYTES = 4 << 30
MAX_ENTRIES = 1 << 17
MAX_GROUP_DEPTH = 100
# Many bytes must be stored: weights are compressed a few times, pruned ones a few ten times, and
# only a file made for it holds nothing where it declares gigabytes.
_UNSTORED_BYTES = 64 << 20
_DENSEST = 100
# Of processor time, for a file of any size (on a busy machine the fork of a process that holds torch took
# 0.6 s of its own) and for each byte of it, and of memory beside the data.
_SECONDS, _SECONDS_PER_BYTE = 2.0, 0.5e-6
_MEMORY = 512 << 20


def read_entries(path: Path, group: str = "node", kind: str = "a NIR file") -> dict[str, Any]:
    """A group of a file, by default that of a NIR graph: text, numbers, arrays, dicts for groups.

    Raises BadInput, one line naming the file and the entry, for anything that is not a whole,
    self-contained HDF5 file of numbers and names within the size limit.
    """
    try:
        if not path.is_file():
            reason = "not a file" if path.exists() else "No such file or directory"
            raise BadInput(f"{path}: cannot read: {reason}")
        size = path.stat().st_size
        content = supervised(
            lambda: _packed_file(path, group, kind),
            _SECONDS + _SECONDS_PER_BYTE * size,
            _MEMORY + 3 * min(MAX_GRAPH_BYTES, _UNSTORED_BYTES + _DENSEST * size),
        )
    except Died as error:
        raise BadInput(f"{path}: not a whole HDF5 file: {error}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror}") from error
    return _unpacked(path, content)


def _packed_file(path: Path, group: str, kind: str) -> bytes:
    """What a file holds, or the line that refuses it, packed."""
    try:
        with h5py.File(path, "r") as file:
            _check_group(path, file, _Budget(), set())
            if not isinstance(file.get(group), h5py.Group):
                raise BadInput(f"{path}: not {kind}: it has no group '{group}'")
            return _packed(nir.serialization.hdf2dict(file[group]))
    except BadInput as error:
        refusal = str(error)
    except OSError as error:
        refusal = f"{path}: cannot read: {error.strerror or 'not a whole HDF5 file'}"
    except Exception as error:
        # Of a damaged file h5py raises errors of every kind.
        text = " ".join(str(error).split()) or type(error).__name__
        refusal = f"{path}: not a whole HDF5 file: {text[:200]}"
    return json.dumps({"refusal": refusal}).encode() + b"\n"


class _Budget:
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


def _check_group(path: Path, group: h5py.Group, budget: _Budget, seen: set[int]) -> None:
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


def _packed(entries: dict[str, Any]) -> bytes:
    """One line of JSON that describes every entry, then the bytes of the arrays among them."""
    described: list[Any] = []
    arrays: list[bytes] = []
    for keys, value in _flat(entries, []):
        if isinstance(value, dict | str):
            described.append([keys, value])
            continue
        array = np.asarray(value)
        if array.dtype.kind in "OSU":
            described.append([keys, None, "text", array.shape, _decoded(array.tolist())])
        else:
            described.append([keys, None, array.dtype.str, array.shape])
            arrays.append(np.ascontiguousarray(array).tobytes())
    return b"\n".join([json.dumps({"entries": described}).encode(), b"".join(arrays)])


def _flat(entries: dict[str, Any], keys: list[str]) -> Iterator[tuple[list[str], Any]]:
    for key, value in entries.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, [*keys, key])
        else:
            yield [*keys, key], value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _unpacked(path: Path, content: bytes) -> dict[str, Any]:
    head, _, data = content.partition(b"\n")
    described = json.loads(head)
    if "refusal" in described:
        raise BadInput(described["refusal"])
    found: dict[str, Any] = {}
    start = 0
    for keys, value, *array in described["entries"]:
        if array and array[0] == "text":
            value = np.array(array[2], dtype=object).reshape(array[1])
        elif array:
            dtype, shape = np.dtype(array[0]), tuple(array[1])
            value = np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
            start += value.nbytes
            value = value if shape else value[()]
        group = found
        for key in keys[:-1]:
            group = group.setdefault(key, {})
        group[keys[-1]] = value
    return found
