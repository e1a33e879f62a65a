"""A million events of each format decoded and framed, beside the packages that read it: `make bench`.

Processor time of the fastest of some turns, and the ratio of another package's to ours: it decodes, and
tonic makes the frames. A figure is shown only where the package's events are ours; "other events" or the
package's error stand in its place otherwise. Nothing here asserts a time.

EVT 3.0 has vectors of 4 pixels on average, the other formats single events; the sensor has 640×480 pixels.
"""

import argparse
import importlib
import struct
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray
from timing import machine, rounds

from deploy.errors import BadInput
from neuroclip.data.events.frames import FrameOptions, histograms
from neuroclip.data.events.recording import Recording, read_recording, save_recording

WIDTH, HEIGHT = 640, 480
FRAMES = FrameOptions(slicing="time")
Fields = tuple[NDArray[Any], ...]
"""x, y, t, p of all events."""


def random_events(count: int) -> Fields:
    """Four neighbours of one row, time and polarity at a time, over the sensor within two seconds."""
    rng = np.random.default_rng(0)
    groups = count // 4
    x = (rng.integers(0, WIDTH - 4, groups)[:, None] + np.arange(4)).reshape(-1)
    t = np.sort(rng.integers(0, 2_000_000, groups))
    y, p = rng.integers(0, HEIGHT, groups), rng.integers(0, 2, groups)
    return x, np.repeat(y, 4), np.repeat(t, 4), np.repeat(p, 4)


def header(version: str) -> bytes:
    name = "EVT" + version.replace(".0", "").replace(".", "")
    return f"% evt {version}\n% format {name};height={HEIGHT};width={WIDTH}\n% end\n".encode()


def evt2(events: Fields) -> bytes:
    x, y, t, p = events
    words = np.stack([0x8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y], axis=1)
    return header("2.0") + words.astype("<u4").tobytes()


def evt3(events: Fields) -> bytes:
    x, y, t, p = (field[::4] for field in events)
    words = [0x8 << 12 | t >> 12 & 4095, 0x6 << 12 | t & 4095, y, 0x3 << 12 | p << 11 | x]
    vectors = [np.full(len(x), word) for word in (0x400F, 0x4000, 0x5000)]
    return header("3.0") + np.stack([*words, *vectors], axis=1).astype("<u2").tobytes()


def dat(events: Fields) -> bytes:
    x, y, t, p = events
    words = np.stack([t, p << 28 | y << 14 | x], axis=1).astype("<u4")
    said = f"% Version 2\n% Width {WIDTH}\n% Height {HEIGHT}\n".encode()
    return said + bytes([12, 8]) + words.tobytes()


