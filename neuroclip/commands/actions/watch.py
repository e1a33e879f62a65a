"""What `neuroclip watch` does: classify one recording slice by slice, as it comes in."""

import re
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
from neuroclip.text.labels import split_labels


def watch_by_text(
    recording: Path,
    card: DatasetCard,
    spec: ClipSpec,
    *,
    labels: str | None,
    template: str | None,
    sensor: str | None,
    frame_options: Mapping[str, Any],
) -> int:
    """Classify a recording slice by slice by text alone, as one of the data set on a card."""
    names = card.class_names if labels is None else split_labels(labels)
    if not names:
        raise BadInput(f"--like {card.name}: its labels are in its folder; give them by --labels")
    events = _sensed(recording, sensor, card.sensor)
    encoder, frames = load_clip(spec), replace(card.frames, **frame_options)
    running = ZeroShotScores(encode_text(encoder, names, template or card.template))
    show(watch(events, encoder, frames, running), names, recording)
    return 0


def watch_on_chip(
    recording: Path, checkpoint: str, spec: ClipSpec | None, sensor: str | None
) -> int:
    """Classify a recording slice by slice with a checkpoint's adapter on the chip's arithmetic.

    spec: of its CLIP, where that is not the bundled one.
    """
    events = _sensed(recording, sensor, None)
    loaded = load_checkpoint(checkpoint)
    slices = watch(events, clip_of(loaded, spec), loaded.frames, ChipScores(loaded.chip_adapter))
    show(slices, loaded.labels, recording)
    return 0


def _sensed(path: Path, sensor: str | None, default: Sensor | None) -> Recording:
    """A recording; `sensor` is "WxH" as given. Raises BadInput as `read_recording` does."""
    if sensor is None:
        return read_recording(path, default=default)
    size = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", sensor)
    if size is None:
        raise BadInput(f"--sensor {sensor}: expected WIDTHxHEIGHT in pixels, such as 128x128")
    return read_recording(path, int(size[1]), int(size[2]))
