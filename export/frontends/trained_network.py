"""A network of a person's own that `neuroclip train network` trained, as a `Deployment`."""

from dataclasses import replace
from functools import partial

import torch

from deploy.errors import BadInput
from export.deployment.deployment import Deployment, seen_notes
from export.frontends.frontend import Request
from export.frontends.network import from_network
from neuroclip.network.checkpoint import load_network, message_ids
from neuroclip.network.evaluation import evaluated_part
from neuroclip.network.train import chip_scores, predictions, tensors


def from_trained_network(folder: str, request: Request) -> Deployment:
    """The checkpoint in a folder on the test part of what it was trained on, or on other data.

    The accuracy in floating point is that of the module itself, whose predictions training kept; it is
    not known for samples that were not there. Raises BadInput naming the file and the value.
    """
    for name in ("labels", "skips", "ann"):
        if getattr(request, name) is not None:
            raise BadInput(
                f"--{name}: {folder} is a network of its own classes, without a text encoder"
            )
    held = load_network(folder)
    part = evaluated_part(
        held, folder, request.data, "test", request.data_root, request.skip_bad, request.samples,
        request.seed, request.sensor,
    )  # fmt: skip
    messages = part.messages
    made = from_network(
        held.chip,
        messages.inputs if len(messages.inputs) > 1 else next(iter(messages.inputs.values())),
        messages.labels,
        data=part.name,
        class_names=held.class_names,
        float_predictions=held.evaluated.predictions(message_ids(messages)),
        dt=request.dt,
    )
    untuned = predictions(
        partial(chip_scores, held.quantized), tensors(messages), torch.device("cpu")
    )
    notes = seen_notes(held.seen, part.seen, made.samples + part.seen)
    frames = held.framing
    host = (
        ()
        if frames is None
        else (f"event frames ({frames.steps} of {frames.frame_ms:g} ms, counts, {held.fit})",)
    )
    return replace(
        made,
        model=held.name,
        host=(*host, *made.host),
        notes=(*made.notes, *part.notes, *notes),
        seen=part.seen,
        untuned_predictions=untuned,
    )
