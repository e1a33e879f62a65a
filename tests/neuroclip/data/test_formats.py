"""Every event format, written here in its real bytes: axes, polarity, and what is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.data.events.recording import Recording, read_recording

# Column from the left, row from the top, brighter, µs: not symmetric under any flip or exchange.
EVENTS = [(5, 7, 1, 10), (33, 0, 0, 70_000), (0, 21, 1, 70_000), (2, 31, 0, 300_000)]


def events_of(recording: Recording) -> list[tuple[int, ...]]:
    return list(zip(recording.x, recording.y, recording.p, recording.t, strict=True))


def refused(path: Path, *words: str, **sensor: tuple[int, int]) -> None:
    with pytest.raises(BadInput) as error:
        read_recording(path, **sensor)
    message = str(error.value)
    assert path.name in message and "\n" not in message
    for word in words:
        assert word in message


def five_bytes(events: list[tuple[int, int, int, int]] = EVENTS) -> bytes:
    return b"".join(
        bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255]) for x, y, p, t in events
    )


def jaer_dvs128(events: list[tuple[int, int, int, int]] = EVENTS, header: bytes = b"") -> bytes:
    """AEDAT 2.0 of a DVS128: columns from the right, rows from the bottom, OFF in bit 0."""
    words = (((127 - y) << 8 | (127 - x) << 1 | (1 - p), t) for x, y, p, t in events)
    return (
        b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
        + header
        + b"".join(struct.pack(">II", *pair) for pair in words)
    )


def davis346(events: list[tuple[int, int, int, int]] = EVENTS) -> bytes:
    """AEDAT 2.0 of a DAVIS346, with one sample of a picture and one signal between the events."""
    words = [((259 - y) << 22 | (345 - x) << 12 | p << 11, t) for x, y, p, t in events]
    words[1:1] = [(1 << 31 | 5, 20), (1 << 10 | 9, 21)]
    return b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n" + b"".join(
        struct.pack(">II", *pair) for pair in words
    )


def caer_packets(events: list[tuple[int, int, int, int]] = EVENTS, overflow: int = 0) -> bytes:
    """AEDAT 3.1 as in DVS128 Gesture: a packet of special events, then polarities, one not valid."""
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + struct.pack("<II", 3, 0)
    words = [(x << 17 | y << 2 | p << 1 | 1, t) for x, y, p, t in events]
    words.append((9 << 17 | 9 << 2, 300_001))
    count = len(words)
    return (
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
        + special
        + struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, count, count, count - 1)
        + b"".join(struct.pack("<II", *pair) for pair in words)
    )


def prophesee(version: int = 2, kind: int = 12, size: str = "% Width 64\n% Height 48\n") -> bytes:
    y_bit, p_bit = (14, 28) if version >= 2 else (9, 17)
    words = ((t, p << p_bit | y << y_bit | x) for x, y, p, t in EVENTS)
    return (
        f"% Data file containing CD events.\n% Version {version}\n{size}% end\n".encode()
        + bytes([kind, 8])
        + b"".join(struct.pack("<II", *pair) for pair in words)
    )


def dv(events: list[tuple[int, int, int, int]] = EVENTS) -> bytes:
    """AEDAT 4: a flatbuffer with an XML text, then packets that are flatbuffers of events."""

    def node(name: str, inner: str) -> str:
        return f'<node name="{name}" path="/{name}/">{inner}</node>'

    def attribute(key: str, kind: str, value: object) -> str:
        return f'<attr key="{key}" type="{kind}">{value}</attr>'

    size = attribute("sizeX", "int", 64) + attribute("sizeY", "int", 48)
    stream = attribute("compression", "string", "NONE")
    stream += attribute("typeIdentifier", "string", "EVTS") + node("info", size)
    text = f'<dv version="2.0">{node("outInfo", node("0", stream))}</dv>'.encode()
    header = struct.pack("<I4s5H2x", 20, b"IOHE", 10, 8, 0, 0, 4) + struct.pack("<iI", 12, 4)
    header += struct.pack("<I", len(text)) + text + b"\0"
    packet = struct.pack("<I4s3H2x", 16, b"EVTS", 6, 8, 4) + struct.pack("<iI", 8, 4)
    packet += struct.pack("<I", len(events))
    packet += b"".join(struct.pack("<qhh?3x", t, x, y, p) for x, y, p, t in events)
    sized = [struct.pack("<I", len(part)) + part for part in (header, packet)]
    return b"#!AER-DAT4.0\r\n" + sized[0] + struct.pack("<II", 0, len(sized[1])) + sized[1]


@pytest.mark.parametrize(
    ("name", "content", "sensor"),
    [
        ("a.bin", five_bytes(), (34, 34)),
        ("a.bs2", five_bytes(), (34, 34)),
        ("a.aedat", jaer_dvs128(), (128, 128)),
        ("a.aedat", jaer_dvs128(header=b"# HardwareInterface: DVS128\r\n"), (128, 128)),
        ("a.aedat", davis346(), (346, 260)),
        ("a.aedat", caer_packets(), (128, 128)),
        ("a.dat", prophesee(), (64, 48)),
        ("a.dat", prophesee(version=1, kind=0), (64, 48)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_axes_polarity_and_time(
    tmp_path: Path, name: str, content: bytes, sensor: tuple[int, int]
) -> None:
    (tmp_path / name).write_bytes(content)
    back = read_recording(tmp_path / name)
    assert events_of(back) == EVENTS
    assert (back.width, back.height) == sensor


def test_aedat4(tmp_path: Path) -> None:
    pytest.importorskip("aedat", reason="aedat is not installed: .aedat4 cannot be read")
    path = tmp_path / "a.aedat4"
    path.write_bytes(dv())
    back = read_recording(path)
    assert events_of(back) == EVENTS and (back.width, back.height) == (64, 48)
    path.write_bytes(dv([(64, 0, 0, 1)]))
    refused(path, "event 0 has x = 64, outside the sensor of 64×48")
    for cut in (20, len(dv()) - 20):
        path.write_bytes(dv()[:cut])
        refused(path, ".aedat4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dv()[:-1], "declares packets up to byte"),
        (dv() + b"tail", "ends within a packet"),
        (dv().replace(b"outInfo", b"out\xc3nfo"), "no text"),
        (dv()[:30], "truncated or damaged"),
        (dv()[:16], "truncated or damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_aedat4_never_reaches_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    """Which aborts the whole process on some of these."""
    monkeypatch.setitem(__import__("sys").modules, "aedat", None)
    (tmp_path / "a.aedat4").write_bytes(content)
    refused(tmp_path / "a.aedat4", words)


def test_aedat4_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aedat", None)
    (tmp_path / "a.aedat4").write_bytes(dv())
    refused(tmp_path / "a.aedat4", "pip install aedat")
    (tmp_path / "b.aedat4").write_bytes(jaer_dvs128())
    refused(tmp_path / "b.aedat4", "not an .aedat4 file")


def test_cifar10dvs_is_upright(tmp_path: Path) -> None:
    """Its rows are in the bits that hold columns otherwise (SpikingJelly: x = 127 − y of jAER)."""
    words = [((127 - x) << 8 | (127 - y) << 1 | (1 - p), t) for x, y, p, t in EVENTS]
    path = tmp_path / "cifar10_cat_17.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", *pair) for pair in words))
    assert events_of(read_recording(path)) == EVENTS


def test_davis_agrees_with_tonic(tmp_path: Path) -> None:
    from tonic.io import read_davis_346

    path = tmp_path / "a.aedat"
    words = [((259 - y) << 22 | (345 - x) << 12 | p << 11, t) for x, y, p, t in EVENTS]
    path.write_bytes(
        b"#!AER-DAT2.0\r\n# davis346\r\n" + b"".join(struct.pack(">II", *w) for w in words)
    )
    _, _, theirs = read_davis_346(str(path))
    ours = read_recording(path)
    for field in "xytp":
        assert np.array_equal(getattr(ours, field), theirs[field])


def test_prophesee_agrees_with_expelliarmus(tmp_path: Path) -> None:
    """The library that tonic reads these files with, as the writer and as the reader."""
    wizard = pytest.importorskip("expelliarmus").Wizard(encoding="dat")
    path = tmp_path / "a.dat"
    path.write_bytes(prophesee())
    theirs = wizard.read(str(path))
    assert [tuple(e[f] for f in "xypt") for e in theirs] == EVENTS
    written = tmp_path / "b.dat"
    wizard.save(str(written), theirs)
    assert events_of(read_recording(written, (64, 48))) == EVENTS


def test_overflow_of_aedat3_time(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(caer_packets(overflow=1))
    assert read_recording(path).t[0] == 10 + 2**31


def write_h5(path: Path, layout: str, **attributes: object) -> None:
    h5py = pytest.importorskip("h5py")
    x, y, p, t = (np.array(column) for column in zip(*EVENTS, strict=True))
    with h5py.File(path, "w") as file:
        if layout == "dsec":
            columns = {"x": x.astype("u2"), "y": y.astype("u2"), "t": t.astype("u4"), "p": p > 0}
            for name, column in columns.items():
                file.create_dataset(f"events/{name}", data=column)
            file.create_dataset("t_offset", data=51648500652)
        elif layout == "rpg":
            columns = {"xs": x, "ys": y, "ts": t * 1e-6, "ps": 2 * p - 1}
            for name, column in columns.items():
                file.create_dataset(f"events/{name}", data=column)
        else:
            fields = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
            file.create_dataset("CD/events", data=np.array(EVENTS_TABLE, dtype=fields))
        file.attrs.update(attributes)


EVENTS_TABLE = [(x, y, p, t) for x, y, p, t in EVENTS]


@pytest.mark.parametrize("layout", ["dsec", "rpg", "prophesee"])
def test_hdf5_layouts(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "a.h5"
    write_h5(path, layout, width=64, height=48)
    back = read_recording(path)
    assert events_of(back) == EVENTS and (back.width, back.height) == (64, 48)
    write_h5(path, layout, sensor_resolution=(48, 64))
    assert read_recording(path).width == 64
    refused(path, "64×48 by the file, 48×64 as given", sensor=(48, 64))
    write_h5(path, layout)
    refused(path, "sensor's size")
    assert events_of(read_recording(path, (64, 48))) == EVENTS


def test_bad_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    path.write_bytes(b"no such thing")
    refused(path, "cannot read")
    with h5py.File(path, "w") as file:
        file.create_dataset("pictures", data=np.zeros(3))
    refused(path, "no events found")
    write_h5(path, "rpg", width=64, height=48)
    with h5py.File(path, "r+") as file:
        file["events/ts"][2] = np.nan
    refused(path, "event 2 has t = nan")
    write_h5(path, "dsec", width="wide", height=48)
    refused(path, "no number")
    write_h5(path, "dsec", width=64, height=48)
    path.write_bytes(path.read_bytes()[:900])
    refused(path, "a.h5")
    with h5py.File(path, "w") as file:
        for name in "xytp":
            file.create_dataset(f"events/{name}", shape=(10**12,), dtype="u1", chunks=(1024,))
    refused(path, "1000000000000 events exceed the limit", sensor=(64, 48))


def test_npz_of_others(tmp_path: Path) -> None:
    """SpikingJelly's files hold no sensor; ES-ImageNet's two lists are row, column, step."""
    x, y, p, t = (np.array(column) for column in zip(*EVENTS, strict=True))
    np.savez(tmp_path / "a.npz", t=t, x=x, y=y, p=p)
    refused(tmp_path / "a.npz", "has to be given")
    assert events_of(read_recording(tmp_path / "a.npz", (128, 128))) == EVENTS
    pos, neg = np.array([[7, 5, 1], [2, 3, 8]], np.uint8), np.array([[250, 9, 4]], np.uint8)
    np.savez(tmp_path / "es.npz", pos=pos, neg=neg)
    back = read_recording(tmp_path / "es.npz")
    assert events_of(back) == [(5, 7, 1, 1), (9, 250, 0, 4), (3, 2, 1, 8)]
    assert (back.width, back.height) == (256, 256)
    # A compression that nobody knows.
    damaged = bytearray((tmp_path / "es.npz").read_bytes())
    damaged[damaged.index(b"PK\1\2") + 10] = 77
    (tmp_path / "damaged.npz").write_bytes(damaged)
    refused(tmp_path / "damaged.npz", "packed by method 77")
    for bad in ({"pos": pos[:, :2]}, {"pos": pos * 0.5}):
        np.savez(tmp_path / "es.npz", **({"neg": neg} | bad))
        refused(tmp_path / "es.npz", "'pos'")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.bs2", five_bytes()[:-1], "event 3 is cut"),
        ("a.bin", five_bytes([(1, 1, 0, 1009), (1, 1, 0, 8)]), "event 1 at 8 µs comes after"),
        ("a.aedat", jaer_dvs128()[:-3], "event 3 is cut"),
        ("a.aedat", jaer_dvs128([(5, 5, 1, 2010), (5, 5, 0, 9)]), "event 1 at 9 µs comes after"),
        ("a.aedat", jaer_dvs128([]), "zero events"),
        ("a.aedat", davis346().replace(b"avis346", b"VS"), "DVSblue', is none of dvs128"),
        (
            "a.aedat",
            davis346().replace(b"AEChip: eu.seebetter.ini.chips.davis.Davis346blue", b""),
            "the header names none of",
        ),
        ("a.aedat", caer_packets()[:-1], "declares 5 of 5 events of 8 bytes"),
        ("a.aedat", caer_packets()[:110], "packet header at byte"),
        ("a.aedat", caer_packets([(128, 3, 0, 4)]), "event 0 has x = 128, outside"),
        ("a.aedat", b"#!AER-DAT4.0\r\nxx", "rename it to .aedat4"),
        ("a.aedat", b"garbage without end", "not an .aedat file"),
        ("a.dat", prophesee()[:-3], "event 3 is cut"),
        ("a.dat", prophesee(kind=14), "events of type 14 and 8 bytes"),
        ("a.dat", prophesee(size="% Width 20\n% Height 48\n"), "event 1 has x = 33, outside"),
        ("a.dat", prophesee(size=""), "has to be given"),
        ("a.dat", prophesee()[:40], "not a Prophesee|truncated|events of type"),
        ("a.dat", b"\0" * 15, "are not whole events"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words.replace("(", r"\(")) as error:
        read_recording(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)
