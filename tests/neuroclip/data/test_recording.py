"""Recordings: what is refused, and what the two file formats hold."""

import os
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.events.formats import nmnist
from neuroclip.data.events.recording import (
    Recording,
    read_recording,
    recording_digest,
    save_recording,
)


def recording(**changes: object) -> Recording:
    fields: dict = {
        "x": np.array([0, 3, 1]),
        "y": np.array([1, 2, 0]),
        "t": np.array([0, 5, 5]),
        "p": np.array([0, 1, 1]),
        "width": 4,
        "height": 3,
        "name": "here.npz",
    }
    return Recording(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({k: np.zeros(0, int) for k in "xytp"}, "zero events"),
        ({"x": np.array([0, 4, 1])}, "event 1 has x = 4, outside the sensor of 4×3"),
        ({"y": np.array([0, 2, -1])}, "event 2 has y = -1, outside the sensor of 4×3"),
        ({"x": np.array([0, 1, 2**40])}, "event 2 has x = 1099511627776"),
        ({"p": np.array([0, 1, 2])}, "event 2 has p = 2, not 0 or 1"),
        ({"t": np.array([-1, 5, 6])}, "event 0 has a negative time, -1 µs"),
        ({"t": np.array([0, 6, 5])}, "event 2 at 5 µs comes after event 1 at 6 µs"),
        ({"t": np.array([0, 1, 2**63], np.uint64)}, "does not fit"),
        ({"t": np.array([0, 1])}, "fields differ in length"),
        ({"t": np.array([0.0, 1.0, np.nan])}, "field 't' is float64"),
        ({"x": np.zeros((3, 1), int)}, "field 'x'"),
        ({"width": 0}, "sensor width 0"),
    ],
)
def test_bad_events_are_refused_by_name(changes: dict, words: str) -> None:
    with pytest.raises(BadInput) as error:
        recording(**changes)
    message = str(error.value)
    assert message.startswith("here.npz: ") and words in message and "\n" not in message


def test_fields_get_their_dtypes() -> None:
    made = recording()
    dtypes = [made.x.dtype, made.y.dtype, made.t.dtype, made.p.dtype]
    assert dtypes == [np.int32, np.int32, np.int64, np.uint8]
    assert len(made) == 3


def test_npz_round_trip(tmp_path: Path) -> None:
    made = recording()
    save_recording(tmp_path / "r.npz", made)
    back = read_recording(tmp_path / "r.npz")
    for field in ("x", "y", "t", "p"):
        assert np.array_equal(getattr(back, field), getattr(made, field))
    assert (back.width, back.height) == (4, 3)
    assert recording_digest(back) == recording_digest(made)
    assert recording_digest(recording(p=np.array([0, 1, 0]))) != recording_digest(made)


def test_nmnist_file_has_the_right_axes_polarity_and_time(tmp_path: Path) -> None:
    """Bytes written as the data set's page defines them: x, y, polarity in bit 7, time."""
    events = [(5, 7, 1, 10), (33, 0, 0, 70_000), (0, 33, 1, 300_000)]
    raw = bytearray()
    for x, y, p, t in events:
        raw += bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255])
    path = tmp_path / "00001.bin"
    path.write_bytes(raw)
    back = read_recording(path)
    assert list(zip(back.x, back.y, back.p, back.t, strict=True)) == events
    assert (back.width, back.height) == (34, 34)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "zero events"),
        (bytes(7), "truncated"),
        (bytes([34, 0, 0, 0, 0]), "its events reach column 34 and row 0); it has to be given"),
    ],
)
def test_bad_nmnist_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.bin") as error:
        read_recording(path)
    assert words in str(error.value)


def test_other_bad_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no-such"):
        read_recording(tmp_path / "no-such.bin")
    with pytest.raises(BadInput, match="unknown event file type"):
        read_recording(tmp_path / "movie.avi")
    np.savez(tmp_path / "few.npz", x=np.zeros(1, int))
    with pytest.raises(BadInput, match="no field 'y'"):
        read_recording(tmp_path / "few.npz")
    with pytest.raises(BadInput, match="recordings are written as"):
        save_recording(tmp_path / "r.bin", recording())


@pytest.mark.skipif(
    "NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA (folder of real data) is not set"
)
def test_real_recordings() -> None:
    paths = sorted((Path(os.environ["NEUROCLIP_DATA"]) / "nmnist" / "Train").glob("*/*.bin"))[::50]
    assert paths
    for path in paths:
        real = read_recording(path)
        assert 1_000 < len(real) < 8_000 and 250_000 < real.t[-1] < 330_000


def test_overflows_are_added_up_as_tonic_adds_them(tmp_path: Path) -> None:
    tonic_io = pytest.importorskip("tonic.io")
    rng, path = np.random.default_rng(0), tmp_path / "a.bin"
    kind = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.uint8)])
    for _ in range(5):
        raw = rng.integers(0, 256, (200, 5), dtype=np.uint8)
        raw[rng.random(200) < 0.2, 1] = 240
        path.write_bytes(raw.tobytes())
        ours, theirs = nmnist.read(path), tonic_io.read_mnist_file(str(path), dtype=kind)
        for field in "xytp":
            np.testing.assert_array_equal(getattr(ours, field), theirs[field])


def test_no_time_wraps(tmp_path: Path) -> None:
    """Seconds of half precision end at 65 504 µs; times that a thousand slices would carry over 2^63."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for field in "xp":
            file[f"events/{field}"] = np.zeros(2, np.uint8)
        file["events/y"] = np.zeros(2, np.uint8)
        file["events/t"] = np.array([0.5, 9_000], np.float16)
        file.attrs["width"] = file.attrs["height"] = 4
    assert int(read_recording(tmp_path / "a.h5").t[-1]) == 9_000 * 1_000_000
    zero = np.zeros(2, np.uint8)
    with pytest.raises(BadInput, match="over a century"):
        Recording(zero, zero, np.array([0, 1 << 60]), zero, 4, 4, "a")
