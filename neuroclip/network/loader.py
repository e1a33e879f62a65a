"""What a DataLoader or a Dataset of torch's gives, as the arrays that a file of spikes would hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from deploy.errors import BadInput
from deploy.progress import track
from neuroclip.data.events.event_counts import MAX_BYTES


def loader_arrays(data: "DataLoader[Any] | Dataset[Any]") -> dict[str, NDArray[Any]]:
    """{"spikes": [samples, time, *shape], "labels": int64 [samples], "class_names": where it has them}.

    A Dataset gives (spikes [time, *shape], label) each time; a DataLoader batches of them, samples first
    or time first, which the number of labels tells. Class names are the attribute `classes` of the data
    set. Raises BadInput for items of another kind, of different shapes, and for more than 8 GiB.
    """
    batches = _batches(data)
    spikes: list[NDArray[Any]] = []
    labels: list[NDArray[np.int64]] = []
    axes, held = {0, 1}, 0
    for number, (sent, label) in enumerate(track(batches, desc="data", leave=False)):
        axes &= {axis for axis in (0, 1) if sent.ndim > axis and sent.shape[axis] == len(label)}
        if not axes:
            raise BadInput(
                f"loader: batch {number} holds spikes of the shape {sent.shape} and {len(label)} labels; "
                "expected [samples, time, ...] or [time, samples, ...]"
            )
        held += sent.nbytes
        if held > MAX_BYTES:
            raise BadInput(f"loader: more than {MAX_BYTES} bytes; give a Subset of its data set")
        spikes.append(sent)
        labels.append(label)
    if not spikes:
        raise BadInput("loader: it gives no samples")
    if len(axes) > 1:
        raise BadInput(
            f"loader: as many steps as samples in every batch, {spikes[0].shape[0]}, so which axis is "
            "time is not told; take another batch size, or give the data set itself"
        )
    (axis,) = axes
    parts = [np.moveaxis(each, axis, 0) for each in spikes]
    if len({part.shape[1:] for part in parts}) > 1:
        raise BadInput(
            f"loader: samples of the shapes {sorted({part.shape[1:] for part in parts})}; pad or cut "
            "them to one"
        )
    found = {"spikes": np.concatenate(parts), "labels": np.concatenate(labels)}
    names = _classes(data)
    return found if names is None else found | {"class_names": np.array(names)}


def _batches(data: Any) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    one = not isinstance(data, DataLoader)
    items = (
        data
        if not one or isinstance(data, IterableDataset)
        else (data[i] for i in range(len(data)))
    )
    for number, item in enumerate(items):
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise BadInput(
                f"loader: item {number} is a {type(item).__name__}, expected (spikes, label)"
            )
        spikes, label = (
            np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x) for x in item[:2]
        )
        if one:
            spikes, label = spikes[None], label.reshape(-1)
        if label.ndim != 1 or label.dtype.kind not in "iu":
            raise BadInput(
                f"loader: item {number} has labels of type {label.dtype} and shape {label.shape}, "
                "expected integers"
            )
        yield spikes, label.astype(np.int64)


def _classes(data: Any) -> list[str] | None:
    """The names of the classes, of the data set or of that which it is a part of."""
    while data is not None:
        names = getattr(data, "classes", None)
        if isinstance(names, list | tuple) and names:
            return [str(name) for name in names]
        data = getattr(data, "dataset", None)
    return None
