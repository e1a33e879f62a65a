"""A lava-dl `.net` file and a file of spikes, as a `Deployment`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from export.deployment.deployment import Deployment
from export.frontends.program import deployed
from export.net_format.decay import decay_offsets
from export.net_format.file import NetLayer, read_layers
from export.net_format.read import read_net
from neuroclip.data.spikes import Spikes, called, read_spikes, spike_arrays


def from_net(
    model: str | Path, data: str | Spikes | None, samples: int | None, decay: str = "auto"
) -> Deployment:
    """A `.net` file and its spikes (`neuroclip.data.spikes`).

    Beside them may be recorded spikes of layers, `layer1/s` [samples, time, *shape]. decay: what
    to do with stored vDecays: "stored" takes them, "plus-one" adds one to each, "auto" adds one where
    the recordings say so. The input's range is that of the data, on which the proof then rests.
    Raises BadInput naming the file and the value.
    """
    model = Path(model)
    layers = read_layers(model)
    if data is None:
        raise BadInput(f"{model}: a .net file brings no data; give a file of spikes with --data")
    spikes, labels = read_spikes(data)
    spikes, labels = spikes[:samples], None if labels is None else labels[:samples]
    shape = tuple(int(n) for n in spikes.shape[2:])
    message = min(0, int(spikes.min())), max(1, int(spikes.max()))
    program = read_net(model, input_shape=shape, input_range=message)
    name = program.inputs[0].name
    found: tuple[str, ...] = ()
    offsets = {layer.name: 1 for layer in layers} if decay == "plus-one" else {}
    recorded = _recordings(data, len(spikes)) if decay == "auto" else {}
    if recorded:
        try:
            offsets, found = decay_offsets(
                model, {name: spikes}, recorded, input_shape=shape, input_range=message
            )
        except BadInput as error:
            raise BadInput(f"{called(data, whole=True)}: {error}") from error
    if offsets:
        program = read_net(model, input_shape=shape, input_range=message, v_offsets=offsets)
    notes = (*found, *_notes(layers))
    return deployed(model.name, program, called(data), {name: spikes}, labels, notes)


def _recordings(data: str | Spikes, samples: int) -> dict[str, NDArray[Any]]:
    return {
        key.removesuffix("/s"): array[:samples]
        for key, array in spike_arrays(data).items()
        if key.endswith("/s")
    }


def _notes(layers: tuple[NetLayer, ...]) -> list[str]:
    """What the reader of a report should know of how a file was read."""
    found = []
    for layer in layers:
        if layer.kind == "input" and layer.neuron is not None and "weight" in layer.values:
            weight, bias = (
                int(layer.ints(field).flat[0]) if field in layer.values else 0
                for field in ("weight", "bias")
            )
            found.append(
                f"node '{layer.name}': its messages are x·{weight} + {bias} of data x, "
                "which the encoder computes"
            )
        if "delay" in layer.values and "bias" in layer.values and layer.ints("bias").any():
            found.append(
                f"node '{layer.name}': netx delays what enters this layer, lava-dl what leaves it; "
                "with a bias the two differ, and lava-dl's is taken"
            )
        if layer.kind == "dense_rec" and "bias" in layer.values and layer.ints("bias").any():
            found.append(
                f"node '{layer.name}': lava-dl's training adds the bias of a recurrent layer to its "
                "current, the chip (as netx) to its potential"
            )
        if layer.neuron is not None and np.any(layer.neuron.get("wgtExp", 0)):
            found.append(f"node '{layer.name}': netx ignores its wgtExp, which is taken here")
        if layer.neuron is not None and np.any(layer.neuron.get("refDelay", 1) != np.int64(1)):
            found.append(f"node '{layer.name}': netx ignores its refDelay, which is taken here")
        if layer.kind == "average":
            found.append(
                f"node '{layer.name}': v is 128 times the spikes of a class, not their mean"
            )
    return found
