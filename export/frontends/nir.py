"""A NIR file and its data, as a `Deployment`."""

from pathlib import Path

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, most_active
from export.frontends.spikes import Messages, Spikes, called, input_spikes, is_spikes
from export.nir_format.normal.neurons import DEFAULT_DT, Discretisation
from export.nir_format.normal.normalise import normalise
from export.nir_format.read.file import read_nir
from export.nir_format.write.graph import graph_to_nir
from export.quantization.post_training import on_chip

# Of a data set of recordings, calibration takes so many; of a file of spikes, all.
CALIBRATION_RECORDINGS = 20


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

    def read(source: str | Spikes, count: int | None) -> Messages:
        if is_spikes(source):
            return input_spikes(source, names, model.name)
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
        return Messages({names[0]: messages}, labels, class_names)

    found = read(data, samples).first(samples)
    deployment = Deployment(
        model=model.name,
        data=called(data),
        graph=graph,
        network=None,
        inputs=found.inputs,
        input_ranges=found.ranges,
        labels=found.labels,
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
