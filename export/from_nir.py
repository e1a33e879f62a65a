"""A NIR file and its data, as a `Deployment`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import read_npy, read_npz
from deploy.registers import MESSAGE_MAX, MESSAGE_MIN
from deploy.trace import Trace
from export.deployment import Deployment
from export.nir_file import DEFAULT_DT, read_nir
from export.normalise import normalise, predicting_neuron
from export.post_training import on_chip

_Data = tuple[NDArray[Any], NDArray[np.int64] | None, tuple[str, ...]]
# Of a data set of recordings, calibration takes so many; of a file of spikes, all.
CALIBRATION_RECORDINGS = 20


def from_nir(
    model: Path,
    data: str | Path | None,
    samples: int | None,
    *,
    calibrate: str | Path | None = None,
    dt: float = DEFAULT_DT,
    frame_ms: float = 1.0,
    steps: int = 300,
    seed: int = 0,
) -> Deployment:
    """A graph, as it is or quantized, and its data: spikes, event recordings or a data set of them.

    data: `.npy` [samples, time, ...], `.npz` with `spikes` (and `labels`), or what `read_event_frames`
    takes, with frame_ms, steps and seed. calibrate: the same, for the choice of scales. dt: seconds
    of one step. The input's range is that of the data, on which the proof then rests. Raises BadInput
    naming the file and the value.
    """
    graph = read_nir(model)
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise BadInput(f"{model}: {len(inputs)} inputs; graphs with one input are supported")
    output = predicting_neuron(model, graph)
    if data is None:
        raise BadInput(f"{model}: a NIR graph brings no data; give a file of spikes with --data")
    try:
        normalised = normalise(graph, dt=dt)
    except BadInput as error:
        raise BadInput(f"{model.name}: {error}") from error
    shape = normalised.inputs[0].shape

    def read(source: str | Path, count: int | None) -> _Data:
        if Path(source).suffix in (".npy", ".npz"):
            return *read_spikes(Path(source)), ()
        from export.event_frames import read_event_frames

        return read_event_frames(
            str(source), shape, frame_ms=frame_ms, steps=steps, samples=count, seed=seed
        )

    spikes, labels, class_names = read(data, samples)
    spikes, labels = spikes[:samples], None if labels is None else labels[:samples]
    deployment = Deployment(
        model=model.name,
        data=Path(data).name,
        graph=graph,
        network=None,
        inputs={inputs[0]: spikes},
        input_ranges={inputs[0]: (min(0, int(spikes.min())), max(1, int(spikes.max())))},
        labels=labels,
        class_names=class_names,
        predict=lambda trace, _: _most_active(trace, output),
        float_predictions=None,
        host=("reading the output",),
        chip=("the whole graph",),
    )
    if calibrate is None:
        return on_chip(deployment, normalised, dt=dt)
    chosen_on, _, _ = read(calibrate, CALIBRATION_RECORDINGS)
    return on_chip(deployment, normalised, {inputs[0]: chosen_on}, str(calibrate), dt=dt)


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


def _most_active(trace: Trace, output: str) -> NDArray[np.int64]:
    """The neuron of the output with the highest potential, or, where it fires, the most spikes."""
    values = trace.readout[output] if output in trace.readout else trace.s[output].sum(axis=1)
    flat: NDArray[Any] = values.reshape(len(values), -1)
    return flat.argmax(axis=1).astype(np.int64)
