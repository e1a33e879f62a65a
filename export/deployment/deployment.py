"""`Deployment`: a model and its data, whatever they came from, ready to be lowered and run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.count.ann_baseline import AnnZeros
from deploy.count.host import Work
from deploy.emulate.trace import Trace
from deploy.program.program import Program
from deploy.run.evidence import data_sha256
from export.deployment.skips import Lowerings
from export.graph.graph import Graph
from neuroclip.data.seen import UNRECORDED, Seen, left_out
from neuroclip.text.labels import Labels, some

Predict = Callable[[Trace, slice], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Quantization:
    """How a float graph became integers: without loss where its values are exact on the chip.

    why: the first value that no register holds. calibration: the name of the data that scales were
    chosen on, if any, how many samples of it, and their positions there (of a data set: in the order
    that the seed draws). layers: {neuron node: what its integers lose}.
    reference: the float graph that the integers are measured against.
    """

    exact: bool
    why: str = ""
    calibration: str | None = None
    calibration_samples: int = 0
    calibration_positions: tuple[int, ...] = ()
    layers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    reference: Graph | None = None


@dataclass(frozen=True, eq=False)
class TrainedAnn:
    """An ANN that was trained beside a network, run on the same samples.

    zeros: how many of its numbers are zero. predictions: int64 [samples], run at every step, and
    one_pass_predictions, of the mean of all steps in one.
    """

    zeros: AnnZeros
    predictions: NDArray[np.int64]
    one_pass_predictions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Deployment:
    """A model and its data.

    model, data: their names for the report. graph: the network as NIR; None where it came as a
    `program` instead. network: the same as a torch module, where there is one. inputs: {input:
    integer messages [samples, time, *shape]}, and input_ranges: the smallest and largest message
    that their encoder lets through. labels: int64 [samples], and class_names of the predictions,
    where they are known. predict: a trace of the samples in a slice → class of each.
    float_predictions: those of the model before quantization; untuned_predictions: those of the integers
    before they were trained on as such. host, chip: what runs where, in words; work: those parts of the
    host's that are counted; reads: how often an inference's read-outs are read.
    notes: what else its reader found, warnings of the report; silent_note: one for a run in which
    nothing fires. quantization: how the graph became
    integers, where it was not trained as such. label_layers: the connections that other labels
    exchange, where there is a text encoder. skipped: how many samples cannot be read and were left out.
    skips: the lowering of residual skips, and the other one, where there are any. data_set: which known
    data set of events the data were taken for, and why. seen: how many samples were left out since the
    model has been trained on them. frames: what the host looks at in the first samples, for the
    report, uint8 [samples, slices, height, width], where it makes frames of events. ann: what was trained
    to be held against the network.
    """

    model: str
    data: str
    graph: nir.NIRGraph | None
    network: Any
    inputs: Mapping[str, NDArray[Any]]
    input_ranges: Mapping[str, tuple[int, int]]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    predict: Predict
    float_predictions: NDArray[np.int64] | None
    host: tuple[str, ...]
    chip: tuple[str, ...]
    program: Program | None = None
    notes: tuple[str, ...] = ()
    silent_note: str = ""
    label_layers: tuple[str, ...] = ()
    skips: Lowerings | None = None
    quantization: Quantization | None = None
    skipped: int = 0
    data_set: str | None = None
    untuned_predictions: NDArray[np.int64] | None = None
    seen: int = 0
    frames: NDArray[np.uint8] | None = None
    work: tuple[Work, ...] = ()
    reads: int = 1
    ann: TrainedAnn | None = None

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))

    @property
    def timesteps(self) -> int:
        """Steps of every sample."""
        return int(next(iter(self.inputs.values())).shape[1])

    @property
    def data_sha256(self) -> str:
        """SHA-256 of the messages that the chip sees and of the labels, as hexadecimal text."""
        return data_sha256(self.inputs, self.labels)


def most_active(trace: Trace, output: str) -> NDArray[np.int64]:
    """The neuron of the output with the highest potential, or, where it fires, the most spikes."""
    values = trace.readout[output] if output in trace.readout else trace.s[output].sum(axis=1)
    flat: NDArray[Any] = values.reshape(len(values), -1)
    return flat.argmax(axis=1).astype(np.int64)


def unreadable(data: str, reasons: Sequence[str]) -> tuple[str, ...]:
    """The note of a deployment on samples that cannot be read; none where all can."""
    if not reasons:
        return ()
    return (f"{data}: {len(reasons)} samples cannot be read and are left out, first {reasons[0]}",)


def stated(labels: Labels, truth: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The label of each sample [N], or None where an accuracy would say nothing: −1, or one label alone."""
    return truth if len(labels.names) > 1 and (truth >= 0).all() else None


def label_notes(
    labels: Labels, classes: Sequence[str], found: NDArray[np.int64]
) -> tuple[str, ...]:
    """The note on why no accuracy is stated, see `stated`; none where one is."""
    missing = [name for name, label in zip(classes, found, strict=True) if label < 0]
    if not missing and len(labels.names) > 1:
        return ()
    if not missing:
        return (f"no accuracy: '{labels.names[0]}' is the only label: nothing is told apart",)
    return (
        f"no accuracy: no label stands for {len(missing)} of {len(classes)} classes of the data, "
        f"{some(missing)}; give them as 'CLASS=WORD' (labels: {some(labels.names)})",
    )


def seen_notes(seen: Seen, count: int, total: int) -> tuple[str, ...]:
    """The notes on test samples that a model has seen, and were left out, and on what nobody knows."""
    notes = (left_out(count, total, "test"),) if count else ()
    return notes if seen.complete else (*notes, UNRECORDED)
