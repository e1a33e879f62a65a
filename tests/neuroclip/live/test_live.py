"""Streams: every way in gives the events of the whole file, window after window, and bad ones are named."""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import BadInput
from neuroclip.commands import main as cli
from neuroclip.data.events.frames import FrameOptions, frames
from neuroclip.data.events.recording import Recording, read_recording
from neuroclip.live.decoders import DECODERS, decoder
from neuroclip.live.sources import opened_source
from neuroclip.live.windows import recordings, windows

SENSOR = (34, 34)


def made(events: int, seed: int, last_us: int = 200_000) -> np.ndarray:
    """Events [4, events]: x, y, t, p."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, last_us, events))
    x, y = random.integers(0, 34, (2, events))
    return np.stack([x, y, t, random.integers(0, 2, events)])


def written(kind: str, events: np.ndarray) -> bytes:
    """A file of a format, by its description."""
    x, y, t, p = events
    if kind in ("bin", "bs2"):
        return (
            np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
            .astype(np.uint8)
            .tobytes()
        )
    if kind == "dat":
        head = b"% Data file\n% Version 2\n% Height 34\n% Width 34\n\x00\x08"
        return head + np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4").tobytes()
    separator = "," if kind == "csv" else " "
    lines = [separator.join(["t_us", "x", "y", "p"])]
    lines += [separator.join(map(str, e)) for e in np.stack([t, x, y, p], axis=1).tolist()]
    return "\n".join(lines).encode()


def in_blocks(content: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        size = next(sizes)
        yield content[at : at + size]
        at += size


def together(parts: list[Recording]) -> np.ndarray:
    return np.concatenate([np.stack([r.x, r.y, r.t, r.p]) for r in parts], axis=1)


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("seed", range(4))
def test_pieces_of_any_size_hold_the_events_of_the_whole(
    kind: str, seed: int, tmp_path: Path
) -> None:
    events = made(700, seed)
    path = tmp_path / f"whole.{kind}"
    path.write_bytes(written(kind, events))
    whole = read_recording(path, SENSOR)
    random = np.random.default_rng(seed)
    largest = [1, 7, 100, 5000][seed]
    blocks = in_blocks(path.read_bytes(), iter(lambda: int(random.integers(1, largest + 1)), -1))
    parts = list(recordings(lambda: next(blocks, b""), decoder(f"a.{kind}", None), SENSOR, None))
    found = together(parts)
    assert (found == np.stack([whole.x, whole.y, whole.t, whole.p])).all()
    assert (found == events).all()


@pytest.mark.parametrize("slicing", ["time", "count"])
def test_each_window_has_the_frames_of_its_own_events(slicing: str) -> None:
    options = FrameOptions(steps=5, slicing=slicing)
    for seed in range(6):
        random = np.random.default_rng(seed)
        x, y, t, p = made(int(random.integers(1, 400)), seed)
        whole = Recording(x, y, t, p, *SENSOR, "whole")
        window = 30_000 if slicing == "time" else 60
        cuts = np.sort(random.integers(0, len(t) + 1, 9))
        parts = (whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(t)], strict=True) if b > a)
        found: dict[int, list[np.ndarray]] = {}
        for each in windows(parts, options, window):
            found.setdefault(each.window, []).append(each.frame.gray)
        # By the description: a window by time starts with the first event, or where one ended.
        if slicing == "count":
            ends = [whole[a : a + 60] for a in range(0, len(t), 60)]
            for grays, own in zip(found.values(), ends, strict=True):
                if len(own) == 60:
                    assert (np.stack(grays) == frames(own, options)).all()
        else:
            numbers = (t - t[0]) // window
            for grays, n in zip(found.values(), np.unique(numbers), strict=True):
                for step, gray in enumerate(grays):
                    own = (numbers == n) & ((t - t[0]) % window * 5 // window == step)
                    seen = np.zeros((34, 34), bool)
                    seen[y[own], x[own]] = True
                    assert ((gray != 127) == seen).all()


def test_counters_that_start_again_go_on() -> None:
    late = made(50, 1, 1000)
    late[2] = np.sort(
        np.concatenate([np.arange(25) + (1 << 23) - 30, np.arange(25) + (1 << 23) + 5])
    )
    wrapped = late.copy()
    wrapped[2] %= 1 << 23
    blocks = in_blocks(written("bin", wrapped), iter([3] * 100))
    parts = list(recordings(lambda: next(blocks, b""), decoder("a.bin", None), SENSOR, None))
    assert (together(parts)[2] == late[2]).all()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [("a.aedat4", None, "only as a whole"), ("-", "raw", "only as a whole"), ("-", None, "--format"),
     ("a.png", None, "--format"), ("tcp://host:1", None, "--format")],
)  # fmt: skip
def test_formats_that_cannot_be_read_so_are_refused_by_name(
    name: str, kind: str | None, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as error:
        decoder(name, kind)
    assert "bin, bs2, dat, csv, txt" in str(error.value)


@pytest.mark.parametrize("size", [4096, 1 << 19])
@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [("bin", b"\x01\x02\x00", "ends within an event"),
     ("bin", b"\x22\x02\x00\x00\x00", "x = 34"),
     ("bin", written("bin", made(9, 1)[:, ::-1]), "late"),
     ("dat", b"% Data\n\x00\x08" + bytes(8), "no version"),
     ("dat", b"% Version 2\n\x05\x08" + bytes(8), "type 5"),
     ("dat", b"% Version 2\n", "ends within"),
     ("dat", b"%" * 70_000, "header of more"),
     ("dat", b"% Version 2\n" + b"% a\n" * 20_000 + bytes(10), "header of more"),
     ("dat", b"% Version 2\n\x00\x08", "without an event"),
     ("bin", b"", "without an event"),
     ("csv", b"t_us,x,y,p\n-5,1,1,1\n7,1,1,1\n", "negative time"),
     ("csv", b"t_us,x,y,p\n", "without an event"),
     ("csv", (b"#" * 999 + b"\n") * 900, "header of more"),
     ("csv", b"\n" * 70_000, "header of more|lines without"),
     ("csv", b"1,2,3,1\n", "no line names its columns"),
     ("csv", b"t_us,x,y,p\n1,2,3\n", "values|columns"),
     ("csv", b"t,x,y,p\n0.5,2,3,1\n", "no unit"),
     ("csv", b"t_us,x,y,p\n1,2,3,1\n1,2,a,1\n", "no number"),
     ("txt", b"t_us x y p\n" + b"1" * 70_000, "longer than")],
)  # fmt: skip
def test_what_is_no_stream_of_events_is_named(
    kind: str, content: bytes, said: str, size: int
) -> None:
    blocks = in_blocks(content, iter(lambda: size, -1))
    with pytest.raises(BadInput, match=said) as error:
        list(recordings(lambda: next(blocks, b""), decoder(f"some.{kind}", None), SENSOR, None))
    assert "some." in str(error.value)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(DECODERS)),
    start=st.integers(0, 60),
    damage=st.binary(max_size=40),
    size=st.integers(1, 60),
)
def test_damaged_streams_end_in_a_named_error_or_in_events(
    kind: str, start: int, damage: bytes, size: int
) -> None:
    content = written(kind, made(12, 3))
    content = content[:start] + damage + content[start + len(damage) :]
    blocks = in_blocks(content, iter(lambda: size, -1))
    try:
        for part in recordings(lambda: next(blocks, b""), decoder(f"a.{kind}", None), SENSOR, None):
            assert len(part)
    except BadInput as error:
        assert "a." in str(error)


def test_without_a_sensor_there_are_no_frames() -> None:
    blocks = iter([written("bin", made(5, 1))])
    with pytest.raises(BadInput, match="--sensor"):
        list(recordings(lambda: next(blocks, b""), decoder("a.bin", None), None, None))


def test_frames_of_a_vast_sensor_are_refused_before_memory_is_taken() -> None:
    one = Recording(*np.zeros((4, 1), int), 60_000, 60_000, "vast.dat")
    with pytest.raises(BadInput, match=r"vast\.dat.* 60000×60000"):
        next(windows(iter([one]), FrameOptions(), 1000))


def read_all(source: str, idle: float | None = None) -> bytes:
    with opened_source(source, idle) as read:
        return b"".join(iter(read, b""))


def test_a_growing_file_a_pipe_and_a_socket_give_their_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 500
    grown, fifo = tmp_path / "grown.bin", tmp_path / "pipe"
    grown.write_bytes(content[:100])
    os.mkfifo(fifo)
    server = socket.create_server(("127.0.0.1", 0))

    def write() -> None:
        time.sleep(0.1)
        with grown.open("ab") as stream:
            stream.write(content[100:])
        fifo.write_bytes(content)
        with server.accept()[0] as connection:
            connection.sendall(content)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_all(str(grown), idle=0.5) == content
    assert read_all(str(fifo)) == content
    assert read_all(f"tcp://127.0.0.1:{server.getsockname()[1]}") == content
    writer.join()
    server.close()
    for bad in (f"tcp://127.0.0.1:{server.getsockname()[1] if server.fileno() > 0 else 1}", "tcp://x", "tcp://h:x",
                str(tmp_path), str(tmp_path / "none")):  # fmt: skip
        with pytest.raises(BadInput, match=bad.replace("/", "/")):
            read_all(bad)


@pytest.mark.parametrize(
    "source",
    [f"tcp://{'a' * 300}:80", "tcp://a..b:80", f"tcp://h:{'9' * 5000}", "tcp://h:\uff11\uff12", "tcp://h:-1",
     "tcp://:80", "tcp://"],
    ids=lambda source: source[:14].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_a_socket_that_cannot_be_is_named(source: str) -> None:
    with pytest.raises(BadInput) as error:
        read_all(source)
    assert str(error.value).startswith(source[:300])


def test_a_source_whose_writer_stays_silent_or_is_lost_ends() -> None:
    """No writer closes: `idle` ends it. One who tears the connection down is named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with opened_source(source, 0.2) as read, server.accept()[0] as writer:
            writer.sendall(b"half")
            assert b"".join(iter(read, b"")) == b"half"
        with opened_source(source, None) as read:
            writer = server.accept()[0]
            # Closed without waiting for what is under way: the other side is reset.
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            with pytest.raises(BadInput, match=f"{source}: .*reset"):
                read()


