"""A chip network of one's own and its spikes, as a `Deployment`: what `to_chip` made, to any target."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, most_active
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.write.module import to_nir
from neuroclip.chip.network import ChipNetwork


def from_network(
    network: ChipNetwork,
    spikes: ArrayLike | Mapping[str, ArrayLike],
    labels: ArrayLike | None = None,
    *,
    data: str = "arrays",
    class_names: tuple[str, ...] = (),
    float_predictions: ArrayLike | None = None,
    dt: float = DEFAULT_DT,
) -> Deployment:
    """A deployment of a network on integer messages [samples, time, *shape], of each input by name.

    The class predicted is the neuron of the first output with the highest potential, or, where it
    fires, the most spikes. labels, float_predictions: int64 [samples], of the model before it became
    integers. data: what the messages are called in reports. Raises BadInput for messages that are no
    integers or of another shape.
    """
    given = spikes if isinstance(spikes, Mapping) else {next(iter(network.inputs)): spikes}
    inputs = {name: _messages(network, given, name) for name in network.inputs}
    first = next(iter(inputs.values()))
    if len({sent.shape[:2] for sent in inputs.values()}) > 1:
        sizes = {name: sent.shape[:2] for name, sent in inputs.items()}
        raise BadInput(f"spikes: the inputs have different samples and steps {sizes}")
    if network.timesteps not in (None, first.shape[1]):
        raise BadInput(
            f"spikes of {first.shape[1]} steps: the network was read on {network.timesteps}, over which a "
            "bias of its read-out is spread; convert it on a sample of as many"
        )
    for kind, values in (("labels", labels), ("float_predictions", float_predictions)):
        if values is None:
            continue
        array = np.asarray(values)
        if array.shape != first.shape[:1] or array.dtype.kind not in "iu":
            raise BadInput(
                f"{kind} of the shape {array.shape} and type {array.dtype}, expected {len(first)} "
                "integers"
            )
    output = network.outputs[0]
    return Deployment(
        model="network",
        data=data,
        graph=to_nir(network, dt),
        network=network,
        inputs=inputs,
        input_ranges={n: (min(0, int(x.min())), max(1, int(x.max()))) for n, x in inputs.items()},
        labels=None if labels is None else np.asarray(labels, np.int64),
        class_names=class_names,
        predict=lambda trace, _: most_active(trace, output),
        float_predictions=None
        if float_predictions is None
        else np.asarray(float_predictions, np.int64),
        host=("reading the output",),
        chip=("the whole network",),
        notes=network.notes,
    )


def _messages(network: ChipNetwork, given: Mapping[str, ArrayLike], name: str) -> NDArray[np.int32]:
    """What an input is sent: integers of its shape."""
    called = "spikes" if len(network.inputs) == 1 else f"spikes of '{name}'"
    if name not in given:
        raise BadInput(f"{called}: there are none; the network takes {list(network.inputs)}")
    messages: NDArray[Any] = np.asarray(given[name])
    shape = network.inputs[name]
    if messages.shape[2:] != shape or messages.ndim < 3 or 0 in messages.shape:
        raise BadInput(
            f"{called} of the shape {messages.shape}, the network takes [samples, time, "
            f"{', '.join(map(str, shape))}]"
        )
    if not (np.isfinite(messages).all() and (messages == np.rint(messages)).all()):
        raise BadInput(f"{called}: not all of them are integers")
    return messages.astype(np.int32)
