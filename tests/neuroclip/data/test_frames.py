"""The event-frame module against a plain loop over the events."""

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.events.frames import (
    FrameOptions,
    frames,
    gray_frames,
    histograms,
    slice_of_events,
)
from neuroclip.data.events.recording import Recording


def random_recording(events: int, seed: int = 0) -> Recording:
    random = np.random.default_rng(seed)
    return Recording(
        random.integers(0, 9, events),
        random.integers(0, 5, events),
        np.sort(random.integers(100, 40_000, events)),
        random.integers(0, 2, events),
        9,
        5,
        "random",
    )


def plain_loop(recording: Recording, options: FrameOptions) -> np.ndarray:
    """Guo et al. 2023 as prose: one event after the other."""
    counts = np.zeros((options.steps, 2, recording.height, recording.width), int)
    size = len(recording) // options.steps
    first, last = int(recording.t[0]), int(recording.t[-1])
    for i in range(len(recording)):
        if options.slicing == "count":
            step = min(i // size, options.steps - 1)
        else:
            step = int((int(recording.t[i]) - first) * options.steps / (last - first + 1))
        counts[step, recording.p[i], recording.y[i], recording.x[i]] += 1
    gray = np.full((options.steps, recording.height, recording.width), 127)
    for step, y, x in np.ndindex(*gray.shape):
        if counts[step, 0, y, x] > options.threshold:
            gray[step, y, x] = 255
        if counts[step, 1, y, x] > options.threshold:
            gray[step, y, x] = 0
    return gray


@pytest.mark.parametrize("slicing", ["count", "time"])
@pytest.mark.parametrize("events", [10, 107, 1234])
@pytest.mark.parametrize("threshold", [0, 1])
def test_frames_equal_the_plain_loop(slicing: str, events: int, threshold: int) -> None:
    recording = random_recording(events, seed=events)
    options = FrameOptions(steps=10, slicing=slicing, threshold=threshold)
    made = frames(recording, options)
    assert made.dtype == np.uint8
    assert np.array_equal(made, plain_loop(recording, options))
    assert histograms(recording, options).sum() == events


def test_equal_counts_and_the_last_slice_takes_the_remainder() -> None:
    slices = slice_of_events(random_recording(107), FrameOptions(steps=10))
    assert np.bincount(slices).tolist() == [10] * 9 + [17]


def test_fewer_events_than_slices() -> None:
    slices = slice_of_events(random_recording(3), FrameOptions(steps=10))
    assert slices.tolist() == [0, 1, 2]
    one = random_recording(1)
    assert (
        histograms(one, FrameOptions(slicing="time")).sum(axis=(1, 2, 3)).tolist() == [1] + [0] * 9
    )


def test_second_polarity_wins() -> None:
    counts = np.zeros((1, 2, 1, 3), np.int32)
    counts[0, 0, 0, :2] = 3
    counts[0, 1, 0, 1] = 1
    assert gray_frames(counts, FrameOptions()).tolist() == [[[255, 0, 127]]]
    assert gray_frames(counts, FrameOptions(rendering="presence")).tolist() == [[[255, 255, 0]]]
    assert gray_frames(counts, FrameOptions(rendering="intensity")).tolist() == [[[191, 255, 0]]]
    assert gray_frames(counts * 0, FrameOptions(rendering="intensity")).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"slicing": "space"},
        {"rendering": "colour"},
        {"threshold": -1},
        {"normalisation": "unit"},
    ],
)
def test_wrong_options(wrong: dict) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        FrameOptions(**wrong)
