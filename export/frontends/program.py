"""A `Program`, or the file of one, and its spikes, as a `Deployment`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.file import load_program
from deploy.program.program import Program
from export.deployment.deployment import Deployment, most_active
from neuroclip.data.spikes import Spikes, called, input_spikes


def from_program(
    model: str | Path | Program, data: str | Spikes | None, samples: int | None = None
) -> Deployment:
    """A program, whatever kinds of neurons and connections are in it, and its spikes.

    The prediction is the most active neuron of its first output. Raises BadInput naming the file and
    the value.
    """
    program = model if isinstance(model, Program) else load_program(Path(model))
    name = "program" if isinstance(model, Program) else Path(model).name
    if data is None:
        raise BadInput(f"{name}: a program brings no data; give it spikes")
    if not program.outputs:
        raise BadInput(f"{name}: it has no output to read")
    found = input_spikes(data, [node.name for node in program.inputs], name).first(samples)
    return deployed(name, program, called(data), found.inputs, found.labels)


def deployed(
    name: str,
    program: Program,
    data: str,
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[np.int64] | None,
    notes: tuple[str, ...] = (),
) -> Deployment:
    """A program that is run as it is. name, data: what the model and the spikes are called."""
    output = program.outputs[0].source
    return Deployment(
        model=name,
        data=data,
        graph=None,
        network=None,
        inputs=inputs,
        input_ranges={n.name: (int(n.low.min()), int(n.high.max())) for n in program.inputs},
        labels=labels,
        class_names=(),
        predict=lambda trace, _: most_active(trace, output),
        float_predictions=None,
        host=("reading the output",),
        chip=("the whole network",),
        program=program,
        notes=notes,
    )
