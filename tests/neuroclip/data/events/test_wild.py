"""Event files as people have them: real bytes, event for event, and never worse than a line."""

import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.events.catalogue import open_dataset
from neuroclip.data.events.recording import Recording, read_recording

spec = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "spec.py")))
SIZE = (240, 180)
EVENTS = spec.stream(1, 400, *SIZE)
X, Y, P, T = (np.array(column) for column in zip(*EVENTS, strict=True))


def events_of(found: Recording) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in zip(found.x, found.y, found.p, found.t, strict=True)]


def text(rows: list[str], *head: str) -> bytes:
    return "".join(f"{line}\n" for line in (*head, *rows)).encode()


def array(order: str, kind: str = "f8", seconds: bool = False, signed: bool = False) -> np.ndarray:
    columns = {"x": X, "y": Y, "t": T / 1e6 if seconds else T, "p": 2 * P - 1 if signed else P}
    return np.stack([columns[name] for name in order], axis=1).astype(kind)


def structured() -> np.ndarray:
    made = np.zeros(len(X), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    made["x"], made["y"], made["t"], made["p"] = X, Y, T, P
    return made


def as_npy(values: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path.open("wb"), values)


def as_npz(**values: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path.open("wb"), **values)


def as_mat(path: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    columns = {"x": X, "y": SIZE[1] - 1 - Y, "ts": T, "pol": P}
    with path.open("wb") as stream:
        savemat(stream, {k: v[:, None] for k, v in columns.items()}, do_compression=True)


def as_h5(layout: str, **how: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        if how:
            pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
        with h5py.File(path, "w") as file:
            if layout == "v2e":
                file.create_dataset("events", data=array("txyp", "u4"), **how)
                return
            if layout == "mvsec":
                file.create_dataset(
                    "davis/left/events", data=array("xytp", "f8", True, True), **how
                )
                return
            if layout == "prophesee":
                file["CD/events"] = structured()
                file.attrs["geometry"] = np.bytes_("240x180")
                return
            if layout == "table":
                file["events"] = structured().astype(
                    [("col", "<i2"), ("row", "<i2"), ("timestamp", "<i8"), ("on", "?")]
                )
                return
            if layout == "named":
                named = {"polarity": P.astype("i1"), "y_pos": Y, "x_pos": X, "time_s": T / 1e6}
                for name, column in named.items():
                    file.create_dataset(f"events/{name}", data=column, **how)
                return
            place = "prophesee/left" if layout == "m3ed" else "events"
            columns = {"x": X.astype("u2"), "y": Y.astype("u2"), "t": T, "p": P.astype("u1")}
            for name, column in columns.items():
                file.create_dataset(f"{place}/{name}", data=column, **how)
            if layout == "m3ed":
                file.create_dataset("prophesee/left/calib/resolution", data=np.array(SIZE))
            if layout == "dsec":
                file.create_dataset("t_offset", data=17)
                file.create_dataset("ms_to_idx", data=np.arange(3))

    return write


def blosc() -> dict[str, Any]:
    hdf5plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    return dict(hdf5plugin.Blosc(cname="zstd"))


def content(made: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(made) and None


ROWS = {
    "txyp": [f"{t} {x} {y} {p}" for x, y, p, t in EVENTS],
    "seconds": [f"{t / 1e6:.6f} {x} {y} {p}" for x, y, p, t in EVENTS],
    "csv": [f"{x},{y},{2 * p - 1},{t}" for x, y, p, t in EVENTS],
}
DAVIS346 = [
    " This is a raw AE data file - do not edit",
    " AEChip: eu.seebetter.ini.chips.davis.Davis346blue",
    " Preferences: <entry key='DVS128.lastChip' value='Davis640'/>",
    " User name: Jürgen Müller",
]
V2E = [" This is a raw AE data file created by AEDat2Output in v2e (see https://…)"]
# File name, writer, and whether the sensor has to be given.
FORMATS: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "raw EVT2": ("a.raw", content(spec.raw_header("2.0", *SIZE) + spec.evt2(EVENTS)), False),
    "raw EVT2.1": ("a.RAW", content(spec.evt21(EVENTS)), True),
    "raw EVT3": ("a.raw", content(spec.raw_header("3.0", *SIZE) + spec.evt3(EVENTS)), False),
    "dat 2": ("a.dat", content(spec.dat(EVENTS, size=SIZE)), False),
    "dat 1": ("a.DAT", content(spec.dat(EVENTS, version=1)), True),
    "dat 0": ("a.dat", content(spec.dat(EVENTS, version=0)), True),
    "dat without header": ("a.dat", content(spec.dat(EVENTS, version=None)), True),
    "es": ("a.es", content(spec.es(EVENTS, *SIZE)), False),
    "five bytes": ("a.bin", content(spec.five_bytes(EVENTS)), False),
    "v2e aedat": ("a.aedat", content(spec.aedat2_davis(EVENTS, V2E, *SIZE)), True),
    "txt": ("a.txt", content(text(ROWS["txyp"])), True),
    "txt in seconds, RPG's": ("a.txt", content(text(ROWS["seconds"], "240 180")), False),
    "txt of v2e": (
        "a.txt",
        content(text(ROWS["seconds"], "# Format is time (float s), x, y, polarity (0=off, 1=on)", "# x")),
        True,
    ),
    "csv with names": ("a.CSV", content(text(ROWS["csv"], "x,y,polarity,timestamp [us]")), True),
    "csv of pandas, polarities as truths": (
        "a.csv",
        content(text([f"{i},{x},{y},{t},{bool(p)}" for i, (x, y, p, t) in enumerate(EVENTS)], ",x,y,t,p")),
        True,
    ),
    "csv whose lines end with a comma": (
        "a.csv", content(text([f"{t},{x},{y},{p}," for x, y, p, t in EVENTS], "t,x,y,p,")), True,
    ),
    "text of Windows without names": ("a.txt", content(b"\xef\xbb\xbf" + text(ROWS["txyp"])), True),
    "csv of Metavision": (
        "a.csv",
        content(text([f"{x},{y},{p},{t}" for x, y, p, t in EVENTS], "%geometry:240,180")),
        False,
    ),
    "csv in ms": (
        "a.csv", content(text([f"{t / 1e3:.3f},{x},{y},{p}" for x, y, p, t in EVENTS], "t_ms,x,y,p")), True,
    ),
    "csv in ns": (
        "a.csv",
        content(text([f"{t}{i % 1000:03},{x},{y},{p}" for i, (x, y, p, t) in enumerate(EVENTS)],
                     "timestamp (ns),x,y,p")),
        True,
    ),
    "npy structured": ("a.npy", as_npy(structured()), True),
    "npy xytp of EventCLIP": ("a.npy", as_npy(array("xytp", "f8", True, True)), True),
    "npy xypt": ("a.npy", as_npy(array("xypt", "i4")), True),
    "npz of N-ImageNet": ("a.npz", as_npz(event_data=structured()), True),
    "npz of columns": ("a.npz", as_npz(x=X, y=Y, t=T, p=P), True),
    "mat of ASL-DVS": ("a.mat", as_mat, False),
    "h5 of v2e": ("a.h5", as_h5("v2e", compression="gzip"), True),
    "h5 of other names": ("a.h5", as_h5("named", compression="lzf"), True),
    "h5 of a table of other names": ("a.h5", as_h5("table"), True),
    "h5 of Prophesee, its texts of fixed length": ("a.h5", as_h5("prophesee"), False),
    "h5 of MVSEC": ("a.hdf5", as_h5("mvsec"), True),
    "h5 of M3ED": ("a.h5", as_h5("m3ed"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_event_for_event(tmp_path: Path, name: str) -> None:
    file, write, unsaid = FORMATS[name]
    if name == "es":
        pytest.importorskip("faery", reason="faery is not installed")
    write(tmp_path / file)
    if unsaid:
        with pytest.raises(BadInput, match=r"has to be given.*--sensor"):
            read_recording(tmp_path / file)
    back = read_recording(tmp_path / file, SIZE if unsaid else None)
    assert events_of(back) == EVENTS and (back.width, back.height) == SIZE and not back.late


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_copies_are_a_line_or_events(tmp_path: Path, name: str) -> None:
    damaged(tmp_path, name, range(40 if name[:2] not in ("h5", "ma") else 8))


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_copies_are_a_line_or_events(tmp_path: Path, name: str) -> None:
    damaged(tmp_path, name, range(1000, 1400))


def damaged(folder: Path, name: str, seeds: range) -> None:
    """Cut off, or with bits turned: a line that names the file, or events that `Recording` accepts."""
    file, write, _ = FORMATS[name]
    write(folder / file)
    whole, told = (folder / file).read_bytes(), 0
    for seed in seeds:
        rng = random.Random(seed)
        made = bytearray(whole)
        if seed % 3 == 0:
            del made[rng.randrange(len(made)) :]
        for _ in range(rng.randrange(1, 6) if made and seed % 3 else 0):
            # The beginning says more than the rest.
            place = rng.randrange(len(made) if rng.random() < 0.5 else min(len(made), 300))
            made[place] ^= 1 << rng.randrange(8)
        (folder / file).write_bytes(made)
        try:
            read_recording(folder / file, SIZE)
        except BadInput as error:
            told += 1
            line = str(error)
            assert file in line and "\n" not in line and len(line) < 1000, line
    assert told


def test_blosc_and_dsec(tmp_path: Path) -> None:
    """DSEC's files are compressed by Blosc, and known as its own: 640×480."""
    as_h5("dsec", **blosc())(tmp_path / "events.h5")
    back = read_recording(tmp_path / "events.h5")
    assert events_of(back) == EVENTS and (back.width, back.height) == (640, 480)


def test_a_davis_by_its_own_line(tmp_path: Path) -> None:
    """Preferences name other cameras, and a name has letters beyond ASCII, in either encoding."""
    for encoding in ("utf-8", "latin-1"):
        made = spec.aedat2_davis(EVENTS, DAVIS346, 346, 260, encoding)
        (tmp_path / "a.aedat").write_bytes(made)
        back = read_recording(tmp_path / "a.aedat")
        assert events_of(back) == EVENTS and (back.width, back.height) == (346, 260)


def test_late_events_are_put_in_order_and_counted(tmp_path: Path) -> None:
    late = [*EVENTS[:50], (7, 8, 1, EVENTS[49][3] - 1), *EVENTS[50:]]
    for number in range(4):
        for label in ("left", "right"):
            path = tmp_path / "data" / label / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text([f"{t} {x} {y} {p}" for x, y, p, t in late]))
    (path.parent / "._3.txt").write_bytes(b"\0\5\x16\7")
    back = read_recording(path, SIZE)
    assert back.late == 1 and events_of(back) == sorted(late, key=lambda event: event[3])
    dataset = open_dataset(tmp_path / "data", sensor=SIZE)
    assert len(dataset) == 8 and "late" not in dataset.described
    dataset.load(0), dataset.load(1), dataset.load(1)
    assert "2 events of 2 recordings stood behind later ones" in dataset.described
    later = [*EVENTS, (1, 1, 1, EVENTS[-1][3] - 1001)]
    path.write_bytes(text([f"{t} {x} {y} {p}" for x, y, p, t in later], "# t x y p"))
    with pytest.raises(BadInput, match="time is not sorted"):
        read_recording(path, SIZE)


@pytest.mark.parametrize(
    ("file", "made", "words"),
    [
        ("a.txt", b"1 2 3\n", "four columns"),
        ("a.txt", b"1 2 3 1\n2 3 4\n", "line 2 has 3 values, 4 before"),
        ("a.txt", b"1 2 3 1\n2 x 4 1\n", "line 2 holds what is no number"),
        (
            "a.txt",
            b"# t x y p\n5 1 1 1\n%b 1 1 1\n" % (b"9" * 30),
            "line 3 holds what is no number of 64",
        ),
        (
            "a.txt",
            b"# t x y p\n-%b 1 1 1\n" % (b"9" * 5000),
            "line 2 holds what is no number of 64",
        ),
        ("a.txt", b"%b 9\n1 1 1 1\n" % (b"9" * 5000), "a.txt"),
        ("a.txt", b"1 1 1 1\n", "could be txyp or xytp or xypt"),
        ("a.csv", b"t,x,y,p\n1.0,2,3,1\n2.0,2,3,1\n", "could be seconds or"),
        ("a.csv", b"t,x,y,p\n1600000000000000000,2,3,1\n", "no µs; .* t_ns"),
        ("a.csv", b"t,x,y,p\n1,2,3,7\n", "p = 7, not 0 or 1"),
        ("a.csv", b"time,t,x,y,p\n1,1,2,3,1\n", "are both t"),
        ("a.txt", b"", "zero events"),
        ("a.es", b"Event Stream\x01\0\0\1\0\1\0\1", "version 1, type 1"),
        ("a.es", b"Event Stream\x02\0\0\0\0\1\0\1", "type 0"),
        ("a.dat", b"% Version 3\n\x0c\x08" + bytes(8), "version 3 of the format"),
        ("a.npy", b"\x93NUMPY", "not a readable .npy file"),
    ],
)
def test_what_is_refused(tmp_path: Path, file: str, made: bytes, words: str) -> None:
    (tmp_path / file).write_bytes(made)
    with pytest.raises(BadInput, match=words) as error:
        read_recording(tmp_path / file, SIZE)
    assert file in str(error.value) and "\n" not in str(error.value)


def test_nanoseconds_are_the_same_times_with_fractions_and_without(tmp_path: Path) -> None:
    """The microsecond that has begun, however a program writes 1 999 and 3 000 ns."""
    for end in ("", ".0", ".5"):
        rows = [f"{t}{end},2,3,1" for t in (0, 999, 1000, 1999, 3000, 9000)]
        (tmp_path / "a.csv").write_text("\n".join(["t_ns,x,y,p", *rows]))
        back = read_recording(tmp_path / "a.csv", SIZE)
        assert back.t.tolist() == [0, 0, 1, 1, 3, 9], end


def test_a_cut_es_is_told(tmp_path: Path) -> None:
    """faery passes over a last event that is cut."""
    pytest.importorskip("faery", reason="faery is not installed")
    whole = spec.es(EVENTS, *SIZE)
    for cut in (1, 2, 3, 4):
        (tmp_path / "a.es").write_bytes(whole[:-cut])
        with pytest.raises(BadInput, match="truncated"):
            read_recording(tmp_path / "a.es")
    (tmp_path / "a.es").write_bytes(whole + b"\xff\xff")
    assert events_of(read_recording(tmp_path / "a.es")) == EVENTS


@pytest.mark.parametrize(("package", "file", "says"), [("faery", "a.es", "pip install faery")])
def test_a_missing_package_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, file: str, says: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / file).write_bytes(spec.es(EVENTS, *SIZE))
    with pytest.raises(BadInput, match=says):
        read_recording(tmp_path / file)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_as_other_packages_read_raw(tmp_path: Path, version: str) -> None:
    """On a plain stream, which they read right (docs/recordings.md says where they do not)."""
    pytest.importorskip("faery", reason="faery is not installed")
    import faery

    data = spec.evt2(EVENTS) if version == "2.0" else spec.evt3(EVENTS)
    (tmp_path / "a.raw").write_bytes(spec.raw_header(version, *SIZE) + data)
    theirs = np.concatenate(list(faery.events_stream_from_file(tmp_path / "a.raw")))
    ours = read_recording(tmp_path / "a.raw")
    for name, field in zip("xytp", ("x", "y", "t", "on"), strict=True):
        assert np.array_equal(getattr(ours, name), theirs[field])


@pytest.mark.parametrize(
    ("name", "size"),
    [("17-04-04_11-00-13_cut_15_500000_60500000_td.dat", (304, 240)),
     ("moorea_2019-02-18_000_td.dat", (1280, 720)), ("obj_004001_td.dat", (120, 100))],
)  # fmt: skip
def test_sensors_by_the_names_of_files(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    events = spec.stream(3, 50, 120, 100)
    (tmp_path / name).write_bytes(spec.dat(events))
    back = read_recording(tmp_path / name)
    assert events_of(back) == events and (back.width, back.height) == size


HEADERS = {
    "as released in 2019": "% Date 2019-01-01 10:11:12\n% evt 2.0\n% system_ID 28\n% subsystem_ID 0\n",
    "its end in capitals": "% evt 2.0\n% END\n",
    "without spaces": "%evt 2.0\n%end\n",
    "an empty line": "% evt 2.0\n%\n% operator M\xfcller\n% end\n",
    "tabs": "%\tevt\t2.0\n%\tend\n",
    "colons": "% evt: 2.0\n% end\n",
    "an order of its own": "% evt 2.0\n% endianness Little\n% end\n",
    "order in capitals": "% Format EVT2;Endianness=LITTLE\n% end\n",
    "Windows": "% evt 2.0\r\n% end\r\n",
}
SIZE_LINES = (
    "% geometry 240x180\n", "%Geometry 240X180\n", "% geometry 240 x 180\n",
    "% Width: 240\n% Height: 180\n", "% format EVT2; height=180; width=240 \n",
)  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_the_wild(tmp_path: Path, header: str) -> None:
    events = spec.stream(3, 300, *SIZE)
    path = tmp_path / "a.RAW"
    path.write_bytes(HEADERS[header].encode("latin1") + spec.evt2(events))
    assert events_of(read_recording(path, SIZE)) == events
    if header == "as released in 2019":
        return
    for size in (s for s in SIZE_LINES if "ormat" not in HEADERS[header] or "format" not in s):
        path.write_bytes(size.encode() + HEADERS[header].encode("latin1") + spec.evt2(events))
        back = read_recording(path)
        assert events_of(back) == events and (back.width, back.height) == SIZE


def test_an_order_of_bytes_that_is_none_of_the_formats_is_refused(tmp_path: Path) -> None:
    for line in ("% endianness big", "% format EVT2;endianness=big"):
        (tmp_path / "a.raw").write_bytes(f"% evt 2.0\n{line}\n% end\n".encode() + bytes(8))
        with pytest.raises(BadInput, match="its words are in 'big' order"):
            read_recording(tmp_path / "a.raw", SIZE)
