"""lava-dl's `.net` files (HDF5), as a list of layers whose values are checked but not yet understood.

Neither torch nor Lava is needed, and nothing of a stranger's file is trusted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.storage.hdf5 import read_entries

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
    entries = read_entries(path, "layer", "lava-dl's format")
    try:
        if not entries:
            raise BadInput("no group 'layer' with layers")
        if set(entries) != {str(i) for i in range(len(entries))}:
            raise BadInput(f"layers {sorted(entries)[:9]} are not numbered from 0")
        return tuple(_layer(i, entries[str(i)]) for i in range(len(entries)))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _layer(index: int, group: Any) -> NetLayer:
    name = f"layer{index}"
    if not isinstance(group, dict):
        raise BadInput(f"entry 'layer/{index}' is not a group")
    values: dict[str, Value] = {}
    neuron: dict[str, Value] | None = None
    for field, entry in group.items():
        if not isinstance(entry, dict):
            values[field] = _value(name, field, entry)
        elif field == "neuron":
            neuron = {}
            for inner, data in entry.items():
                if isinstance(data, dict):
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


def _value(name: str, field: str, data: Any) -> Value:
    values: NDArray[Any] = np.asarray(data)
    if values.dtype.kind in "OSU":
        return _text(name, field, values)
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


def _text(name: str, field: str, data: NDArray[Any]) -> str:
    if data.size != 1:
        raise BadInput(f"node '{name}': {field} has shape {data.shape}, expected one text")
    value = data.reshape(-1)[0]
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise BadInput(f"node '{name}': {field} is not text") from None
