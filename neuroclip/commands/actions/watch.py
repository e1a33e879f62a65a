"""What `neuroclip watch` does: classify a recording or a stream slice by slice, and show it."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from deploy.errors import BadInput
from neuroclip.adapter.checkpoint import clip_of, load_checkpoint
from neuroclip.adapter.watch import (
    ChipScores,
    RunningScores,
    ScoredSlice,
    ZeroShotScores,
    show,
    watch,
)
from neuroclip.clip.model import Clip, encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.data.events.dataset import DatasetCard
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.frames import FrameOptions
from neuroclip.data.events.recording import Recording, read_recording
from neuroclip.data.images.vocabulary import read_labels
from neuroclip.live.decoders import decoder
from neuroclip.live.server import Board, serving
from neuroclip.live.sources import STDIN, opened_source
from neuroclip.live.watch import watch_stream
from neuroclip.live.windows import DEFAULT_WINDOW_US, recordings


@dataclass(frozen=True)
class Shown:
    """What is watched, and how.

    source: a recording, or, where it is live, a stream (see `opened_source`). kind: the stream's format,
    where its name does not say it. window: ms of slices by time, events of slices by count. idle: see
    `opened_source`. port: of the page, where there is to be one.
    """

    source: str
    sensor: Sensor | None
    live: bool = False
    kind: str | None = None
    window: int | None = None
    idle: float | None = None
    port: int | None = None


def watch_by_text(
    shown: Shown,
    card: DatasetCard,
    spec: ClipSpec,
    *,
    labels: str | None,
    template: str | None,
    frame_options: Mapping[str, Any],
) -> int:
    """Classify slice by slice by text alone, as one of the data set on a card."""
    names = card.class_names if labels is None else read_labels(labels).names
    if not names:
        raise BadInput(f"--like {card.name}: its labels are in its folder; give them by --labels")
    encoder, frames = load_clip(spec), replace(card.frames, **frame_options)
    text = encode_text(encoder, names, template or card.template)
    return _watched(shown, card.sensor, encoder, frames, lambda: ZeroShotScores(text), names)


def watch_on_chip(shown: Shown, checkpoint: str, spec: ClipSpec | None) -> int:
    """Classify slice by slice with a checkpoint's adapter on the chip's arithmetic.

    spec: of its CLIP, where that is not the bundled one.
    """
    loaded = load_checkpoint(checkpoint)
    fresh = lambda: ChipScores(loaded.chip_adapter)  # noqa: E731 - one line says it
    return _watched(shown, None, clip_of(loaded, spec), loaded.frames, fresh, loaded.labels)


def _watched(
    shown: Shown,
    default: Sensor | None,
    clip: Clip,
    frames: FrameOptions,
    fresh: Callable[[], RunningScores],
    labels: Sequence[str],
) -> int:
    """Print, and serve where that is asked for, every slice; Ctrl-C ends a stream, or the page."""
    with ExitStack() as stack:
        if shown.live:
            window = _window(shown, frames)
            decode = decoder(shown.source, shown.kind)
            read = stack.enter_context(opened_source(shown.source, shown.idle))
            parts = recordings(read, decode, shown.sensor, default)
            slices = watch_stream(parts, clip, frames, fresh, window)
        else:
            recording = _read(Path(shown.source), shown.sensor, default)
            slices = watch(recording, clip, frames, fresh())
        if shown.port is None:
            show(slices, labels, shown.source)
            return 0
        board = Board("standard input" if shown.source == STDIN else shown.source, labels)
        print(f"watch it at {stack.enter_context(serving(board, shown.port))}", flush=True)
        show(_published(slices, board), labels, shown.source)
        board.end()
        print("the page stays until Ctrl-C", flush=True)
        Event().wait()
    return 0


def _published(slices: Iterator[ScoredSlice], board: Board) -> Iterator[ScoredSlice]:
    for each in slices:
        board.publish(each)
        yield each


def _window(shown: Shown, frames: FrameOptions) -> int:
    """The length of a stream's windows, µs or events."""
    if frames.slicing == "time":
        return DEFAULT_WINDOW_US if shown.window is None else 1000 * shown.window
    if shown.window is None:
        raise BadInput(
            "--window: slices of equal event count need it, how many events are classified"
        )
    if shown.window < frames.steps:
        raise BadInput(f"--window {shown.window}: fewer events than the {frames.steps} slices")
    return shown.window


def _read(path: Path, sensor: Sensor | None, default: Sensor | None) -> Recording:
    """A recording, its sensor given or not; says how many events stood behind later ones."""
    recording = read_recording(path, sensor, default)
    if recording.late:
        print(
            f"{path}: {recording.late} events stood behind later ones and were put in order",
            file=sys.stderr,
        )
    return recording
