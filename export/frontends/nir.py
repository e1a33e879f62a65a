"""A NIR file and its data, as a `Deployment`."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.errors import BadInput
from deploy.hardware.chip import Chip
from deploy.map.core.fits import require_room
from export.deployment.deployment import Deployment, most_active
from export.frontends.calibration import apart
from export.graph.graph import Graph
from export.graph.time_scale import dt_note, long_note
from export.nir_format.normal.neurons import DEFAULT_DT, Discretisation
from export.nir_format.normal.normalise import normalise
from export.nir_format.read.file import read_nir
from export.nir_format.write.graph import graph_to_nir
from export.quantization.post_training import inexact, on_chip
from neuroclip.data.spikes import Messages, Spikes, called, input_spikes, is_spikes


def from_nir(
    model: str | Path,
    data: str | Spikes | None,
    samples: int | None,
    *,
    calibrate: str | Spikes | None = None,
    dt: float = DEFAULT_DT,
    discretisation: Discretisation = "euler",
    frame_ms: float = 1.0,
    steps: int = 300,
    seed: int = 0,
    sensor: tuple[int, int] | None = None,
    room: Chip | None = None,
) -> Deployment:
    """A graph, as it is or quantized, and its data: spikes, event recordings or a data set of them.

    data: spikes (`neuroclip.data.spikes`), or what `read_event_frames` takes, with frame_ms, steps
    and seed; for a graph of several inputs an `.npz` with an array of each input's name. calibrate: the
    same, for the choice of scales. dt: seconds of one step. discretisation: see
    `export.nir_format.normal.neurons`. The prediction is the most active neuron of the Output node
    called "output", or of the first by name; what the others read is in the program's outputs and
    recordings. An input's range is that of the data, on which the proof then rests. Calibration never
    sees a sample that is evaluated (`export.frontends.calibration`); where it is given the same data,
    it takes the samples after those evaluated, and a note says so. room: see `Request`.
    Raises BadInput naming the file and the value, and CheckFailed for more neurons than there is room for.
    """
    model = Path(model)
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
    if room is not None:
        require_room({n.name: math.prod(n.shape) for n in normalised.neurons}, room)
    names = [source.name for source in normalised.inputs]

    notes: dict[str, None] = {}

    def read(source: str | Spikes, count: int | None) -> Messages:
        from neuroclip.data.events.event_counts import holds_events, read_event_frames

        if isinstance(source, Mapping) or (is_spikes(source) and not holds_events(Path(source))):
            return input_spikes(source, names, model.name)
        if len(names) > 1:
            raise BadInput(f"{source}: {model.name} has {len(names)} inputs {names}; give an .npz")
        messages, labels, class_names, told = read_event_frames(
            str(source),
            normalised.inputs[0].shape,
            frame_ms=frame_ms,
            steps=steps,
            samples=count,
            seed=seed,
            sensor=sensor,
        )
        notes.update(dict.fromkeys(told))
        return Messages({names[0]: messages}, labels, class_names)

    chosen = None
    if calibrate is not None and inexact(normalised, {}) is not None:
        found, chosen = apart(read, data, calibrate, samples)
    else:
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
        notes=(*filter(None, (long_note(normalised, dt),)), *notes),
        silent_note=dt_note(normalised, dt),
    )
    if chosen is None:
        return _on_chip(deployment, normalised, dt=dt)
    deployment = replace(deployment, notes=(*deployment.notes, *chosen.notes))
    return _on_chip(deployment, normalised, chosen.inputs, chosen.name, chosen.positions, dt=dt)


def _on_chip(deployment: Deployment, graph: Graph, *calibration: Any, dt: float) -> Deployment:
    """`on_chip`, with a word on the graph's time constants where no registers hold it."""
    try:
        return on_chip(deployment, graph, *calibration, dt=dt)
    except BadInput as error:
        note = long_note(graph, dt)
        raise BadInput(f"{error}; {note}" if note else str(error)) from error
