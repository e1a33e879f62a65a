"""A chip network of one's own and its spikes, as a `Deployment`: what `to_chip` made, to any target."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from export.deployment.deployment import Deployment
from export.nir_format.write.module import to_nir
from neuroclip.chip.network import INPUT, ChipNetwork


def from_network(
    network: ChipNetwork,
    spikes: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    name: str = "network",
    class_names: tuple[str, ...] = (),
    float_predictions: ArrayLike | None = None,
) -> Deployment:
    """A deployment of a network on integer messages [samples, time, *shape].

    The class predicted is the neuron of the first output with the highest potential, or, where it
    fires, the most spikes. labels, float_predictions: int64 [samples], of the model before it became
    integers. Raises BadInput for messages that are no integers or of another shape.
    """
    messages = np.asarray(spikes)
    if messages.shape[2:] != network.shape or messages.ndim < 3 or 0 in messages.shape:
        raise BadInput(
            f"spikes of the shape {messages.shape}, the network takes [samples, time, "
            f"{', '.join(map(str, network.shape))}]"
        )
    if not (np.isfinite(messages).all() and (messages == np.rint(messages)).all()):
        raise BadInput("spikes: not all of them are integers")
    messages = messages.astype(np.int32)
    for kind, values in (("labels", labels), ("float_predictions", float_predictions)):
        if values is None:
            continue
        given = np.asarray(values)
        if given.shape != messages.shape[:1] or given.dtype.kind not in "iu":
            raise BadInput(
                f"{kind} of the shape {given.shape} and type {given.dtype}, expected {len(messages)} "
                "integers"
            )
    output = network.outputs[0]

    def predict(trace: Trace, _: slice) -> NDArray[np.int64]:
        held = trace.readout[output] if output in trace.readout else trace.s[output].sum(axis=1)
        flat: NDArray[Any] = held.reshape(len(held), -1)
        return flat.argmax(axis=1).astype(np.int64)

    return Deployment(
        model=name,
        data="arrays",
        graph=to_nir(network),
        network=network,
        inputs={INPUT: messages},
        input_ranges={INPUT: (min(0, int(messages.min())), max(1, int(messages.max())))},
        labels=None if labels is None else np.asarray(labels, np.int64),
        class_names=class_names,
        predict=predict,
        float_predictions=None
        if float_predictions is None
        else np.asarray(float_predictions, np.int64),
        host=("reading the output",),
        chip=("the whole network",),
    )
