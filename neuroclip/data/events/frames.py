"""The event-frame module: a stream cut into T slices, each a count histogram, each a gray frame.

Guo, Chen, Ma 2023 (NeuroCLIP, arXiv 2306.12073).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.reading import require_memory
from neuroclip.data.events.recording import Recording

# The paper's gray levels: no event, first polarity, second polarity.
NO_EVENT, FIRST_POLARITY, SECOND_POLARITY = 127, 255, 0

SLICINGS = ("count", "time")
RENDERINGS = ("polarity", "presence", "intensity")
NORMALISATIONS = ("half", "clip")


@dataclass(frozen=True)
class FrameOptions:
    """How a stream becomes frames.

    steps: T, 10 in the paper. slicing: "count" (slices of equal event count, the paper's) or "time"
    (of equal duration, from the first event to the last). rendering: "polarity" (the paper's
    discrimination: no event 127, first polarity 255, second 0 and written second), "presence" (255
    where there is any event, else 0) or "intensity" (events of both polarities, 255 at the frame's
    largest count, 0 where there is none). threshold: counts above it are seen; 0 in the paper, 1
    for CIFAR10-DVS; not used by "intensity". normalisation: of gray x for the encoder, "half"
    (x/255 - 0.5, the paper's) or "clip" (CLIP's mean and deviation). Raises BadInput on any other
    value.
    """

    steps: int = 10
    slicing: str = "count"
    rendering: str = "polarity"
    threshold: int = 0
    normalisation: str = "half"

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise BadInput(f"frames: steps = {self.steps} is not between 1 and 1000")
        if self.slicing not in SLICINGS:
            raise BadInput(f"frames: unknown slicing '{self.slicing}', expected one of {SLICINGS}")
        if self.rendering not in RENDERINGS:
            raise BadInput(
                f"frames: unknown rendering '{self.rendering}', expected one of {RENDERINGS}"
            )
        if self.normalisation not in NORMALISATIONS:
            raise BadInput(
                f"frames: unknown normalisation '{self.normalisation}', "
                f"expected one of {NORMALISATIONS}"
            )
        if self.threshold < 0:
            raise BadInput(f"frames: threshold = {self.threshold} is negative")


@dataclass(frozen=True)
class Span:
    """What the slices of a recording are cut from: its number of events, first and last time, µs."""

    events: int
    first_us: int
    last_us: int


def span_of(recording: Recording) -> Span:
    """The span of a whole recording."""
    return Span(len(recording), int(recording.t[0]), int(recording.t[-1]))


def slice_numbers(
    t: NDArray[np.int64], start: int, span: Span, options: FrameOptions
) -> NDArray[np.int64]:
    """The slice, 0 … T-1, of events at t µs, of which the first is number `start`; int64 [events].

    By count: ⌊events / T⌋ events a slice, the last also takes the remainder; with fewer events than
    slices, one event a slice. By time: slice = ⌊T (t - t₀) / (t₁ - t₀ + 1 µs)⌋.
    """
    if options.slicing == "count":
        size = max(span.events // options.steps, 1)
        numbers = np.arange(start, start + len(t)) // size
    else:
        numbers = (t - span.first_us) * options.steps // (span.last_us - span.first_us + 1)
    return np.minimum(numbers, options.steps - 1)


def slice_of_events(recording: Recording, options: FrameOptions) -> NDArray[np.int64]:
    """The slice, 0 … T-1, of every event of a recording; int64 [events]."""
    return slice_numbers(recording.t, 0, span_of(recording), options)


def histograms(recording: Recording, options: FrameOptions) -> NDArray[np.int32]:
    """Event counts int32 [T, 2, height, width]; index 1 is the polarity bit."""
    require_frames(recording, options)
    counts = np.empty((options.steps, 2, recording.height, recording.width), np.int32)
    pixel = pixel_numbers(recording)
    # Slice by slice, so that one slice's counts stay in a core's cache.
    numbers = slice_of_events(recording, options)
    ends = np.searchsorted(numbers, np.arange(options.steps + 1))
    for step, (start, end) in enumerate(pairwise(ends)):
        own = np.bincount(pixel[start:end], minlength=counts[0].size)
        counts[step] = own.reshape(counts.shape[1:])
    return counts


def require_frames(recording: Recording, options: FrameOptions) -> None:
    """Raise BadInput where a recording's frames take more memory than there may be."""
    width, height = recording.width, recording.height
    # Counts of both polarities, once more while they are made, and gray values.
    require_memory(
        f"{recording.name}: {options.steps} frames of a sensor of {width}×{height}: what it declares",
        20 * options.steps * width * height,
    )


def pixel_numbers(recording: Recording) -> NDArray[np.int64]:
    """The place of every event in flat counts [2, height, width]; int64 [events]."""
    row = recording.p * np.int64(recording.height) + recording.y
    return row * recording.width + recording.x


def gray_frames(counts: NDArray[np.int32], options: FrameOptions) -> NDArray[np.uint8]:
    """Gray frames uint8 [..., height, width] of counts int32 [..., 2, height, width]."""
    first, second = counts[..., 0, :, :], counts[..., 1, :, :]
    if options.rendering == "polarity":
        gray = np.full(first.shape, NO_EVENT, dtype=np.uint8)
        gray[first > options.threshold] = FIRST_POLARITY
        gray[second > options.threshold] = SECOND_POLARITY
        return gray
    total = first + second
    if options.rendering == "presence":
        return np.where(total > options.threshold, 255, 0).astype(np.uint8)
    peak = np.maximum(total.max(axis=(-2, -1), keepdims=True), 1)
    return (total * 255 // peak).astype(np.uint8)


def frames(recording: Recording, options: FrameOptions) -> NDArray[np.uint8]:
    """Gray frames uint8 [T, height, width] of a recording: `gray_frames` of its `histograms`."""
    return gray_frames(histograms(recording, options), options)