def test_a_file_that_becomes_shorter_is_no_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(100))
    with opened_source(str(path), None) as read:
        assert len(read()) == 100
        path.write_bytes(b"")
        with pytest.raises(BadInput, match="shorter"):
            read()


def test_options_of_streams_are_refused_for_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(written("bin", made(5, 1)))
    os.mkfifo(tmp_path / "pipe.bin")
    for words, said in (
        ([path, "--window", "5"], "--window"),
        ([path, "--format", "bin"], "--format"),
        ([tmp_path / "pipe.bin"], "--live"),
        (["-"], "--format"),
        ([tmp_path / "b.bin"], "no such event file"),
    ):
        assert cli.main(["watch", *map(str, words)]) == 2
        assert said in capsys.readouterr().err


def test_a_pipe_is_classified_and_ctrl_c_ends_it() -> None:
    """The command itself: two windows of a stream, then SIGINT while it waits for more."""
    command = [
        sys.executable,
        "-m",
        "neuroclip.commands.main",
        "watch",
        "-",
        "--format",
        "bin",
        "--window",
        "100",
    ]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=False)  # fmt: skip
    assert running.stdin is not None and running.stdout is not None
    running.stdin.write(written("bin", made(3000, 1)))
    running.stdin.flush()
    lines = [running.stdout.readline().decode() for _ in range(10)]
    assert "slice  1/10" in lines[0] and "slice 10/10" in lines[9]
    running.send_signal(2)
    running.wait(timeout=300)  # before its input is closed, which would end it, too
    _, said = running.communicate()
    assert running.returncode == 130 and b"Traceback" not in said and b"interrupted" in said
