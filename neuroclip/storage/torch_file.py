"""The tensors of torch's own weight files (`.pt`, `.pth`, `.bin`), read without torch's readers.

`torch.load` runs what a pickle says, and `weights_only=True` has not always held (CVE-2025-32434); of a
TorchScript archive it even runs the code. Here a file is taken for what it is: a zip file of one index,
whose instructions are followed by `plain_pickle` and never run, and of the bytes of each storage, stored
as they are. A TorchScript archive, as OpenAI's CLIP weights are, differs in the index only, which holds
modules in place of a dict; the code beside it is not read.

    data.pkl    {name: tensor} or a module; a tensor names its storage, offset, size and stride
    data/KEY    the bytes of a storage

Files of torch before 1.6 are one stream, see `torch_old`.
"""

import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from deploy.errors import BadInput
from deploy.reading import opened_zip, require_memory
from neuroclip.storage.plain_pickle import Called, Persistent, are_sizes, value_of
from neuroclip.storage.torch_old import MAX_INDEX, is_old, old_index, said, storage_of

# Names of tensors: more than any network has, fewer than a made-up one can multiply.
_MAX_NAMES = 1 << 17
# The bytes of a storage, by its key.
Content = Callable[[str], bytes]


def torch_tensors(path: Path) -> dict[str, Any]:
    """What a torch file names: tensors by their names, and other plain values as they are.

    A dict under "state_dict" stands for the whole; names of a module's parts are joined by dots, and a
    leading "module." is dropped. Nothing in the file is run. Raises BadInput naming the file and the
    entry: damaged, compressed, of no torch, or more than the file holds.
    """
    try:
        if is_old(path):
            return _named(path, *old_index(path))
        with opened_zip(path, "torch file") as archive:
            return _named(path, *_zip_index(path, archive))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not an index of tensors: {error}") from error


def _zip_index(path: Path, archive: zipfile.ZipFile) -> tuple[Any, Content]:
    """The value of the index, and the bytes of a storage by its key."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    indices = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(indices) != 1:
        raise BadInput(
            f"{path}: a zip file with {len(indices)} entries FOLDER/data.pkl, expected one"
        )
    folder = indices[0].removesuffix("data.pkl")
    read = [e for name, e in entries.items() if name.startswith(f"{folder}data")]
    if sum(entry.file_size for entry in read) > path.stat().st_size or any(
        entry.compress_type != zipfile.ZIP_STORED for entry in read
    ):
        raise BadInput(f"{path}: its tensors are compressed or overlap, as torch writes none")
    if (order := entries.get(f"{folder}byteorder")) and archive.read(order) != b"little":
        raise BadInput(f"{path}: entry '{order.filename}' is not 'little'")
    if entries[indices[0]].file_size > MAX_INDEX:
        raise BadInput(f"{path}: an index of {entries[indices[0]].file_size} bytes")
    require_memory(f"{path}: what it holds", sum(entry.file_size for entry in read))
    return value_of(archive.read(indices[0])), lambda key: archive.read(f"{folder}data/{key}")


def _named(path: Path, value: Any, content: Content) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) and not _is_module(value):
        raise BadInput(f"{path}: holds {said(value)}, expected named tensors")
    storages: dict[str, torch.Tensor] = {}

    def storage(named: Persistent) -> torch.Tensor:
        key, dtype, count = storage_of(named)
        if (known := f"{dtype} {key}") not in storages:
            held = bytearray(content(key))
            made = torch.frombuffer(held, dtype=dtype) if held else None
            storages[known] = torch.empty(0, dtype=dtype) if made is None else made
        if len(storages[known]) != count:
            raise ValueError(f"storage {key} has {len(storages[known])} values, its index {count}")
        return storages[known]

    found: dict[str, Any] = {}
    seen = 0
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        prefix, holder = waiting.pop()
        for name, each in _parts(holder).items():
            full = f"{prefix}{name}"
            seen += 1
            if seen > _MAX_NAMES:
                raise ValueError(f"more than {_MAX_NAMES} names")
            if _is_module(each):
                waiting.append((f"{full}.", each))
                continue
            if isinstance(each, Called):
                each = _tensor(full, each, storage)
            # What else a module has (sizes, flags) is its own business; in a dict it is an error to show.
            if isinstance(each, torch.Tensor) or isinstance(holder, dict):
                found[full.removeprefix("module.")] = each
    return found


def _parts(holder: Any) -> Mapping[str, Any]:
    parts = holder if isinstance(holder, dict) else holder.state
    return parts if isinstance(parts, dict) else {}


def _is_module(value: Any) -> bool:
    return isinstance(value, Called) and value.name.startswith("__torch__")


def _tensor(name: str, made: Called, storage: Any) -> Any:
    """A tensor from what an index says of it; what is none stays as it is."""
    if made.name == "torch._utils _rebuild_parameter":
        made = made.arguments[0]
    if not isinstance(made, Called) or made.name != "torch._utils _rebuild_tensor_v2":
        return made
    named, offset, size, stride = made.arguments[:4]
    if not isinstance(named, Persistent):
        raise ValueError(f"tensor '{name}' is in {said(named)}, expected a storage")
    values = storage(named)
    if not (are_sizes((offset,)) and are_sizes(size) and are_sizes(stride)):
        raise ValueError(f"tensor '{name}' has an offset, a size or a stride that is none")
    if len(size) != len(stride):
        raise ValueError(f"tensor '{name}' has {len(size)} sizes and {len(stride)} strides")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # A stride of 0 repeats a value: a tensor larger than all that its storage holds is none of a model.
    if math.prod(size) and (last >= len(values) or math.prod(size) > len(values)):
        raise ValueError(f"tensor '{name}' of size {size} lies outside its storage")
    return torch.as_strided(values, size, stride, offset)
