"""A trained adapter and event recordings, as a `Deployment`. The only door that needs torch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.count.ann_baseline import AnnZeros
from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.report.charts.maps import shrunk
from deploy.report.sections.run.activity import MAX_SAMPLES
from export.deployment.deployment import (
    Deployment,
    TrainedAnn,
    label_notes,
    seen_notes,
    stated,
    unreadable,
)
from export.frontends.frontend import Request, path_or_name
from export.frontends.host_work import adapter_work
from export.nir_format.write.module import to_nir
from neuroclip.adapter.checkpoint import Checkpoint, clip_of, load_checkpoint
from neuroclip.adapter.eight_bits import EightBitAnn, zeros
from neuroclip.adapter.model import ChipAdapter, relabelled
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import encode_text
from neuroclip.clip.spec import BUNDLED, ClipSpec
from neuroclip.data.events.catalogue import open_dataset, without_bad
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.frames import FrameOptions, frames
from neuroclip.data.events.recording import read_recording
from neuroclip.data.images.told import require_recordings
from neuroclip.data.images.vocabulary import read_labels
from neuroclip.data.split import to_draw
from neuroclip.text.labels import Labels, required, stands_for


def from_checkpoint(model: str, request: Request) -> Deployment:
    """An adapter (folder or bundled name) on the test split of a data set, or on one recording.

    labels: other class names for the same adapter, see `read_labels`; accuracy is stated where every
    class of the data has one. data_root: where data sets lie. skip_bad: leave out what cannot be read.
    clip, pretrained: see `ClipSpec` and `clip_of`. sensor: width and height of recordings that do not
    say them. Raises BadInput naming the file and the value.
    """
    data, labels, seed, sensor = path_or_name(request), request.labels, request.seed, request.sensor
    if request.skips is not None:
        raise BadInput("--skips: MODEL has no residual skips; for a SpikeCLIP")
    if request.ann is not None:
        raise BadInput("--ann: for a SpikeCLIP; an adapter's is trained with it, `train --ann`")
    checkpoint = load_checkpoint(model)
    clip, pretrained = request.clip, request.pretrained
    spec = None if clip is None and pretrained is None else ClipSpec(clip or BUNDLED, pretrained)
    encoder = clip_of(checkpoint, spec)
    data = "digits" if data is None else data
    require_recordings(data, request.data_root)
    one = Path(data).is_file()
    alone = _one_recording(Path(data), sensor) if one else None
    dataset = open_dataset(data, seed, request.data_root, sensor) if alone is None else alone
    reasons: tuple[str, ...] = ()
    if request.skip_bad:
        dataset, reasons = without_bad(dataset, ("test",))
    given, adapter = Labels(checkpoint.labels), checkpoint.chip_adapter
    if labels is not None:
        given = read_labels(labels)
    names, classes = given.names, dataset.class_names
    found = required(given, classes, data) if labels is None else stands_for(given, classes)
    if labels is not None:
        text = torch.from_numpy(encode_text(encoder, names, checkpoint.template))
        adapter = relabelled(adapter, text).eval()
        checkpoint.float_adapter.text = text
        if checkpoint.ann is not None:
            checkpoint.ann.text = text
    seen = checkpoint.seen | encoder.seen
    known_test = dataset if one else dataset.without(seen, "test")
    left_out = len(dataset.test) - len(known_test.test)
    indices = to_draw(known_test.test, request.samples, seed)[: request.samples]
    if not len(indices):
        raise BadInput(f"{data}: the model has seen all {left_out} of its test recordings")
    features = dataset_features(encoder, dataset, indices, checkpoint.frames, adapter.config.raw)
    x = torch.from_numpy(features)
    with torch.no_grad():
        messages = adapter.encode(x).numpy().astype(np.int16)
        float_predictions = checkpoint.float_adapter.scores(x).argmax(dim=1).numpy()
    limit = adapter.config.message_max
    parts = adapter_work(checkpoint, encoder, dataset, indices, len(names))
    return Deployment(
        model=model,
        data=data,
        graph=to_nir(adapter.network, request.dt),
        network=adapter.network,
        inputs={"input": messages},
        input_ranges={"input": (-limit, limit)},
        labels=None if one else stated(given, found[dataset.labels[indices]]),
        class_names=names,
        predict=lambda trace, where: _predict(adapter, trace, x[where]),
        float_predictions=float_predictions,
        host=tuple(part for part, _ in parts),
        work=tuple(work for _, work in parts if work is not None),
        reads=checkpoint.frames.steps if adapter.config.cut == "paper" else 1,
        chip=_chip(checkpoint),
        notes=unreadable(data, reasons)
        + seen_notes(seen, left_out, len(dataset.test))
        + label_notes(given, classes, found),
        label_layers=("fc2",) if adapter.config.cut == "folded" else (),
        skipped=len(reasons),
        seen=left_out,
        data_set=None if one else dataset.described,
        frames=_shown_frames(dataset, indices, checkpoint.frames),
        ann=None if checkpoint.ann is None else _beside(checkpoint.ann, x),
    )


@torch.no_grad()
def _beside(ann: EightBitAnn, features: torch.Tensor) -> TrainedAnn:
    """The ANN on features [N, T, C], at every step and on their mean."""
    mean = features.mean(dim=1, keepdim=True)
    source = f"measured on the ANN in 8 bits of the same training, {len(features)} samples"
    found = AnnZeros(zeros(ann, features), zeros(ann, mean), source)
    of_each, of_mean = (ann.scores(x).argmax(dim=1).numpy() for x in (features, mean))
    return TrainedAnn(found, of_each, of_mean)


def _shown_frames(
    dataset: EventDataset, indices: NDArray[np.int64], options: FrameOptions
) -> NDArray[np.uint8] | None:
    """Frames of the samples that the report shows; None of sensors of several sizes."""
    found = [shrunk(frames(dataset.load(int(index)), options)) for index in indices[:MAX_SAMPLES]]
    return np.stack(found) if len({each.shape for each in found}) == 1 else None


@torch.no_grad()
def _predict(adapter: ChipAdapter, trace: Trace, features: torch.Tensor) -> NDArray[np.int64]:
    readout = torch.from_numpy(trace.v["readout"].astype(np.float64))
    return adapter.scores_from_readout(readout, features).argmax(dim=1).numpy()


def _one_recording(path: Path, sensor: tuple[int, int] | None) -> EventDataset:
    """A data set of one recording, of which nothing but the recording is known."""
    recording = read_recording(path, sensor)
    none = np.zeros(0, np.int64)
    zero = np.zeros(1, np.int64)
    return EventDataset(
        DatasetCard(path.stem), (str(path),), zero, (), none, none, zero, lambda _: recording
    )


def _chip(checkpoint: Checkpoint) -> tuple[str, ...]:
    down = "down-projection with both batch normalisations and spiking LIF neurons"
    if checkpoint.config.cut == "paper":
        return (down, "up-projection, read at every step")
    return (down, "up-projection folded with the text features, class scores in integrators")
