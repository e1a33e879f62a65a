"""What `neuroclip watch` does: classify one recording slice by slice, as it comes in."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.errors import BadInput
from neuroclip.adapter.checkpoint import load_checkpoint
from neuroclip.adapter.watch import ChipScores, RunningScores, ZeroShotScores, show, watch
from neuroclip.clip.framing import frames_for
from neuroclip.clip.model import BUNDLED, ClipSpec, encode_text, load_clip
from neuroclip.commands.learning import clip_of
from neuroclip.data.events.folders import CIFAR10_CLASSES, SENSORS
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.recording import Recording, read_recording
from neuroclip.text.labels import split_labels
from neuroclip.text.prompts import template_for

# Labels that stand for a data set whose recordings are watched one at a time.
_DIGITS = tuple(str(digit) for digit in range(10))
LABELS_LIKE = {"digits": _DIGITS, "nmnist": _DIGITS, "cifar10dvs": CIFAR10_CLASSES}


def watch_recording(
    *,
    recording: Path,
    checkpoint: str | None,
    like: str,
    clip: str | None,
    pretrained: str | None,
    labels: str | None,
    template: str | None,
    sensor: str | None,
    frame_options: Mapping[str, Any],
) -> int:
    """Classify a recording slice by slice, by text alone or with a checkpoint's chip adapter."""
    running: RunningScores
    if checkpoint is not None:
        own = {"clip": clip, "pretrained": pretrained, "labels": labels, "template": template}
        for name, value in {**own, **frame_options}.items():
            if value is not None:
                raise BadInput(f"--{name} {value}: a checkpoint has its own; leave one of them out")
        events = _sensed(recording, sensor, None)
        loaded = load_checkpoint(checkpoint)
        encoder, frames, names = clip_of(loaded), loaded.frames, loaded.labels
        running = ChipScores(loaded.chip_adapter)
    else:
        names = LABELS_LIKE.get(like, ()) if labels is None else split_labels(labels)
        if not names:
            raise BadInput(f"--like {like}: its labels are in its folder; give them by --labels")
        events = _sensed(recording, sensor, SENSORS.get(like))
        encoder = load_clip(ClipSpec(BUNDLED if clip is None else clip, pretrained))
        given = {name: value for name, value in frame_options.items() if value is not None}
        frames = replace(frames_for(like), **given)
        running = ZeroShotScores(encode_text(encoder, names, template or template_for(like)))
    show(watch(events, encoder, frames, running), names, recording)
    return 0


def _sensed(path: Path, sensor: str | None, default: Sensor | None) -> Recording:
    """A recording; `sensor` is "WxH" as given. Raises BadInput as `read_recording` does."""
    if sensor is None:
        return read_recording(path, default=default)
    size = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", sensor)
    if size is None:
        raise BadInput(f"--sensor {sensor}: expected WIDTHxHEIGHT in pixels, such as 128x128")
    return read_recording(path, int(size[1]), int(size[2]))
