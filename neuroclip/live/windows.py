"""An endless stream cut into windows, each of T slices, as a recording is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import MAX_LATE_US, RawEvents, Sensor
from neuroclip.data.events.frames import FrameOptions, Span, require_frames
from neuroclip.data.events.online import FrameStream, SliceFrame
from neuroclip.data.events.recording import Recording
from neuroclip.live.decoders import Decoder
from neuroclip.live.sources import Read

# N-MNIST's recordings last about as long.
DEFAULT_WINDOW_US = 300_000


@dataclass(frozen=True, eq=False)
class WindowSlice:
    """A slice that is complete, of window 1, 2, …; first_us: when the window began."""

    window: int
    first_us: int
    frame: SliceFrame


def recordings(
    read: Read, decode: Decoder, sensor: Sensor | None, default: Sensor | None
) -> Iterator[Recording]:
    """The events of a stream as they come, each part checked as a recording is.

    Events that come up to a millisecond behind later ones take the time of those. Raises BadInput
    naming the source: what are no events, none at all, later than that, or no sensor known.
    """
    last: int | None = None
    for events in _decoded(read, decode):
        if sensor and decode.sensor and sensor != decode.sensor:
            (width, height), given = decode.sensor, f"{sensor[0]}×{sensor[1]}"
            raise BadInput(
                f"{decode.name}: the sensor is {width}×{height} by the stream, {given} as given"
            )
        size = decode.sensor or sensor or default
        if size is None:
            raise BadInput(
                f"{decode.name}: the stream does not say the sensor's size; it has to be given: "
                "--sensor WIDTHxHEIGHT"
            )
        t = np.asarray(events.t, np.int64)
        in_order = np.maximum.accumulate(t if last is None else np.maximum(t, last))
        behind = in_order - t
        if behind.max() > MAX_LATE_US:
            i = int(behind.argmax())
            raise BadInput(f"{decode.name}: an event at {t[i]} µs comes {behind[i]} µs late")
        yield Recording(events.x, events.y, in_order, events.p, *size, decode.name)
        last = int(in_order[-1])
    if last is None:
        raise BadInput(f"{decode.name}: the stream has ended without an event")


def _decoded(read: Read, decode: Decoder) -> Iterator[RawEvents]:
    """Events of one read after the other, then what is left at the end."""
    while block := read():
        events = decode.feed(block)
        if events is not None:
            yield events
    events = decode.finish()
    if events is not None:
        yield events


def windows(
    parts: Iterator[Recording], options: FrameOptions, window: int
) -> Iterator[WindowSlice]:
    """Every slice as soon as it is complete; the window that the stream ends in is finished.

    window: µs of slices by time, events of slices by count. A window by time begins where the last
    one ended; those in which nothing happens are passed over.
    """
    number = 0
    first = 0
    stream: FrameStream | None = None
    for whole in parts:
        part: Recording | None = whole
        while part is not None:
            if stream is None:
                number += 1
                begins = int(part.t[0])
                if options.slicing == "time" and number > 1:
                    first += window * max(1, (begins - first) // window)
                else:
                    first = begins
                span = Span(window, first, first + window - 1)
                require_frames(part, replace(options, steps=1))
                stream = FrameStream(part.width, part.height, options, span)
            if options.slicing == "time":
                own = int(np.searchsorted(part.t, first + window))
            else:
                own = window - stream.events
            now, part = _split(part, own)
            if now is not None:
                for frame in stream.push(now):
                    yield WindowSlice(number, first, frame)
            if part is None and (options.slicing == "time" or stream.events < window):
                break
            for frame in stream.finish():
                yield WindowSlice(number, first, frame)
            stream = None
    if stream is not None:
        for frame in stream.finish():
            yield WindowSlice(number, first, frame)


def _split(part: Recording, own: int) -> tuple[Recording | None, Recording | None]:
    """The first `own` events, and the others; None for none of them."""
    if own <= 0:
        return None, part
    if own >= len(part):
        return part, None
    return part[:own], part[own:]