def csv(events: Fields) -> bytes:
    rows = np.stack([events[2], events[0], events[1], events[3]], axis=1).tolist()
    return ("t,x,y,p\n" + "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in rows)).encode()


def seconds(events: Fields) -> bytes:
    x, y, t, p = (field.tolist() for field in events)
    rows = zip(t, x, y, p, strict=True)
    return ("t,x,y,p\n" + "".join(f"{t / 1e6:.6f},{x},{y},{p}\n" for t, x, y, p in rows)).encode()


def es(events: Fields) -> bytes:
    out = bytearray(b"Event Stream\x02\0\0\1" + struct.pack("<HH", WIDTH, HEIGHT))
    before = 0
    for x, y, t, p in np.stack(events, axis=1).tolist():
        passed, before = t - before, t
        out += b"\xff" * (passed // 127)
        out += struct.pack("<BHH", passed % 127 << 1 | p, x, HEIGHT - 1 - y)
    return bytes(out)


def hdf5(events: Fields) -> bytes:
    """As DSEC has it: compressed by Blosc with zstd (`hdf5plugin`'s default), time in µs."""
    made = BytesIO()
    with h5py.File(made, "w") as file:
        types = {"x": "<u2", "y": "<u2", "t": "<u4", "p": "<u1"}
        for (name, kind), field in zip(types.items(), events, strict=True):
            file.create_dataset(
                f"events/{name}", data=field.astype(kind), chunks=(100_000,),
                **hdf5plugin.Blosc(cname="zstd"),
            )  # fmt: skip
    return made.getvalue()


FORMATS = {
    "evt2.raw": (evt2, ("expelliarmus", "faery", "evlib")),
    "evt3.raw": (evt3, ("expelliarmus", "faery", "evlib", "evt3")),
    "dat.dat": (dat, ("expelliarmus", "faery")),
    "text.csv": (csv, ("faery", "polars", "pyarrow")),
    "secs.csv": (seconds, ()),
    "stream.es": (es, ("faery",)),
    "dsec.h5": (hdf5, ("h5py",)),
    "ours.npz": (None, ()),
}


def decoded(package: str, path: Path) -> Fields:
    """The events that a package reads. Raises what it raises."""
    library = importlib.import_module(package)
    if package == "expelliarmus":
        encoding = path.stem if path.suffix == ".raw" else "dat"
        found = library.Wizard(encoding=encoding).read(str(path))
        return found["x"], found["y"], found["t"], found["p"]
    if package == "h5py":
        with library.File(path) as file:
            return tuple(file[f"events/{name}"][:] for name in "xytp")
    if package == "evt3":
        found = library.decode_file(str(path))
        return found.x, found.y, found.timestamp, found.polarity
    if package == "evlib":
        table = library.load_events(str(path)).collect()
        t = table["t"].dt.total_microseconds() if "uration" in str(table["t"].dtype) else table["t"]
        columns = [np.asarray(c) for c in (table["x"], table["y"], t, table["polarity"])]
        return (*columns[:3], columns[3] > 0)
    if package in ("polars", "pyarrow"):
        read = importlib.import_module("pyarrow.csv" if package == "pyarrow" else package).read_csv
        return tuple(read(path)[name].to_numpy() for name in "xytp")
    parts = np.concatenate(list(library.events_stream_from_file(path)))
    return parts["x"], parts["y"], parts["t"], parts["on"]


def framed(events: Fields) -> NDArray[Any]:
    """tonic's frames of events."""
    from tonic.functional import to_frame_numpy

    x, y, t, p = events
    made = np.zeros(len(x), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i2")])
    made["x"], made["y"], made["t"], made["p"] = x, y, t, p
    return np.asarray(to_frame_numpy(made, (WIDTH, HEIGHT, 2), n_time_bins=FRAMES.steps))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    events = random_events(options.events)
    print(f"{options.events} events decoded and framed; {machine()}")
    print(f"{'format':10}{'ours, s':>10}   times ours")
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, packages) in FORMATS.items():
            path = Path(folder) / name
            made = Recording(*events, WIDTH, HEIGHT, name)
            save_recording(path, made) if write is None else path.write_bytes(write(events))
            given = (WIDTH, HEIGHT) if name.endswith((".csv", ".h5")) else None
            try:
                calls: dict[str, Callable[[], object]] = {
                    "ours": lambda p=path, g=given: histograms(read_recording(p, g), FRAMES)
                }
                back = read_recording(path, given)
            except BadInput as error:
                print(f"{name:10}{error}")
                continue
            assert all(np.array_equal(a, b) for a, b in zip(events, fields(back), strict=True))
            shown = []
            for package in packages:
                try:
                    theirs = decoded(package, path)
                except ImportError:
                    shown.append(f"{package} not installed")
                except Exception as error:  # packages raise what they like
                    shown.append(f"{package} {type(error).__name__}")
                else:
                    same = zip(fields(back), theirs, strict=True)
                    if all(np.array_equal(a, b) for a, b in same):
                        calls[package] = lambda k=package, p=path: framed(decoded(k, p))
                    else:
                        shown.append(f"{package} other events")
            seconds = {k: cpu for k, (_, cpu) in rounds(calls, options.repeats).items()}
            ratios = [f"{k} {v / seconds['ours']:.1f}" for k, v in seconds.items() if k != "ours"]
            print(f"{name:10}{seconds['ours']:10.3f}   {', '.join(ratios + shown)}")


def fields(recording: Recording) -> Fields:
    return recording.x, recording.y, recording.t, recording.p


if __name__ == "__main__":
    main()
