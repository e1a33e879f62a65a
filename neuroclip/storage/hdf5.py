"""HDF5 files of strangers, read by libhdf5 in a supervised child and handed over as plain bytes.

Whatever is read of any of them goes through here: a group of a network (`read_entries`), or a few entries
by their names (`read_hdf5`, `entry_of`, `node_of`: event files). Before an entry is read, it is checked that
it is in this file, of numbers or text, and no larger than what the file can hold.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deploy.errors import BadInput
from deploy.reading import memory_limit, require_regular
from neuroclip.storage import ecf
from neuroclip.storage.supervised import Died, supervised

with suppress(ImportError):
    # Where it is installed: the compressions that event files use and libhdf5 does not have.
    import hdf5plugin  # noqa: F401

# What needs more than this cannot be for one machine; a small file that declares it is hostile.
MAX_BYTES = 4 << 30
MAX_ENTRIES = 1 << 17
MAX_GROUP_DEPTH = 100
# Many bytes must be stored: weights and events are compressed a few times, pruned weights a few ten
# times, and only a file made for it holds nothing where it declares gigabytes.
_UNSTORED_BYTES = 64 << 20
_DENSEST = 100
# Of processor time, for a file of any size (on a busy machine the fork of a process that holds torch took
# 0.6 s of its own) and for each byte of it, and of memory beside the data.
_SECONDS, _SECONDS_PER_BYTE = 2.0, 0.5e-6
_MEMORY = 512 << 20


def read_hdf5(path: Path, read: Callable[[h5py.File], dict[str, Any]]) -> dict[str, Any]:
    """What `read` makes of a file in a child process: text, numbers, arrays, dicts of them.

    Raises BadInput, one line naming the file: what `read` raises, unreadable, damaged, or a file that
    libhdf5 crashes on, loops on, or takes more memory and time for than its size explains.
    """

    def work() -> dict[str, Any]:
        with h5py.File(path, "r") as file:
            return read(file)

    return read_in_child(path, work, "a whole HDF5 file")


def read_in_child(path: Path, read: Callable[[], dict[str, Any]], kind: str) -> dict[str, Any]:
    """What `read` makes of a file in a child process, as `read_hdf5`; kind: what it should have been."""
    try:
        size = require_regular(path)
        content = supervised(
            lambda: _packed_file(path, read, kind),
            _SECONDS + _SECONDS_PER_BYTE * size,
            _MEMORY + 3 * min(most_bytes(), _UNSTORED_BYTES + _DENSEST * size),
        )
    except Died as error:
        raise BadInput(f"{path}: not {kind}: {error}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror}") from error
    return _unpacked(content)


def most_bytes() -> int:
    """What is read of one file at most: it is handed over, and then held twice."""
    return min(MAX_BYTES, memory_limit() // 3)


def read_entries(path: Path, group: str = "node", kind: str = "a NIR file") -> dict[str, Any]:
    """A group of a file, by default that of a NIR graph: text, numbers, arrays, dicts for groups.

    Raises BadInput, one line naming the file and the entry, for anything that is not a whole,
    self-contained HDF5 file of numbers and names within the size limit.
    """

    def read(file: h5py.File) -> dict[str, Any]:
        import nir

        _check_group(path, file, Budget(path), set())
        if not isinstance(file.get(group), h5py.Group):
            raise BadInput(f"{path}: not {kind}: it has no group '{group}'")
        return dict(nir.serialization.hdf2dict(file[group]))

    return read_hdf5(path, read)


def node_of(path: Path, file: h5py.File, where: str) -> Any:
    """What lies at a place in an open file, or None. Raises BadInput where a link leads elsewhere."""
    node: Any = file
    for name in where.split("/"):
        if not isinstance(node, h5py.Group) or node.get(name, getlink=True) is None:
            return None
        node = _linked(path, node, name)
    return node


def entry_of(path: Path, file: h5py.File, where: str) -> h5py.Dataset | None:
    """The data set at a place in an open file, or None where there is none; see `Budget.take` too.

    Raises BadInput where its data are not in the file itself, or in a form that cannot be read.
    """
    node = node_of(path, file, where)
    if not isinstance(node, h5py.Dataset) or node.shape is None:
        return None
    _check_own(path, f"/{where}", node)
    return node


def _packed_file(path: Path, read: Callable[[], dict[str, Any]], kind: str) -> bytes:
    """What is read of a file, or the line that refuses it, packed."""
    try:
        return _packed(read())
    except BadInput as error:
        refusal = str(error)
    except OSError as error:
        refusal = f"{path}: cannot read: {error.strerror or f'not {kind}'}"
    except Exception as error:
        # Of a damaged file h5py raises errors of every kind.
        text = " ".join(str(error).split()) or type(error).__name__
        refusal = f"{path}: not {kind}: {text[:200]}"
    return json.dumps({"refusal": refusal}).encode() + b"\n"


class Budget:
    """What the entries of a file may still take of memory and time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes, self.unstored, self.entries = most_bytes(), _UNSTORED_BYTES, MAX_ENTRIES

    def take(self, where: str, entry: h5py.Dataset) -> None:
        """Take what reading an entry costs. Raises BadInput where that is more than is left."""
        elements = math.prod(int(n) for n in entry.shape or ())
        # To read one element, libhdf5 makes the whole chunk that it lies in.
        elements = max(elements, math.prod(entry.chunks or ())) if elements else 0
        size = elements * max(entry.dtype.itemsize, entry.id.get_type().get_size(), 1)
        if entry.dtype.kind in "OSU" and elements > MAX_ENTRIES:
            size = self.bytes + 1
        self.bytes -= size
        if self.bytes < 0:
            raise BadInput(
                f"{self.path}: entry '{where}' of shape {entry.shape} brings what is read over "
                f"{most_bytes()} bytes"
            )
        stored = entry.id.get_storage_size()
        self.unstored -= max(0, size - _DENSEST * stored)
        if self.unstored < 0:
            raise BadInput(
                f"{self.path}: entry '{where}' of shape {entry.shape} takes {size} bytes, of which "
                f"the file holds {stored}"
            )


