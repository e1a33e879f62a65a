"""Event recordings: the type, its checks, and reading and writing the files that hold it."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import write_npz
from neuroclip.data.events.formats import (
    aedat,
    aedat4,
    dat,
    es,
    evt,
    hdf5,
    mat,
    nmnist,
    npy,
    npz,
    text,
)
from neuroclip.data.events.formats.raw import MAX_LATE_US, RawEvents, Sensor

# Times a thousand slices, which `FrameOptions` allows, are still below 2^63.
_LONGEST_US = 1 << 52


@dataclass(frozen=True, eq=False)
class Recording:
    """One event stream, checked when it is made.

    x, y: int32 [events], pixel column and row, 0 at the left and top; t: int64 [events], µs, never
    decreasing; p: uint8 [events], the polarity bit, 0 or 1; width, height: of the sensor, in
    pixels; name: the file (or data set item) that error messages name; late: how many of the events
    stood in the file behind a later one (see `checked_recording`).

    Raises BadInput: no event, fields of different length, a value that is not an integer, an event
    outside the sensor, a polarity other than 0 and 1, negative or decreasing time.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    t: NDArray[np.int64]
    p: NDArray[np.uint8]
    width: int
    height: int
    name: str
    late: int = 0

    def __post_init__(self) -> None:
        for size, field in ((self.width, "width"), (self.height, "height")):
            if not 1 <= size <= 65_536:
                raise BadInput(f"{self.name}: sensor {field} {size} is not between 1 and 65536")
        fields: dict[str, NDArray[Any]] = {"x": self.x, "y": self.y, "t": self.t, "p": self.p}
        for field, values in fields.items():
            if values.ndim != 1 or values.dtype.kind not in "iub":
                raise BadInput(
                    f"{self.name}: field '{field}' is {values.dtype} of shape {values.shape}, "
                    "expected one integer per event"
                )
        lengths = {field: len(values) for field, values in fields.items()}
        if len(set(lengths.values())) != 1:
            raise BadInput(f"{self.name}: fields differ in length: {lengths}")
        if not len(self.t):
            raise BadInput(f"{self.name}: the recording holds zero events")
        self._check_range("x", self.x, self.width)
        self._check_range("y", self.y, self.height)
        self._check_range("p", self.p, 2)
        # Compared before the cast: an unsigned time above 2^63 must not wrap to a legal one.
        if int(self.t.max()) > np.iinfo(np.int64).max:
            raise BadInput(f"{self.name}: time {int(self.t.max())} µs does not fit 63 bits")
        t = self.t.astype(np.int64)
        if t[0] < 0:
            raise BadInput(f"{self.name}: event 0 has a negative time, {int(t[0])} µs")
        if int(t[-1]) - int(t[0]) > _LONGEST_US:
            raise BadInput(f"{self.name}: it lasts {int(t[-1]) - int(t[0])} µs, over a century")
        backwards = np.flatnonzero(t[1:] < t[:-1])
        if len(backwards):
            i = int(backwards[0]) + 1
            raise BadInput(
                f"{self.name}: event {i} at {int(t[i])} µs comes after event {i - 1} "
                f"at {int(t[i - 1])} µs: time is not sorted"
            )
        # A frozen dataclass is set this way in its own constructor: the fields get their dtypes.
        object.__setattr__(self, "x", self.x.astype(np.int32))
        object.__setattr__(self, "y", self.y.astype(np.int32))
        object.__setattr__(self, "t", t)
        object.__setattr__(self, "p", self.p.astype(np.uint8))

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, own: slice) -> "Recording":
        """Some of the events, in their order."""
        fields = (self.x[own], self.y[own], self.t[own], self.p[own])
        return Recording(*fields, self.width, self.height, self.name)

    def _check_range(self, field: str, values: NDArray[Any], stop: int) -> None:
        bad = np.flatnonzero((values < 0) | (values >= stop))
        if len(bad):
            i = int(bad[0])
            what = f"outside the sensor of {self.width}×{self.height}" if stop > 2 else "not 0 or 1"
            what = "not 0 or 1" if field == "p" else what
            raise BadInput(f"{self.name}: event {i} has {field} = {int(values[i])}, {what}")


_READERS: dict[str, Callable[[Path, Sensor | None], RawEvents]] = {
    ".bin": nmnist.read,
    ".bs2": nmnist.read,
    ".aedat": aedat.read,
    ".aedat4": aedat4.read,
    ".dat": dat.read,
    ".raw": evt.read,
    ".es": es.read,
    ".csv": text.read,
    ".txt": text.read,
    ".npy": npy.read,
    ".npz": npz.read,
    ".mat": mat.read,
    ".h5": hdf5.read,
    ".hdf5": hdf5.read,
}
SUFFIXES = tuple(_READERS)
"""The kinds of event file that `read_recording` reads, in lower case; files may have them in any."""


