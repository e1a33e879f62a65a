"""A SpikeCLIP's image side and images, as a `Deployment`: the whole encoder runs on the chip."""

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.count.ann_baseline import AnnZeros
from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from export.deployment.deployment import (
    Deployment,
    TrainedAnn,
    label_notes,
    seen_notes,
    stated,
    unreadable,
)
from export.deployment.skips import lowerings
from export.frontends.frontend import Request, path_or_name
from export.frontends.host_work import spikeclip_work
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from neuroclip.chip.network import INPUT
from neuroclip.data.images.images import open_images
from neuroclip.data.images.vocabulary import read_labels
from neuroclip.spikeclip.checkpoint import SpikeCheckpoint, load_spikeclip
from neuroclip.spikeclip.chip import require_deployable
from neuroclip.spikeclip.config import SHAPE, SpikeClipConfig
from neuroclip.spikeclip.eight_bits import counted_zeros, in_eight_bits
from neuroclip.spikeclip.model import messages, relabelled, repeated
from neuroclip.spikeclip.wiring import Skips
from neuroclip.text.labels import Labels, required, stands_for

_BATCH = 256


@torch.no_grad()
def from_spikeclip(model: str, request: Request) -> Deployment:
    """A SpikeCLIP (folder or bundled name) on the test part of a data set of images.

    labels: other names for the same encoder, see `read_labels`; accuracy is stated where every class of
    the data has one. data: the digits by default, of a model trained on them. data_root, skip_bad: see
    `open_images`; only the images that run are decoded.
    skips: how the residual stream is lowered (`deploy.program.residual_stream`), by default as a stream
    where the tokenizer has one of stages, else by fan-in. ann: the folder of an ANN of its shape, to set
    beside; of images that either has seen none is taken. Raises BadInput naming the file and the value;
    the paper's variant, whose attention no chip holds, by name; and a stream whose sums no relay holds.
    """
    data, labels, dt = path_or_name(request), request.labels, request.dt
    if request.clip is not None or request.pretrained is not None:
        raise BadInput(f"--clip, --pretrained: {model} is a SpikeCLIP, which needs no CLIP")
    if request.sensor is not None:
        raise BadInput(f"--sensor: {model} is a SpikeCLIP, which sees images")
    checkpoint = load_spikeclip(model)
    try:
        config = require_deployable(checkpoint.model.config)
    except BadInput as error:
        raise BadInput(f"{model}: {error}") from error
    if checkpoint.chip is None:
        raise BadInput(
            f"{model}: aligned only; `neuroclip train spikeclip --stage finetune` it first"
        )
    trained_on = checkpoint.training.get("data", "unknown images")
    if data is None and trained_on != "digits":
        raise BadInput(
            f"{model}: was trained on '{trained_on}', which is not bundled; give images by --data"
        )
    data = "digits" if data is None else data
    beside = None if request.ann is None else _ann_of_shape(request.ann, model, config)
    seen = checkpoint.seen if beside is None else checkpoint.seen | beside.seen
    dataset = open_images(
        data, config.image_size, config.channels, request.seed, request.data_root, request.skip_bad,
        part="test", samples=request.samples, shares=checkpoint.shares, seen=seen,
    )  # fmt: skip
    given, chip = Labels(checkpoint.labels), checkpoint.chip
    if labels is not None:
        given = read_labels(labels)
    names, classes = given.names, dataset.class_names
    found = required(given, classes, data) if labels is None else stands_for(given, classes)
    if labels is not None:
        chip = relabelled(chip, checkpoint.text(names)).eval()
    truth = found[dataset.labels]
    sent = messages(config, torch.from_numpy(dataset.images))
    text = checkpoint.text(names)
    scores = [checkpoint.model.scores(part, text) for part in sent.split(_BATCH)]
    # With stages of 3×3 kernels each reader's own copy of them would take most of the cores.
    skips: Skips = request.skips or ("stream" if config.depths else "fan-in")
    network = chip.network(skips)
    ranges = {INPUT: (0, config.message_max)}
    wiring = chip.wiring()
    graph = to_nir(wiring.network(("readout",)), dt)
    try:
        program, both = lowerings(
            lower(graph, dt=dt, input_ranges=ranges), tuple(wiring.readers), skips
        )
    except BadInput as error:
        raise BadInput(f"{model}: {error}") from error
    last = chip.readout.integer_weight()
    words = len(names) * config.width
    parts = spikeclip_work(config, checkpoint.text_encoder.config, len(names))
    return Deployment(
        model=model,
        data=data,
        # NIR has no graded relays.
        graph=graph if skips == "fan-in" else None,
        program=None if skips == "fan-in" else program,
        network=network,
        inputs={INPUT: repeated(config, sent).numpy().astype(np.int16)},
        input_ranges=ranges,
        labels=stated(given, truth),
        class_names=names,
        predict=_predict,
        float_predictions=torch.cat(scores).argmax(dim=1).numpy(),
        host=tuple(part for part, _ in parts),
        work=tuple(work for _, work in parts if work is not None),
        chip=(
            f"Spikingformer: tokenizer, {config.blocks} blocks of spike-driven attention and MLP, "
            f"skips {'by fan-in' if skips == 'fan-in' else 'as a stream of graded relays'}",
            f"read-out 'text': token mean, time weights, projection and {len(names)} labels in one "
            f"layer of {last.numel()} weights ({words} distinct), all that other labels exchange",
        ),
        notes=unreadable(data, dataset.skipped)
        + seen_notes(seen, dataset.seen, dataset.seen + len(dataset.labels))
        + label_notes(given, classes, found),
        label_layers=("text",),
        skips=both,
        skipped=len(dataset.skipped),
        seen=dataset.seen,
        ann=None if beside is None else _run_ann(beside, sent, names),
    )


def _ann_of_shape(folder: str, model: str, config: SpikeClipConfig) -> SpikeCheckpoint:
    """The ANN in a folder. Raises BadInput where it is none, or of another shape than the model."""
    try:
        found = load_spikeclip(folder)
    except BadInput as error:
        raise BadInput(f"--ann {folder or repr(folder)}: {error}") from error
    own = found.model.config
    if own.variant != "ann":
        raise BadInput(f"--ann {folder}: its variant is '{own.variant}', expected 'ann'")
    for name in SHAPE:
        if getattr(own, name) != getattr(config, name):
            raise BadInput(
                f"--ann {folder}: {name} {getattr(own, name)}, of {model} {getattr(config, name)}"
            )
    return found


def _run_ann(ann: SpikeCheckpoint, sent: torch.Tensor, names: tuple[str, ...]) -> TrainedAnn:
    """What it says in 8 bits of messages [N, C, S, S]; it has one pass, which each step would repeat."""
    rounded, text = in_eight_bits(ann.model), ann.text(names)
    with counted_zeros(rounded) as zeros:
        scores = [rounded.scores(part, text) for part in sent.split(_BATCH)]
    source = f"measured on the ANN of this shape in 8 bits, {len(sent)} samples"
    predictions = torch.cat(scores).argmax(dim=1).numpy()
    return TrainedAnn(AnnZeros(zeros(), zeros(), source), predictions, predictions)


def _predict(trace: Trace, _: slice) -> NDArray[np.int64]:
    held = trace.readout["readout"]
    return held.reshape(*held.shape[:2], -1).sum(axis=2).argmax(axis=1).astype(np.int64)
