"""What an action is asked for, as far as several of them are asked for the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroclip.clip.spec import ClipSpec


@dataclass(frozen=True)
class Source:
    """Which data set: its name or path, where data sets lie, and whether bad items are left out.

    sensor: width and height in pixels, of recordings that do not say them.
    """

    data: str
    root: str | None
    skip_bad: bool
    sensor: tuple[int, int] | None = None

    @property
    def inputs(self) -> dict[str, object]:
        """What is read, by option."""
        return {"--data": self.data, "--data-root": self.root}


def clip_inputs(spec: ClipSpec | None) -> dict[str, object]:
    """What is read of a CLIP that a person names, by option."""
    return {} if spec is None else {"--clip": spec.model, "--pretrained": spec.pretrained}


@dataclass(frozen=True)
class Runs:
    """Many trainings: on what, how often, how long, and where their results are kept."""

    source: Source
    clip: ClipSpec
    frames: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seeds: int
    variants: int
    out: Path
    jobs: int
    resume: bool
