"""Event histograms of a million events, beside np.add.at and a plain loop: `make bench`.

The loop runs over a part of the events and its time is scaled up. A figure is shown only where the
counts are equal. Nothing here asserts a time.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neuroclip.data.events.frames import FrameOptions, frames, histograms, slice_of_events
from neuroclip.data.events.recording import Recording

# What the loop, about a microsecond an event, is run over.
LOOP_EVENTS = 50_000


def random_recording(events: int, side: int, seed: int) -> Recording:
    """Events all over a sensor of side × side within a second."""
    random = np.random.default_rng(seed)
    x, y = random.integers(0, side, (2, events))
    t = np.sort(random.integers(0, 1_000_000, events))
    return Recording(x, y, t, random.integers(0, 2, events), side, side, "random")


def add_at(recording: Recording, options: FrameOptions) -> NDArray[np.int32]:
    """The counts by numpy's unbuffered addition."""
    counts = np.zeros((options.steps, 2, recording.height, recording.width), np.int32)
    where = (slice_of_events(recording, options), recording.p, recording.y, recording.x)
    np.add.at(counts, where, 1)
    return counts


def plain_loop(recording: Recording, options: FrameOptions) -> NDArray[np.int32]:
    """The counts one event after the other, the slices given."""
    counts = np.zeros((options.steps, 2, recording.height, recording.width), np.int32)
    slices = slice_of_events(recording, options)
    columns = (slices, recording.p, recording.y, recording.x)
    for s, p, y, x in zip(*(column.tolist() for column in columns), strict=True):
        counts[s, p, y, x] += 1
    return counts


def best(call: Callable[[], NDArray], repeats: int = 5) -> tuple[float, NDArray]:
    """Seconds of the fastest of some calls, and the result."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - started)
    return min(times), result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    events = options.events
    print(f"{events} events into {options.steps} slices: ms, and how often histograms is faster")
    print("sensor   slicing  histograms  with frames        np.add.at       plain loop")
    for side in (34, 128, 256, 640):
        recording = random_recording(events, side, options.seed)
        part = random_recording(min(LOOP_EVENTS, events), side, options.seed)
        for slicing in ("count", "time"):
            framing = FrameOptions(steps=options.steps, slicing=slicing)
            ours, counts = best(lambda: histograms(recording, framing))  # noqa: B023
            whole, _ = best(lambda: frames(recording, framing))  # noqa: B023
            theirs, added = best(lambda: add_at(recording, framing))  # noqa: B023
            looped, loop_counts = best(lambda: plain_loop(part, framing), repeats=1)  # noqa: B023
            looped *= events / len(part)
            if not np.array_equal(counts, added):
                raise SystemExit(f"{side}×{side} {slicing}: np.add.at counts otherwise")
            if not np.array_equal(histograms(part, framing), loop_counts):
                raise SystemExit(f"{side}×{side} {slicing}: the plain loop counts otherwise")
            print(
                f"{side:3}×{side:3}  {slicing:7} {1e3 * ours:11.1f} {1e3 * whole:12.1f} "
                f"{1e3 * theirs:9.1f} ({theirs / ours:4.1f}) {1e3 * looped:9.0f} ({looped / ours:4.0f})"
            )


if __name__ == "__main__":
    main()
