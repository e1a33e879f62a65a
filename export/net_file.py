"""lava-dl's `.net` files (HDF5), as a list of layers whose values are checked but not yet understood.

Read with h5py alone: neither torch nor Lava is needed, and nothing of a stranger's file is trusted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from export.nir_file import check_group

# The largest published network holds 7 MB. A file cannot hold more than about a thousand times its
# own size: that is the best ratio of deflate, the compression that every HDF5 library has.
MAX_NET_BYTES = 1 << 30
_MAX_RATIO = 1032

Ints = NDArray[np.int64]
Value = Ints | str


@dataclass(frozen=True, eq=False)
class NetLayer:
    """One entry `layer/INDEX` of a file.

    name: what our populations are called after. kind: its `type`. values, neuron: every number as
    int64 in its stored shape, every text as str; neuron is None where the layer has none.
    """

    index: int
    name: str
    kind: str
    values: Mapping[str, Value]
    neuron: Mapping[str, Value] | None

    def refuse(self, what: str) -> BadInput:
        """The error that this layer cannot be taken, and why."""
        return BadInput(f"node '{self.name}': {what}")

    def ints(self, field: str) -> Ints:
        """A field of whole numbers. Raises BadInput where it is missing or text."""
        value = self.values.get(field)
        if value is None or isinstance(value, str):
            raise self.refuse(f"its field '{field}' is missing")
        return value


def read_layers(path: Path) -> tuple[NetLayer, ...]:
    """The layers of a `.net` file, in order.

    Raises BadInput, one line naming the file and the entry, for what is not a whole, self-contained
    HDF5 file of numbers and text within the size limit, with layers numbered from 0.
    """
    path = Path(path)
    try:
        limit = min(MAX_NET_BYTES, _MAX_RATIO * path.stat().st_size)
        with h5py.File(path, "r") as file:
            check_group(path, file, limit, set(), limit)
            return _layers(path, file)
    except BadInput as error:
        raise (
            error if str(error).startswith(f"{path}: ") else BadInput(f"{path}: {error}")
        ) from error
    except OSError as error:
        reason = error.strerror or "not a whole HDF5 file"
        raise BadInput(f"{path}: cannot read: {reason}") from error
    except Exception as error:
        # h5py has errors of its own for every kind of damaged bytes.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: not a .net file that h5py can read: {text}") from error


def _layers(path: Path, file: h5py.File) -> tuple[NetLayer, ...]:
    group = file.get("layer")
    if not isinstance(group, h5py.Group) or not len(group):
        raise BadInput(f"{path}: no group 'layer' with layers; not lava-dl's format")
    if set(group) != {str(i) for i in range(len(group))}:
        raise BadInput(f"{path}: layers {sorted(group)[:9]} are not numbered from 0")
    found = []
    for index in range(len(group)):
        entry = group[str(index)]
        if not isinstance(entry, h5py.Group):
            raise BadInput(f"{path}: entry 'layer/{index}' is not a group")
        found.append(_layer(index, entry))
    return tuple(found)


def _layer(index: int, group: h5py.Group) -> NetLayer:
    name = f"layer{index}"
    values: dict[str, Value] = {}
    neuron: dict[str, Value] | None = None
    for field, entry in group.items():
        if isinstance(entry, h5py.Dataset):
            values[field] = _value(name, field, entry)
        elif field == "neuron":
            neuron = {}
            for inner, data in entry.items():
                if not isinstance(data, h5py.Dataset):
                    raise BadInput(f"node '{name}': its field 'neuron/{inner}' is not a value")
                neuron[inner] = _value(name, f"neuron/{inner}", data)
        else:
            # Weights of complex neurons have two parts.
            raise BadInput(f"node '{name}': its field '{field}' has parts, which is not supported")
    kind = values.pop("type", None)
    if not isinstance(kind, str):
        raise BadInput(f"node '{name}': its field 'type' is missing")
    own = values.pop("name", name)
    if not isinstance(own, str):
        raise BadInput(f"node '{name}': its field 'name' is not text")
    return NetLayer(index, own, kind, values, neuron)


def _value(name: str, field: str, data: h5py.Dataset) -> Value:
    if h5py.check_string_dtype(data.dtype) is not None:
        return _text(name, field, data)
    values: NDArray[Any] = np.asarray(data[()])
    if values.dtype.kind == "f":
        # lava-dl stores its integers as floats.
        whole = np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)
        if _training_only(field):
            return np.zeros(0, np.int64)
        if not whole.all():
            bad = values[~whole].flat[0] if values.ndim else values[()]
            raise BadInput(f"node '{name}': {field} holds {bad}, expected whole numbers")
    elif values.dtype.kind not in "biu" or (
        values.size and not -(2**31) <= int(values.min()) <= int(values.max()) < 2**31
    ):
        raise BadInput(f"node '{name}': {field} holds numbers that do not fit 32 bits")
    return values.astype(np.int64)


def _training_only(field: str) -> bool:
    """Whether a field shapes surrogate gradients only: it may be a fraction, and no chip sees it."""
    return field in ("neuron/tauRho", "neuron/scaleRho")


def _text(name: str, field: str, data: h5py.Dataset) -> str:
    if math.prod(data.shape or ()) != 1:
        raise BadInput(f"node '{name}': {field} has shape {data.shape}, expected one text")
    value = data[()] if data.shape == () else data[(0,) * data.ndim]
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise BadInput(f"node '{name}': {field} is not text") from None
