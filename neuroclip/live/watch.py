"""A stream classified while it comes in: window after window, slice after slice."""

from collections.abc import Callable, Iterator

from neuroclip.adapter.watch import RunningScores, ScoredSlice, scored
from neuroclip.clip.model import Clip
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.events.recording import Recording
from neuroclip.live.windows import windows


def watch_stream(
    parts: Iterator[Recording],
    clip: Clip,
    options: FrameOptions,
    fresh: Callable[[], RunningScores],
    window: int,
) -> Iterator[ScoredSlice]:
    """Class scores after every slice of a stream of events.

    fresh: scores that start anew with each window. window: its length, see `windows`.
    """
    running, number = fresh(), 1
    for found in windows(parts, options, window):
        if found.window != number:
            running, number = fresh(), found.window
        yield scored(found.frame, number, found.first_us, clip, options, running)