# What lies beside recordings in many a data set, with a suffix of theirs.
_BESIDE = re.compile(r"(read_?me|licen[cs]e|copying|citation)\b.*\.txt", re.IGNORECASE)


def is_recording(path: Path) -> bool:
    """Whether a path is an event file by its name; hidden ones are none (macOS leaves `._…` beside files),
    nor are texts called readme and the like."""
    other = path.name.startswith(".") or _BESIDE.fullmatch(path.name)
    return path.suffix.lower() in _READERS and not other and path.is_file()


def read_recording(
    path: str | Path, sensor: Sensor | None = None, default: Sensor | None = None
) -> Recording:
    """Read one event recording; its suffix, one of `SUFFIXES`, says of which kind it is.

    The formats are described in `neuroclip.data.events.formats`. sensor: width and
    height in pixels, which the file must not contradict; default: of files that do not say it.
    Raises BadInput naming the file: unreadable, truncated, of another kind, a sensor that is not
    known or not the file's, or events that `Recording` refuses.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise BadInput(
            f"{path}: unknown event file type '{path.suffix}', expected one of {', '.join(SUFFIXES)}"
        )
    events = _READERS[suffix](path, sensor or default)
    if sensor and events.sensor and sensor != events.sensor:
        raise BadInput(
            f"{path}: the sensor is {_size(events.sensor)} by the file, {_size(sensor)} as given"
        )
    return checked_recording(path, events, sensor or default)


def checked_recording(path: Path, events: RawEvents, sensor: Sensor | None) -> Recording:
    """A recording of what a reader returned; `sensor` is used where the file says none.

    Events that stand up to `MAX_LATE_US` behind later ones are put in order, and counted. Raises
    BadInput: no sensor is known, or events that `Recording` refuses.
    """
    sensor = events.sensor or sensor or _likely(events)
    if sensor is None:
        reach = ""
        if len(events.x) and len(events.y):
            reach = f" (its events reach column {events.x.max()} and row {events.y.max()})"
        raise BadInput(
            f"{path}: the file does not say the sensor's size{reach}; it has to be given: "
            "--sensor WIDTHxHEIGHT"
        )
    (x, y, t, p), late = _in_order(events)
    return Recording(x, y, t, p, *sensor, name=str(path), late=late)


def _likely(events: RawEvents) -> Sensor | None:
    """The sensor of files that are laid out so, where all events lie within it."""
    if events.likely is None or not len(events.x) or not len(events.y):
        return None
    inside = events.x.max() < events.likely[0] and events.y.max() < events.likely[1]
    return events.likely if inside else None


def _in_order(events: RawEvents) -> tuple[tuple[NDArray[Any], ...], int]:
    """x, y, t, p in order of time, where none is too late, and how many were late."""
    fields, t = (events.x, events.y, events.t, events.p), events.t
    if t.ndim != 1 or t.dtype.kind not in "iu" or not (t[1:] < t[:-1]).any():
        return fields, 0
    behind = np.maximum.accumulate(t) - t
    # Of other lengths or too late: `Recording` says so.
    if behind.max() > MAX_LATE_US or len({len(field) for field in fields}) > 1:
        return fields, 0
    order = np.argsort(t, kind="stable")
    return tuple(field[order] for field in fields), int(np.count_nonzero(behind))


def _size(sensor: Sensor) -> str:
    return f"{sensor[0]}×{sensor[1]}"


def save_recording(path: str | Path, recording: Recording) -> None:
    """Write a recording as `.npz` with the fields x, y, t, p, width, height, atomically."""
    path = Path(path)
    if Path(path).suffix != ".npz":
        raise BadInput(f"{path}: recordings are written as .npz")
    write_npz(
        path,
        {
            "x": recording.x,
            "y": recording.y,
            "t": recording.t,
            "p": recording.p,
            "width": np.asarray(recording.width, dtype=np.int64),
            "height": np.asarray(recording.height, dtype=np.int64),
        },
    )


def recording_digest(recording: Recording) -> str:
    """SHA-256 over a recording's events and sensor size (not its name), as hexadecimal text."""
    digest = hashlib.sha256(f"{recording.width}x{recording.height}:{len(recording)}".encode())
    for values in (recording.x, recording.y, recording.t, recording.p):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
