"""A NIR file and its data, as a `Deployment`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, most_active
from export.frontends.spikes import Spikes, called, is_spikes, read_spikes
from export.nir_format.normal.neurons import DEFAULT_DT, Discretisation
from export.nir_format.normal.normalise import normalise
from export.nir_format.read.file import read_nir
from export.nir_format.write.graph import graph_to_nir
from export.quantization.post_training import on_chip

# Of a data set of recordings, calibration takes so many; of a file of spikes, all.
CALIBRATION_RECORDINGS = 20


@dataclass(frozen=True, eq=False)
class _Data:
    """inputs: {input: messages [samples, time, *shape]}."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] = ()


def from_nir(
    model: Path,
    data: str | Spikes | None,
    samples: int | None,
    *,
    calibrate: str | Spikes | None = None,
    dt: float = DEFAULT_DT,
    discretisation: Discretisation = "euler",
    frame_ms: float = 1.0,
    steps: int = 300,
    seed: int = 0,
) -> Deployment:
    """A graph, as it is or quantized, and its data: spikes, event recordings or a data set of them.

    data: spikes (`export.frontends.spikes`), or what `read_event_frames` takes, with frame_ms, steps
    and seed; for a graph of several inputs an `.npz` with an array of each input's name. calibrate: the
    same, for the choice of scales. dt: seconds of one step. discretisation: see
    `export.nir_format.normal.neurons`. The prediction is the most active neuron of the Output node
    called "output", or of the first by name; what the others read is in the program's outputs and
    recordings. An input's range is that of the data, on which the proof then rests.
    Raises BadInput naming the file and the value.
    """
    graph = read_nir(model)
    if data is None:
        raise BadInput(f"{model}: a NIR graph brings no data; give a file of spikes with --data")
    try:
        normalised = normalise(graph, dt=dt, discretisation=discretisation)
        if discretisation != "euler":
            # What follows knows forward Euler only, under which this graph decays as wanted.
            graph = graph_to_nir(normalised, dt)
        output = normalised.readouts[0].source
    except BadInput as error:
        raise BadInput(f"{model.name}: {error}") from error
    names = [source.name for source in normalised.inputs]

    def read(source: str | Spikes, count: int | None) -> _Data:
        if is_spikes(source):
            return _spikes(source, model, names)
        if len(names) > 1:
            raise BadInput(f"{source}: {model.name} has {len(names)} inputs {names}; give an .npz")
        from export.frontends.event_frames import read_event_frames

        messages, labels, class_names = read_event_frames(
            str(source),
            normalised.inputs[0].shape,
            frame_ms=frame_ms,
            steps=steps,
            samples=count,
            seed=seed,
        )
        return _Data({names[0]: messages}, labels, class_names)

    found = read(data, samples)
    inputs = {name: messages[:samples] for name, messages in found.inputs.items()}
    deployment = Deployment(
        model=model.name,
        data=called(data),
        graph=graph,
        network=None,
        inputs=inputs,
        input_ranges={
            name: (min(0, int(messages.min())), max(1, int(messages.max())))
            for name, messages in inputs.items()
        },
        labels=None if found.labels is None else found.labels[:samples],
        class_names=found.class_names,
        predict=lambda trace, _: most_active(trace, output),
        float_predictions=None,
        host=("reading the output",),
        chip=("the whole graph",),
    )
    if calibrate is None:
        return on_chip(deployment, normalised, dt=dt)
    chosen_on = read(calibrate, CALIBRATION_RECORDINGS)
    return on_chip(deployment, normalised, chosen_on.inputs, called(calibrate, whole=True), dt=dt)


def _spikes(source: str | Spikes, model: Path, names: list[str]) -> _Data:
    """The messages of every input of a graph."""
    if len(names) == 1:
        spikes, labels = read_spikes(source)
        return _Data({names[0]: spikes}, labels)
    try:
        found = {name: read_spikes(source, name) for name in names}
    except BadInput as error:
        raise BadInput(f"{model.name}: {len(names)} inputs {names}: {error}") from error
    sizes = {name: spikes.shape[:2] for name, (spikes, _) in found.items()}
    if len(set(sizes.values())) > 1:
        raise BadInput(
            f"{called(source, whole=True)}: the inputs have different samples and steps {sizes}"
        )
    inputs = {name: spikes for name, (spikes, _) in found.items()}
    return _Data(inputs, next(iter(found.values()))[1])
