"""Prophesee's `.raw`: each encoding against a decoder that goes word by word."""

import random
import runpy
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.errors import BadInput
from neuroclip.data.events.formats import evt
from neuroclip.data.events.formats.raw import RawEvents
from neuroclip.data.events.recording import read_recording

spec = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "spec.py")))
WRITERS = {"2.0": spec.evt2, "2.1": spec.evt21, "3.0": spec.evt3}


def events_of(found) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in zip(found.x, found.y, found.p, found.t, strict=True)]


def decoded(path: Path, content: bytes) -> RawEvents:
    path.write_bytes(content)
    return evt.read(path)


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("style", ["format", "geometry"])
def test_what_is_written_is_read(tmp_path: Path, version: str, style: str) -> None:
    events = spec.stream(3, 500, 304, 240)
    path = tmp_path / "a.RAW"
    path.write_bytes(spec.raw_header(version, 304, 240, style) + WRITERS[version](events))
    back = read_recording(path)
    assert events_of(back) == events and (back.width, back.height) == (304, 240)


@pytest.mark.parametrize("version", WRITERS)
def test_without_a_header_the_words_say_which_they_are(tmp_path: Path, version: str) -> None:
    for seed in range(20):
        events = spec.stream(seed, 200, 640, 480)
        path = tmp_path / "a.raw"
        path.write_bytes(WRITERS[version](events))
        with pytest.raises(BadInput, match="does not say the sensor"):
            read_recording(path)
        assert events_of(read_recording(path, (640, 480))) == events
        # A time that is a little late does not hide what they are, whether it is alone or not.
        late = [*events[:99], (*events[99][:3], events[98][3] - 1), *events[99:]]
        path.write_bytes(WRITERS[version](late))
        back = read_recording(path, (640, 480))
        assert back.late and events_of(back) == sorted(late, key=lambda event: event[3])
    (tmp_path / "b.raw").write_bytes(random.Random(1).randbytes(4000))
    with pytest.raises(BadInput, match="could be none of them"):
        read_recording(tmp_path / "b.raw", (640, 480))


@pytest.mark.parametrize("header", [True, False])
def test_legacy_order_of_evt21(tmp_path: Path, header: bool) -> None:
    events = spec.stream(5, 300, 1280, 720)
    said = b"% evt 2.1\n% format EVT21;endianness=legacy;height=720;width=1280\n% end\n"
    content = spec.evt21(events, legacy=True)
    assert events_of(decoded(tmp_path / "a.raw", said * header + content)) == events


@pytest.mark.parametrize("version", WRITERS)
def test_time_starts_again(tmp_path: Path, version: str) -> None:
    """After 2^34 µs, or 2^24 µs of EVT 3.0; several times, the last of them across a pause."""
    loop = 1 << (24 if version == "3.0" else 34)
    events = []
    for n in (1, 2, 3):
        one = spec.stream(n, 60, 640, 480)
        # The first of them a little before the time is 0 again, the next after it.
        events += [(x, y, p, t - one[0][3] + loop * n - 60) for x, y, p, t in one]
    back = events_of(
        decoded(tmp_path / "a.raw", spec.raw_header(version, 640, 480) + WRITERS[version](events))
    )
    # Loops before the first event cannot be known of.
    before = events[0][3] // loop * loop
    assert back == [(x, y, p, t - before) for x, y, p, t in events]


def test_vectors_to_the_letter(tmp_path: Path) -> None:
    """The base moves by 12, 12 and 8; masks of no pixel; vectors go on across a new time; type 1 is no CD."""
    words = [
        0x6005, 0x0009, 0x2111,  # before the first high time: left out, row and low time too
        0x8002, 0x2008,  # no row yet
        0x0007, 0x3801, 0x4801, 0x4000, 0x5081, 0x6003, 0x4001, 0xA101, 0x5FFF,
        0x8002, 0x2005, 0x8003, 0x2006, 0x6004, 0x1009, 0x2007, 0x4FFF, 0x0008, 0x2809,
    ]  # fmt: skip
    data = struct.pack(f"<{len(words)}H", *words)
    at = 2 << 12
    expected = [
        (1, 7, 1, at), (12, 7, 1, at), (25, 7, 1, at), (32, 7, 1, at),
        (33, 7, 1, at + 3), *((45 + bit, 7, 1, at + 3) for bit in range(8)),
        (5, 7, 0, at + 3), (6, 7, 0, 3 << 12), (9, 8, 1, (3 << 12) + 4),
    ]  # fmt: skip
    assert spec.decode_evt3(data) == expected
    header = spec.raw_header("3.0", 1280, 720)
    assert events_of(decoded(tmp_path / "a.raw", header + data)) == expected


@pytest.mark.parametrize("version", WRITERS)
def test_random_words(tmp_path: Path, version: str) -> None:
    """Any words at all, so that every order of types comes up, are decoded as word by word."""
    decode = {"2.0": spec.decode_evt2, "2.1": spec.decode_evt21, "3.0": spec.decode_evt3}[version]
    letter, bits = {"2.0": ("I", 32), "2.1": ("Q", 64), "3.0": ("H", 16)}[version]
    header = spec.raw_header(version, 2048, 2048, "little")
    for seed in range(60):
        rng = random.Random(seed)
        kinds = [*rng.sample(range(16), 4), 0, 1, 2, 3, 4, 5, 6, 8]
        words = [
            rng.choice(kinds) << bits - 4 | rng.getrandbits(bits - 4) & rng.getrandbits(bits - 4)
            for _ in range(rng.randrange(300))
        ]
        data = struct.pack(f"<{len(words)}{letter}", *words)
        assert events_of(decoded(tmp_path / "a.raw", header + data)) == decode(data)


def test_noise_between_events(tmp_path: Path) -> None:
    events = spec.stream(8, 300, 640, 480)
    for version, data in (
        ("2.0", spec.evt2(events, noise=True)),
        ("3.0", spec.evt3(events, noise=True)),
    ):
        path = tmp_path / "a.raw"
        assert events_of(decoded(path, spec.raw_header(version, 640, 480) + data)) == events


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (spec.raw_header("2.0", 64, 48) + spec.evt2(spec.stream(0, 9, 64, 48))[:-1], "is cut"),
        (spec.raw_header("2.0", 64, 48), "zero events"),
        (b"% evt 4.0\n% end\n" + bytes(8), "its encoding is EVT4"),
        (b"% format EVT2;endianness=middle\n% end\n" + bytes(8), "in 'middle' order"),
        (spec.raw_header("2.0", 4, 4) + spec.evt2([(5, 1, 0, 9)]), "event 0 has x = 5, outside"),
        (b"", "zero events"),
    ],
    ids=["cut", "empty", "version", "order", "outside", "nothing"],
)  # fmt: skip
def test_bad_files(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.raw").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_recording(tmp_path / "a.raw")
