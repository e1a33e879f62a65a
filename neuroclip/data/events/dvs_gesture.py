"""DVS128 Gesture as it is released, and as tonic lays it out (Amir et al. 2017).

Released: `trials_to_train.txt` and `trials_to_test.txt` name `.aedat` files (AEDAT 3.1); beside each,
`…_labels.csv` has a line `class,startTime_usec,endTime_usec` for each gesture, classes from 1 on.
tonic: `ibmGestureTrain/user01_natural/0.npy` and `ibmGestureTest/…`, classes from 0 on, x, y, p and t in ms.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from deploy.errors import BadInput
from neuroclip.data.events.dataset import DatasetCard, EventDataset
from neuroclip.data.events.formats.raw import Sensor
from neuroclip.data.events.recording import Recording, read_recording
from neuroclip.data.split import official, split_parts

TRIALS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
_FOLDERS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
_MAX_TEXT_BYTES = 1_000_000
_US_PER_MS = 1000


@dataclass(frozen=True)
class _Gesture:
    """A part of a recording, or (end 0) a file of its own; label from 0 on; start and end in µs."""

    path: Path
    part: str
    label: int
    start: int = 0
    end: int = 0


def dvs_gesture_dataset(card: DatasetCard, root: Path, seed: int = 0) -> EventDataset:
    """The gestures, read when they are asked for; test is the data set's own.

    Raises BadInput: a bad line, a file that is missing, no gesture, a class with fewer than 2.
    """
    classes = len(card.class_names)
    gestures = [
        g
        for part in TRIALS
        for g in (*_released(root, part, classes), *_by_tonic(root, part, classes))
    ]
    if not gestures:
        raise BadInput(f"{root}: no gesture of DVS128 Gesture in it")
    numbers, labels = np.unique([g.label for g in gestures], return_inverse=True)
    counts = np.bincount(labels)
    if counts.min() < 2:
        name = card.class_names[int(numbers[counts.argmin()])]
        raise BadInput(f"{root}: class '{name}' has 1 recording, at least 2 are needed")
    truth = labels.astype(np.int64)
    is_test = np.array([g.part == "test" for g in gestures])
    train, validation, test = split_parts(truth, is_test, seed)
    late: dict[str, int] = {}
    return EventDataset(
        card=card,
        names=tuple(_name(g) for g in gestures),
        labels=truth,
        class_names=tuple(card.class_names[number] for number in numbers),
        train=train,
        validation=validation,
        test=test,
        load=_loader(gestures, late, card.sensor),
        own_test=official(is_test),
        late=late,
    )


def _released(root: Path, part: str, classes: int) -> Iterator[_Gesture]:
    trials = root / TRIALS[part]
    if not trials.is_file():
        return
    for name in filter(None, map(str.strip, _lines(trials))):
        if "/" in name or "\\" in name:
            raise BadInput(f"{trials}: '{name[:80]}' is no name of a file beside it")
        path = root / name
        labels = root / f"{path.stem}_labels.csv"
        for number, line in enumerate(_lines(labels)[1:], start=2):
            if not line.strip():
                continue
            found = re.fullmatch(r" *(\d{1,2}) *, *(\d{1,15}) *, *(\d{1,15}) *", line)
            label, start, end = map(int, found.groups()) if found else (0, 0, 0)
            if not 1 <= label <= classes or start >= end:
                raise BadInput(f"{labels}: line {number}: {line[:80]!r} is not 'class,start,end'")
            yield _Gesture(path, part, label - 1, start, end)


def _by_tonic(root: Path, part: str, classes: int) -> Iterator[_Gesture]:
    for path in sorted((root / _FOLDERS[part]).glob("*/*.npy")):
        if path.name.startswith("._"):
            continue
        if not path.stem.isdecimal() or int(path.stem) >= classes:
            raise BadInput(f"{path}: is not called by a class, 0 to 10")
        yield _Gesture(path, part, int(path.stem))


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            raise BadInput(f"{path}: more than {_MAX_TEXT_BYTES} bytes of names")
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a text file: {error}") from error


def _name(gesture: _Gesture) -> str:
    return f"{gesture.path}@{gesture.start}" if gesture.end else str(gesture.path)


def _loader(
    gestures: list[_Gesture], late: dict[str, int], sensor: Sensor | None
) -> Callable[[int], Recording]:
    # The gestures of one file are mostly asked for one after the other.
    whole = lru_cache(maxsize=1)(lambda path: read_recording(path, default=sensor))

    def load(index: int) -> Recording:
        gesture = gestures[index]
        recording = whole(gesture.path)
        if recording.late:
            late[recording.name] = recording.late
        own, t = slice(None), recording.t * _US_PER_MS
        if gesture.end:
            t = recording.t
            own = slice(*np.searchsorted(t, [gesture.start, gesture.end]))
        return Recording(
            recording.x[own],
            recording.y[own],
            t[own],
            recording.p[own],
            recording.width,
            recording.height,
            _name(gesture),
        )

    return load
