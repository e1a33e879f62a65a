"""Which known data set a folder of classes holds: told by what is in it, never by its name.

Ten folders called 0 … 9 may hold anything. A folder is recognised only where all of it fits a card:

    classes   all among the card's, in the card's spelling, or its numbers
    files     of the card's kinds and names, or .npz below `events_np`, where SpikingJelly puts converted
              ones, called as it calls them
    sensor    the first readable recording of each class says the card's; where the files say none,
              their events lie within it, and use it (some beyond three quarters of a side) where no
              names of files tell the data set
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.cards import cards
from neuroclip.data.events.dataset import DatasetCard
from neuroclip.data.events.formats.raw import Sensor, uses
from neuroclip.data.events.recording import read_recording

CONVERTED = "events_np"
"""The folder of SpikingJelly's converted data sets."""

# Recordings of a class that are tried until one can be read.
_TRIES = 3
# Stands for the sensor of a file that does not say its own; no camera has it.
_UNSAID: Sensor = (65_536, 65_536)


def recognised(
    class_names: Sequence[str], paths: Sequence[Path], labels: NDArray[np.int64]
) -> tuple[DatasetCard | None, str]:
    """The card of the data set in a folder and the evidence, or None and why it is no known one.

    paths, labels: of all recordings, sorted by class; labels index class_names.
    """
    misses = []
    for card in cards().values():
        own = set(class_names) <= set(card.class_names) or set(class_names) <= set(card.numbers)
        if not own or not card.suffixes:
            continue
        if len(class_names) < card.fewest:
            misses.append(f"{len(class_names)} of {card.name}'s classes are too few to tell")
            continue
        miss = _other_files(card, paths) or _other_sensor(card, paths, labels)
        if miss is None:
            kinds = ", ".join(_kinds(paths))
            # Where names of files tell the data set, any of them may say another sensor.
            told = (
                f" and the names of its files ({kinds})"
                if card.files
                else f", its files ({kinds}) and its sensor of {_size(card.sensor)}"
            )
            return card, f"by its {len(class_names)} classes{told}"
        misses.append(f"not {card.name}, though its classes are: {miss}")
    return None, "; ".join(misses) or "its classes are no known data set's"


def _kinds(paths: Sequence[Path]) -> list[str]:
    return sorted({path.suffix.lower() for path in paths})


def _other_files(card: DatasetCard, paths: Sequence[Path]) -> str | None:
    """Why the files are not of the card's kinds, or None."""
    kinds = _kinds(paths)
    converted = kinds == [".npz"] and all(CONVERTED in path.parts for path in paths)
    if not converted and not set(kinds) <= set(card.suffixes):
        return f"its files are {', '.join(kinds)} and not {', '.join(card.suffixes)}"
    pattern = card.converted if converted else card.files
    other = next((p.name for p in paths if pattern and not _is_called(p, pattern)), None)
    return None if other is None else f"a file is called {other}"


def _is_called(path: Path, pattern: str) -> bool:
    return re.fullmatch(pattern, path.name.lower()) is not None


def _other_sensor(
    card: DatasetCard, paths: Sequence[Path], labels: NDArray[np.int64]
) -> str | None:
    """Why the recordings are not of the card's sensor, or None."""
    farthest, unsaid = np.zeros(2, int), False
    for label in np.unique(labels):
        for index in np.flatnonzero(labels == label)[:_TRIES]:
            try:
                recording = read_recording(paths[index], default=_UNSAID)
            except BadInput:
                continue
            sensor = recording.width, recording.height
            if sensor == _UNSAID:
                unsaid = True
                reached = int(recording.x.max()), int(recording.y.max())
                farthest = np.maximum(farthest, reached)
            elif sensor != card.sensor and not card.files:
                return f"{paths[index].name} is of a sensor of {_size(sensor)}"
            break
    if not unsaid or card.sensor is None:
        return None
    reach = f"its events reach column {farthest[0]} and row {farthest[1]} of {_size(card.sensor)}"
    inside = bool((farthest < card.sensor).all())
    fits = inside if card.files else uses(card.sensor, int(farthest[0]), int(farthest[1]))
    return None if fits else reach


def _size(sensor: Sensor | None) -> str:
    return "unknown size" if sensor is None else f"{sensor[0]}×{sensor[1]} pixels"
