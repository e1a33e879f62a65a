"""The event-frame module for online use: events go in as they arrive, frames come out when due."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.frames import (
    FrameOptions,
    Span,
    gray_frames,
    pixel_numbers,
    slice_numbers,
)
from neuroclip.data.events.recording import Recording


@dataclass(frozen=True, eq=False)
class SliceFrame:
    """A slice that is complete: its gray frame uint8 [height, width] and its number, 1 … T.

    events: of the stream up to its end; t_us: the time of the last of them.
    """

    gray: NDArray[np.uint8]
    number: int
    events: int
    t_us: int


class FrameStream:
    """Frames of a stream, each as soon as its slice is complete; equal to `frames.frames`.

    width, height: of the sensor, pixels. span: what the slices are cut from; of a live stream the
    first time and the length to look at are chosen beforehand, what comes later counts to the last
    slice. Only the counts of the present slice are held.
    """

    def __init__(self, width: int, height: int, options: FrameOptions, span: Span) -> None:
        self.options, self.span = options, span
        self.counts = np.zeros((2, height, width), np.int32)
        self.complete = 0
        self.events, self.t_us = 0, span.first_us

    def push(self, events: Recording) -> list[SliceFrame]:
        """Take the next events; returns the frames that they show to be complete.

        Raises BadInput: of another sensor, or before those that were taken.
        """
        if (events.height, events.width) != self.counts.shape[1:]:
            raise BadInput(
                f"{events.name}: {events.width}×{events.height} is another sensor's size"
            )
        if events.t[0] < self.t_us:
            raise BadInput(
                f"{events.name}: event {self.events} at {int(events.t[0])} µs comes before "
                f"{self.t_us} µs"
            )
        numbers = slice_numbers(events.t, self.events, self.span, self.options)
        where = pixel_numbers(events)
        ends = np.searchsorted(numbers, np.arange(self.complete, numbers[-1] + 1), side="right")
        frames = []
        for start, end in pairwise([0, *map(int, ends)]):
            if end > start:
                # In time of the events, however large the sensor.
                np.add.at(self.counts.reshape(-1), where[start:end], 1)
                self.events, self.t_us = self.events + end - start, int(events.t[end - 1])
            # An event of a later slice is there: this one gets no more.
            if end < len(events):
                frames.append(self._next())
        return frames

    def finish(self) -> list[SliceFrame]:
        """The stream has ended: the frames that are left, so that there are T in all."""
        return [self._next() for _ in range(self.options.steps - self.complete)]

    def _next(self) -> SliceFrame:
        gray = gray_frames(self.counts, self.options)
        self.counts[:] = 0
        self.complete += 1
        return SliceFrame(gray, self.complete, self.events, self.t_us)


def packets(recording: Recording, events: int) -> Iterator[Recording]:
    """A recording in packets of some events, as a camera delivers it."""
    for start in range(0, len(recording), events):
        yield recording[start : start + events]
