"""Safetensors files of strangers: the head is checked before the library sees the file.

    8 bytes, little-endian    the length of the head
    head                      JSON: {name: {dtype, shape, data_offsets}}, and text under "__metadata__"
    data                      the bytes of the tensors, one after the other

The library takes the last of two entries of one name, and makes what the head says it has.
"""

import math
import os
import struct
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.decode import converted, decoded
from deploy.errors import BadInput
from deploy.reading import opened, require_memory

# Some hundred bytes a tensor.
_MAX_HEAD = 16 << 20
_METADATA = "__metadata__"
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "I64": 64, "U64": 64, "F64": 64, "F8_E4M3": 8, "F8_E5M2": 8,
}  # fmt: skip


class _Entry(Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def check_safetensors(path: Path) -> None:
    """Raise BadInput naming the file and the entry: cut, an entry twice or over another, bytes of none."""
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEAD, size - 8):
            raise BadInput(
                f"{path}: not a readable safetensors file: a head of {length} bytes in {size}"
            )
        text = stream.read(length)
    require_memory(f"{path}: what it holds", size)
    try:
        head = decoded(text, dict[str, Any])
        entries = [_entry(name, each) for name, each in head.items() if name != _METADATA]
        at = 0
        for begin, end, name in sorted(entries):
            if begin != at:
                raise BadInput(f"tensor '{name}' begins at byte {begin}, expected {at}")
            at = end
        if at != size - 8 - length:
            raise BadInput(f"its tensors end at byte {at} of {size - 8 - length}")
        converted(head.get(_METADATA, {}), dict[str, str], _METADATA)
    except BadInput as error:
        raise BadInput(f"{path}: not a readable safetensors file: {error}") from error


def _entry(name: str, value: Any) -> tuple[int, int, str]:
    """Where a tensor begins and ends."""
    entry = converted(value, _Entry, name)
    begin, end = entry.data_offsets
    if entry.dtype not in _BITS:
        raise BadInput(f"tensor '{name}' is of type {entry.dtype!r}, which is not known")
    if len(entry.shape) > 32 or not all(0 <= n < 1 << 40 for n in entry.shape):
        raise BadInput(f"tensor '{name}' has a shape that is none")
    needed = math.prod(entry.shape) * _BITS[entry.dtype] // 8
    if not 0 <= begin <= end or end - begin != needed:
        raise BadInput(f"tensor '{name}' takes {needed} bytes, it says {begin} to {end}")
    return begin, end, name
