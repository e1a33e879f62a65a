"""The weight files of torch before 1.6: one stream of pickles, then the bytes of each storage in turn.

    a magic number, a version, the byte order and sizes of types     three pickles
    {name: tensor}; a tensor names its storage, offset, size, stride  a pickle
    the keys of the storages, in order                                a pickle
    for each key: the number of its values, int64, and their bytes

As in `torch_file`, the pickles are followed by `plain_pickle` and never run.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from deploy.errors import BadInput
from deploy.reading import opened, read_content
from neuroclip.storage.plain_pickle import Called, Persistent, are_sizes, value_of

MAX_INDEX = 64 << 20
"""Bytes; an index holds a hundred or so a tensor, and one of more than this is none."""
# Such files are of 2020 and before; a larger one is saved anew.
_MAX_BYTES = 4 << 30
# torch/serialization.py
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}


def storage_of(named: Persistent) -> tuple[str, torch.dtype, int]:
    """Key, type and number of values of the storage that an index names. Raises ValueError for others."""
    kind, maker, key, _, count, *view = named.name
    if kind != "storage" or not isinstance(maker, Called) or maker.name not in _STORAGES:
        raise ValueError(f"a storage of {said(maker)}")
    if view not in ([], [None]) or not are_sizes((count,)):
        raise ValueError(f"storage {key} is a view or has no number of values")
    return str(key), _STORAGES[maker.name], count


def is_old(path: Path) -> bool:
    """Whether a file begins as a pickle does, and as no zip file. Raises BadInput where it cannot be read."""
    with opened(path) as stream:
        return stream.read(1) == b"\x80"


def old_index(path: Path) -> tuple[Any, Callable[[str], bytes]]:
    """The value of the index of an old file, and the bytes of a storage by its key.

    Raises BadInput, and ValueError and its like as `value_of` does: not to be read, or damaged.
    """
    held = memoryview(read_content(path, _MAX_BYTES, "a weight file"))
    stream = BytesIO(held[:MAX_INDEX])
    if value_of(stream) != _MAGIC or value_of(stream) != _PROTOCOL:
        raise BadInput(f"{path}: no weight file of torch's; save its tensors as .safetensors")
    if value_of(stream).get("little_endian") is not True:
        raise BadInput(f"{path}: its bytes are not little-endian")
    value = value_of(stream)
    named = {key: (dtype, count) for key, dtype, count in map(storage_of, _persistent(value))}
    places: dict[str, slice] = {}
    keys, at = value_of(stream), stream.tell()
    for key in keys:
        dtype, count = named[key]
        if at + 8 > len(held) or int.from_bytes(held[at : at + 8], "little") != count:
            raise ValueError(f"storage {key} does not begin with its {count} values")
        places[key] = slice(at + 8, at + 8 + count * dtype.itemsize)
        at = places[key].stop
    if at != len(held) or places.keys() != named.keys():
        raise ValueError(f"its storages take {at} of {len(held)} bytes")
    return value, lambda key: held[places[key]].tobytes()


def _persistent(value: Any) -> list[Persistent]:
    """Every storage that a value names."""
    found, seen, waiting = [], set(), [value]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Persistent):
            found.append(each)
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        elif isinstance(each, Called):
            waiting += [each.arguments, each.state]
    return found


def said(value: Any) -> str:
    """What an error calls a value that an index holds."""
    return value.name if isinstance(value, Called) else type(value).__name__
