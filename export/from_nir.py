"""A NIR file and a file of spikes, as a `Deployment`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npy, read_npz
from deploy.registers import MESSAGE_MAX, MESSAGE_MIN
from export.deployment import Deployment, most_active
from export.nir_file import read_nir


def from_nir(model: Path, data: Path | None, samples: int | None) -> Deployment:
    """A graph and its spikes: `.npy` [samples, time, ...], or `.npz` with `spikes` (and `labels`).

    The input's range is that of the data, on which the proof then rests. Raises BadInput naming the
    file and the value.
    """
    graph = read_nir(model)
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise BadInput(f"{model}: {len(inputs)} inputs; graphs with one input are supported")
    ends = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    # A graph without an output is refused when it is lowered.
    output = next((before for before, node in graph.edges if node in ends), "")
    if data is None:
        raise BadInput(f"{model}: a NIR graph brings no data; give a file of spikes with --data")
    spikes, labels = read_spikes(data)
    spikes, labels = spikes[:samples], None if labels is None else labels[:samples]
    return Deployment(
        model=model.name,
        data=data.name,
        graph=graph,
        network=None,
        inputs={inputs[0]: spikes},
        input_ranges={inputs[0]: (min(0, int(spikes.min())), max(1, int(spikes.max())))},
        labels=labels,
        class_names=(),
        predict=lambda trace, _: most_active(trace, output),
        float_predictions=None,
        host=("reading the output",),
        chip=("the whole graph",),
    )


def read_spikes(path: Path) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """(spikes [samples, time, ...], labels or None) of a `.npy` or `.npz` file."""
    arrays: Mapping[str, NDArray[Any]]
    if path.suffix == ".npy":
        arrays = {"spikes": read_npy(path)}
    elif path.suffix == ".npz":
        arrays = read_npz(path)
    else:
        raise BadInput(f"{path}: spikes are read from .npy and .npz files")
    if "spikes" not in arrays:
        raise BadInput(f"{path}: no array 'spikes' among {sorted(arrays)}")
    spikes = arrays["spikes"]
    if spikes.ndim < 3 or 0 in spikes.shape:
        raise BadInput(f"{path}: 'spikes' has shape {spikes.shape}, expected [samples, time, ...]")
    whole = spikes.dtype.kind in "biu" or (
        spikes.dtype.kind == "f"
        and bool(np.isfinite(spikes).all())
        and bool((spikes == np.rint(spikes)).all())
    )
    if not whole:
        raise BadInput(f"{path}: 'spikes' of type {spikes.dtype} are not integers")
    for value in (spikes.min(), spikes.max()):
        if not MESSAGE_MIN <= value <= MESSAGE_MAX:
            raise BadInput(
                f"{path}: 'spikes' holds {value}, no message of 24 bits "
                f"({MESSAGE_MIN}..{MESSAGE_MAX})"
            )
    spikes = spikes.astype(np.int32)
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != spikes.shape[:1] or labels.dtype.kind not in "iu"):
        raise BadInput(
            f"{path}: 'labels' of shape {labels.shape} and type {labels.dtype}, "
            f"expected {len(spikes)} integers"
        )
    return spikes, None if labels is None else labels.astype(np.int64)
