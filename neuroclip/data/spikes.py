"""Spikes: the integer messages that a network is sent, in a file or as arrays.

A `.npy` file holds [samples, time, ...]; a `.npz` file, as arrays do, `spikes` of that shape, or an
array for each input of the network under its name, and perhaps `labels` [samples] and the
`class_names` that they number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.registers import MESSAGE_MAX, MESSAGE_MIN
from deploy.errors import BadInput
from deploy.files import read_npy, read_npz
from deploy.reading import memory_limit

# Messages are converted, compared and sent on: what they take while a network runs.
_COPIES = 6

# Arrays that are no spikes.
_OF_CLASSES = ("labels", "class_names")

Arrays = Mapping[str, NDArray[Any]]
Spikes = Path | Arrays


@dataclass(frozen=True, eq=False)
class Messages:
    """inputs: {input: messages [samples, time, *shape]}; labels: int64 [samples], where known."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] = ()

    def first(self, samples: int | None) -> "Messages":
        """The first samples, or all."""
        inputs = {name: x[:samples] for name, x in self.inputs.items()}
        labels = None if self.labels is None else self.labels[:samples]
        return Messages(inputs, labels, self.class_names)

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """{input: its smallest and largest message}, 0 and 1 included."""
        return {n: (min(0, int(x.min())), max(1, int(x.max()))) for n, x in self.inputs.items()}


def is_spikes(source: str | Spikes) -> bool:
    """Whether a source is arrays or a file of them, rather than recordings."""
    return isinstance(source, Mapping) or Path(source).suffix in (".npy", ".npz")


def called(source: str | Spikes, *, whole: bool = False) -> str:
    """The name of a source for reports, or its whole path."""
    if isinstance(source, Mapping):
        return "arrays"
    return str(source) if whole else Path(source).name


def spike_arrays(source: str | Spikes) -> Arrays:
    """Every array of a source. Raises BadInput for a file of another kind."""
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    if path.suffix == ".npy":
        return {"spikes": read_npy(path, memory_limit() // _COPIES)}
    if path.suffix == ".npz":
        return read_npz(path, memory_limit() // _COPIES)
    raise BadInput(f"{path}: spikes are read from .npy and .npz files")


def input_spikes(source: str | Spikes, names: list[str], model: str) -> Messages:
    """The messages of every input of a network. Raises BadInput naming the file and the input."""
    if len(names) == 1:
        spikes, labels = read_spikes(source)
        return Messages({names[0]: spikes}, labels)
    try:
        found = {name: read_spikes(source, name) for name in names}
    except BadInput as error:
        raise BadInput(f"{model}: {len(names)} inputs {names}: {error}") from error
    sizes = {name: spikes.shape[:2] for name, (spikes, _) in found.items()}
    if len(set(sizes.values())) > 1:
        raise BadInput(
            f"{called(source, whole=True)}: the inputs have different samples and steps {sizes}"
        )
    inputs = {name: spikes for name, (spikes, _) in found.items()}
    return Messages(inputs, next(iter(found.values()))[1])


def all_spikes(source: str | Spikes) -> Messages:
    """The messages of a source whose network is not known: of one input, called "spikes", or of each.

    Raises BadInput as `input_spikes` does.
    """
    arrays = spike_arrays(source)
    names = [name for name in arrays if name not in _OF_CLASSES]
    found = input_spikes(source, ["spikes"] if "spikes" in names or not names else names, "model")
    return replace(
        found, class_names=_class_names(arrays, found.labels, called(source, whole=True))
    )


def _class_names(arrays: Arrays, labels: NDArray[np.int64] | None, path: str) -> tuple[str, ...]:
    """The names that the data bring, or the numbers of the labels."""
    named = arrays.get("class_names")
    if labels is None:
        return ()
    if int(labels.min()) < 0:
        raise BadInput(f"{path}: 'labels' holds {labels.min()}; classes are counted from 0")
    if named is None:
        return tuple(map(str, range(int(labels.max()) + 1)))
    if named.ndim != 1 or named.dtype.kind != "U":
        raise BadInput(
            f"{path}: 'class_names' is {named.dtype} of shape {named.shape}, expected text"
        )
    if int(labels.max()) >= len(named):
        raise BadInput(
            f"{path}: 'labels' holds {labels.max()}, and there are {len(named)} class names"
        )
    return tuple(map(str, named))


def read_spikes(
    source: str | Spikes, name: str = "spikes"
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """(spikes [samples, time, ...], labels or None) of arrays, or of a `.npy` or `.npz` file.

    name: of the array, where there are several. Raises BadInput naming the file and the value.
    """
    arrays, path = spike_arrays(source), called(source, whole=True)
    if name not in arrays:
        raise BadInput(f"{path}: no array '{name}' among {sorted(arrays)}")
    spikes = arrays[name]
    if spikes.ndim < 3 or 0 in spikes.shape:
        raise BadInput(f"{path}: '{name}' has shape {spikes.shape}, expected [samples, time, ...]")
    whole = spikes.dtype.kind in "biu" or (
        spikes.dtype.kind == "f"
        and bool(np.isfinite(spikes).all())
        and bool((spikes == np.rint(spikes)).all())
    )
    if not whole:
        raise BadInput(f"{path}: '{name}' of type {spikes.dtype} are not integers")
    for value in (spikes.min(), spikes.max()):
        if not MESSAGE_MIN <= value <= MESSAGE_MAX:
            raise BadInput(
                f"{path}: '{name}' holds {value}, no message of 24 bits "
                f"({MESSAGE_MIN}..{MESSAGE_MAX})"
            )
    # Small types stay: frames of many events take a quarter of what 32 bits do.
    small = spikes.dtype.kind in "iu" and spikes.dtype.itemsize < 4
    spikes = spikes if small else spikes.astype(np.int32)
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != spikes.shape[:1] or labels.dtype.kind not in "iu"):
        raise BadInput(
            f"{path}: 'labels' of shape {labels.shape} and type {labels.dtype}, "
            f"expected {len(spikes)} integers"
        )
    return spikes, None if labels is None else labels.astype(np.int64)
