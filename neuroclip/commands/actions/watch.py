"""What `neuroclip watch` does: classify one recording slice by slice, as it comes in."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.errors import BadInput
from neuroclip.adapter.checkpoint import clip_of, load_checkpoint
from neuroclip.adapter.watch import ChipScores, ZeroShotScores, show, watch
from neuroclip.clip.model import encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.data.events.dataset import DatasetCard
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.recording import Recording, read_recording
from neuroclip.data.images.vocabulary import read_labels


def watch_by_text(
    recording: Path,
    card: DatasetCard,
    spec: ClipSpec,
    *,
    labels: str | None,
    template: str | None,
    sensor: Sensor | None,
    frame_options: Mapping[str, Any],
) -> int:
    """Classify a recording slice by slice by text alone, as one of the data set on a card."""
    names = card.class_names if labels is None else read_labels(labels).names
    if not names:
        raise BadInput(f"--like {card.name}: its labels are in its folder; give them by --labels")
    events = _read(recording, sensor, card.sensor)
    encoder, frames = load_clip(spec), replace(card.frames, **frame_options)
    running = ZeroShotScores(encode_text(encoder, names, template or card.template))
    show(watch(events, encoder, frames, running), names, recording)
    return 0


def watch_on_chip(
    recording: Path, checkpoint: str, spec: ClipSpec | None, sensor: Sensor | None
) -> int:
    """Classify a recording slice by slice with a checkpoint's adapter on the chip's arithmetic.

    spec: of its CLIP, where that is not the bundled one.
    """
    events = _read(recording, sensor, None)
    loaded = load_checkpoint(checkpoint)
    slices = watch(events, clip_of(loaded, spec), loaded.frames, ChipScores(loaded.chip_adapter))
    show(slices, loaded.labels, recording)
    return 0


def _read(path: Path, sensor: Sensor | None, default: Sensor | None) -> Recording:
    """A recording, its sensor given or not; says how many events stood behind later ones."""
    recording = read_recording(path, sensor, default)
    if recording.late:
        print(
            f"{path}: {recording.late} events stood behind later ones and were put in order",
            file=sys.stderr,
        )
    return recording