def _check_group(path: Path, group: h5py.Group, budget: Budget, seen: set[int]) -> None:
    """Check every entry below a group before any is read.

    seen: addresses of the groups on the way, since a group may be linked into itself.
    """
    if len(seen) > MAX_GROUP_DEPTH:
        raise BadInput(f"{path}: groups are nested deeper than {MAX_GROUP_DEPTH}")
    for name in group:
        where = _place(group, name)
        budget.entries -= 1
        if budget.entries < 0:
            raise BadInput(f"{path}: entry '{where}' is one of more than {MAX_ENTRIES}")
        entry = _linked(path, group, name)
        if isinstance(entry, h5py.Group):
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen:
                raise BadInput(f"{path}: entry '{where}' is a group that is linked twice")
            _check_group(path, entry, budget, seen | {address})
            continue
        if not isinstance(entry, h5py.Dataset):
            raise BadInput(f"{path}: entry '{where}' is neither a group nor a data set")
        _check_own(path, where, entry)
        text = h5py.check_string_dtype(entry.dtype) is not None
        if not text and entry.dtype.kind not in "biuf":
            raise BadInput(
                f"{path}: entry '{where}' has type {entry.dtype}, expected numbers or text"
            )
        budget.take(where, entry)


def _place(group: h5py.Group, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"[-300:]


def _linked(path: Path, group: h5py.Group, name: str) -> Any:
    """What a name in a group leads to. Raises BadInput where that is not in the group itself."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise BadInput(
            f"{path}: entry '{_place(group, name)}' is a link out of place ({type(link).__name__})"
        )
    return group[name]


def _check_own(path: Path, where: str, entry: h5py.Dataset) -> None:
    """Raise BadInput where an entry's data lie in another file, or in a form that cannot be read."""
    if entry.is_virtual or entry.external:
        raise BadInput(f"{path}: entry '{where}' keeps its data in another file")
    if ecf.compressed(entry):
        return
    recipe = entry.id.get_create_plist()
    for i in range(recipe.get_nfilters()):
        code, _, _, name = recipe.get_filter(i)
        if code == ecf.FILTER:
            raise BadInput(
                f"{path}: entry '{where}' is compressed by filter {code} (Prophesee's ECF) and is no "
                "table of x, y, p, t under it alone, as Prophesee writes them"
            )
        if not h5py.h5z.filter_avail(code):
            # Not every writer leaves a name.
            called = name.decode(errors="replace") or "no name"
            raise BadInput(
                f"{path}: entry '{where}' is compressed by filter {code} ({called}), which is not "
                "installed here; it may be in the package hdf5plugin: pip install hdf5plugin"
            )


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


def _unpacked(content: bytes) -> dict[str, Any]:
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
