"""Event recordings as the messages of a graph: counts of each pixel and polarity in each frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import npy_kind, read_npz
from deploy.program.program import Shape
from deploy.progress import track
from neuroclip.data.events.formats.columns import named
from neuroclip.data.events.recording import Recording, read_recording

MAX_BYTES = 8 << 30
"""More frames than this are refused; fewer samples or steps are to be asked for."""


def frame_counts(recording: Recording, frame_ms: float, steps: int) -> NDArray[np.uint8]:
    """Events counted in frames of frame_ms from the first event on: uint8 [steps, 2, height, width].

    The first index is the polarity bit. Events after the last frame are left out. Raises BadInput
    where a pixel has more than 255 events in a frame.
    """
    frame = ((recording.t - recording.t[0]) / (1000 * frame_ms)).astype(np.int64)
    inside = frame < steps
    shape = (steps, 2, recording.height, recording.width)
    index = np.ravel_multi_index(
        (frame[inside], recording.p[inside], recording.y[inside], recording.x[inside]), shape
    )
    pixels, counts = np.unique(index, return_counts=True)
    if counts.max(initial=0) > 255:
        raise BadInput(
            f"{recording.name}: {counts.max()} events of one pixel in a frame of {frame_ms:g} ms, "
            "more than 255; take shorter frames"
        )
    frames = np.zeros(shape, np.uint8)
    frames.reshape(-1)[pixels] = counts
    return frames


def holds_events(path: Path) -> bool:
    """Whether an .npy or .npz file holds an event recording rather than spikes [samples, time, ...].

    Told by the names, shapes and types of its arrays, which are not read. Raises BadInput where they
    cannot be.
    """
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    if path.suffix.lower() == ".npy":
        found["array"] = npy_kind(path)
    else:
        read_npz(path, wanted=lambda *array: bool(found.update({array[0]: array[1:]})))
    if {"pos", "neg"} <= found.keys() or named(list(found)) is not None:
        return True
    if len(found) != 1:
        return False
    ((shape, dtype),) = found.values()
    table = dtype.names is None and len(shape) == 2 and shape[1] == 4
    return table or (dtype.names is not None and named(dtype.names) is not None)


def read_event_frames(
    data: str,
    shape: Shape,
    *,
    frame_ms: float,
    steps: int,
    samples: int | None = None,
    seed: int = 0,
    sensor: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, tuple[str, ...], tuple[str, ...]]:
    """(frames uint8 [samples, steps, *shape], labels int64 [samples] or None, class names, notes).

    data: an event recording, or a data set as `neuroclip.data.open_dataset` knows it: of one with a test
    part of its own the recordings of that, of any other all, and a note says where these are of a folder
    for training. They are taken in an order drawn by `seed`, the first `samples` of them where it is
    given. shape: of the graph's input, (2, height, width) of the sensor. sensor: of recordings that do
    not say it. Raises BadInput naming the file.
    """
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    load: Callable[[int], Recording]
    if Path(data).is_file():
        only = read_recording(Path(data), sensor)
        order, load = np.zeros(1, np.int64), lambda _: only
    else:
        from neuroclip.data.events.catalogue import open_dataset

        dataset = open_dataset(data, seed, sensor=sensor)
        among = dataset.test if dataset.own_test else np.arange(len(dataset))
        order = np.random.default_rng(seed).permutation(among)[:samples]
        if dataset.parts == ("train",):
            notes = (
                f"{data}: its recordings are of a training folder, on which the network may have been "
                "trained; no accuracy on them compares with one on a test folder",
            )
        labels, classes, load = dataset.labels[order], dataset.class_names, dataset.load
    needed = len(order) * steps * int(np.prod(shape))
    if needed > MAX_BYTES:
        raise BadInput(
            f"{data}: {len(order)} recordings in {steps} frames take {needed} bytes, more than "
            f"{MAX_BYTES}; take fewer with --samples or --steps"
        )
    frames = np.zeros((len(order), steps, *shape), np.uint8)
    for i, index in enumerate(track(order, desc="frames", leave=False)):
        recording = load(int(index))
        found = (2, recording.height, recording.width)
        if found != shape:
            raise BadInput(
                f"{recording.name}: its frames have shape {found}, the model's input {shape}"
            )
        frames[i] = frame_counts(recording, frame_ms, steps)
    return frames, labels, classes, notes
