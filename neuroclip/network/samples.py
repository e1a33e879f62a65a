"""The samples that a network of a person's own is trained and evaluated on, read when they are asked for.

Spikes in arrays or a file come as they are; recordings of events become frames of a length and number that
the person says, and take the shape of the network's input (`neuroclip.network.frames`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from deploy.progress import track
from neuroclip.data.events.catalogue import open_dataset, without_bad
from neuroclip.data.events.dataset import EventDataset
from neuroclip.data.events.event_counts import MAX_BYTES, frame_counts
from neuroclip.data.events.recording import read_recording
from neuroclip.data.spikes import Messages, Spikes, all_spikes, called, is_spikes
from neuroclip.network.frames import Fit

Indices = NDArray[np.int64]
MAX_STEPS = 1 << 20


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a data set. name: of the data. size: how many there are. labels: int64 [size], where
    they are known, of the class_names. test, validation: indices of parts that the data set itself
    keeps for these, or None. frame: the shape (2, H, W) of the frames that recordings become, steps: how
    many; None and 0 of spikes, which have the shape they have. read: of indices and a fit, the messages.
    notes: what was left out.
    """

    name: str
    size: int
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    frame: Shape | None
    steps: int
    read: Callable[[Indices, Fit], dict[str, NDArray[Any]]]
    notes: tuple[str, ...] = ()
    test: Indices | None = None
    validation: Indices | None = None

    def messages(self, indices: Indices, fit: Fit) -> Messages:
        """The messages of some samples, with their labels."""
        labels = None if self.labels is None else self.labels[indices]
        return Messages(self.read(indices, fit), labels, self.class_names)


@dataclass(frozen=True)
class Framing:
    """frame_ms: length of a frame; steps: how many, from the first event on."""

    frame_ms: float
    steps: int


def framing_of(frame_ms: float | None, steps: int | None) -> Framing | None:
    """The frames that were asked for. Raises BadInput where one of the two is missing or not positive."""
    if frame_ms is None and steps is None:
        return None
    if frame_ms is None or steps is None:
        raise BadInput("--frame-ms and --steps: frames need a length and a number; give both")
    if not (0 < frame_ms < float("inf") and 0 < steps <= MAX_STEPS):
        raise BadInput(
            f"--frame-ms {frame_ms:g}, --steps {steps}: expected above 0, to {MAX_STEPS}"
        )
    return Framing(frame_ms, steps)


def open_samples(
    data: str | Spikes,
    framing: Framing | None = None,
    *,
    root: str | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    sensor: tuple[int, int] | None = None,
) -> Samples:
    """The samples of spikes, of a folder of recordings, of a bundled data set, or of one recording.

    framing: of recordings, which need one. root, skip_bad, sensor: see `open_dataset`, `without_bad`.
    Raises BadInput naming the data and what is wrong with them.
    """
    if is_spikes(data):
        if framing is not None:
            raise BadInput(f"{called(data)}: these are spikes; frames are made of recordings only")
        return _of_spikes(data)
    assert isinstance(data, str | Path)
    if framing is None:
        raise BadInput(
            f"{data}: recordings become frames; say how long and how many, for example by --frame-ms 10 "
            "--steps 30"
        )
    if Path(data).is_file():
        only = read_recording(Path(data), sensor)
        return _of_recordings(str(data), framing, (1, lambda _: only), None, (), ())
    dataset = open_dataset(data, seed, root, sensor)
    reasons: tuple[str, ...] = ()
    if skip_bad:
        dataset, reasons = without_bad(dataset, ("train", "validation", "test"))
    return _of_dataset(str(data), framing, dataset, reasons)


def _of_spikes(data: str | Spikes) -> Samples:
    found = all_spikes(data)
    return Samples(
        called(data), len(next(iter(found.inputs.values()))), found.labels, found.class_names,
        None, 0, lambda indices, _: {name: x[indices] for name, x in found.inputs.items()},
    )  # fmt: skip


def _of_dataset(
    name: str, framing: Framing, dataset: EventDataset, reasons: tuple[str, ...]
) -> Samples:
    order = np.sort(np.concatenate([dataset.train, dataset.validation, dataset.test]))
    test = np.searchsorted(order, dataset.test) if dataset.own_test else None
    own = {"train", "validation", "test"} <= set(dataset.parts)
    validation = np.searchsorted(order, dataset.validation) if own else None
    notes: tuple[str, ...] = (f"data set {dataset.described}",)
    if reasons:
        notes += (
            f"{name}: {len(reasons)} recordings cannot be read and are left out, first {reasons[0]}",
        )
    found = _of_recordings(
        name, framing, (len(order), lambda i: dataset.load(int(order[i]))), dataset.labels[order],
        dataset.class_names, notes,
    )  # fmt: skip
    return replace(found, test=test, validation=validation)


def _of_recordings(
    name: str, framing: Framing, recordings: tuple[int, Callable[[int], Any]],
    labels: NDArray[np.int64] | None, classes: tuple[str, ...],
    notes: tuple[str, ...],
) -> Samples:  # fmt: skip
    size, load = recordings
    first = load(0)
    frame = (2, first.height, first.width)

    def read(indices: Indices, fit: Fit) -> dict[str, NDArray[Any]]:
        shape = fit.shape(frame)
        needed = len(indices) * framing.steps * int(np.prod(shape))
        if needed > MAX_BYTES:
            raise BadInput(
                f"{name}: {len(indices)} recordings in {framing.steps} frames take {needed} bytes, more "
                f"than {MAX_BYTES}; take fewer steps or fewer recordings"
            )
        frames = np.zeros((len(indices), framing.steps, *shape), np.uint8)
        for i, index in enumerate(track(indices, desc="frames", leave=False)):
            recording = load(int(index))
            found = (2, recording.height, recording.width)
            if found != frame:
                raise BadInput(
                    f"{recording.name}: its frames have the shape {found}, those of {first.name} {frame}"
                )
            try:
                frames[i] = fit(frame_counts(recording, framing.frame_ms, framing.steps))
            except BadInput as error:
                known = str(error).startswith(recording.name)
                raise error if known else BadInput(f"{recording.name}: {error}") from error
        return {"spikes": frames}

    return Samples(name, size, labels, classes, frame, framing.steps, read, notes)
