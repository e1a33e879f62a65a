"""What a section of the page is, and the run that it is filled from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import getfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.program.program import Program


@dataclass(frozen=True, eq=False)
class Run:
    """What is known of a run.

    report: the object that report.json holds. recordings: {"NAME/s": integers [samples, time, *shape],
    "NAME/v": int32 likewise}. program: the network that ran. frames: what the host saw of the first
    samples, uint8 [samples, slices, height, width], where it looked at frames.
    """

    report: Mapping[str, Any]
    recordings: Mapping[str, NDArray[Any]]
    program: Program
    frames: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Section:
    """A section of the page.

    identity: the anchor that the contents link to. heading, and short: in the contents, where it is
    another. facts: what the template shows of a run, by name, beside its `report`; None leaves the
    section out.
    """

    identity: str
    heading: str
    facts: Callable[[Run], Mapping[str, Any] | None]
    short: str = ""

    @property
    def template(self) -> Path:
        """The jinja2 template, which escapes every text: beside the file of `facts`, by its name."""
        return Path(getfile(self.facts)).with_suffix(".html")
