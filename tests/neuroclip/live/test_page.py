"""The page of a watch in a real browser: frames, spikes and scores as they come, and nobody else's eyes."""

import http.client
import socket
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deploy.errors import BadInput
from neuroclip.live import server
from neuroclip.live.server import Board, serving

LABELS = ("zero", "one <b>bold</b>", "two")


def made(number: int, window: int = 1, best: int = 1) -> Any:
    """A slice as `watch_stream` gives it."""
    scores = np.zeros(3, np.float32)
    scores[best] = 1
    frame = np.full((6, 8), 127, np.uint8)
    frame[2, 3] = 255
    return SimpleNamespace(
        number=number, steps=4, t_us=1500 * number, events=10 * number, scores=scores, frame=frame,
        spikes=np.arange(5) == number, window=window,
    )  # fmt: skip


def got(address: str, path: str, host: str | None = None) -> http.client.HTTPResponse:
    """The answer to a request, under a host of one's own."""
    where = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(where, timeout=20)
    connection.request("GET", path, headers={"Host": host or where})
    return connection.getresponse()


def test_only_this_machine_under_its_own_name_is_served() -> None:
    with serving(Board("a.bin", LABELS), 0) as address:
        assert address.startswith("http://127.0.0.1:")
        page = got(address, "/")
        assert page.status == 200 and "default-src 'none'" in (
            page.getheader("Content-Security-Policy") or ""
        )
        text = page.read().decode()
        assert "http://" not in text and "https://" not in text
        # As a browser says it of port 80.
        assert got(address, "/", "127.0.0.1").status == got(address, "/", "localhost").status == 200
        for evil in (
            "evil.example:80",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost@a.b",
            ":80",
        ):
            assert got(address, "/", evil).status == 403
        assert got(address, "/events", "evil.example:80").status == 403
        assert got(address, "/../etc/passwd").status == 404
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(BadInput, match="--serve"), serving(Board("b", LABELS), port):
            pass


def test_readers_who_are_gone_or_silent_leave_the_watch_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PATIENCE_S", 0.3)
    at_once = struct.pack("ii", 1, 0)  # closed without waiting for what is under way: a reset
    with serving(Board("a.bin", LABELS), 0) as address:
        where = ("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        whole = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for asked in (b"", whole[:20], b"\0\xff\x16\x03\r\n\r\n", whole % b"/", whole % b"/events"):
            for _ in range(3):
                with socket.create_connection(where) as reader:
                    reader.sendall(asked)
                    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        with socket.create_connection(where, timeout=20) as silent:
            assert silent.recv(1) == b""
        assert got(address, "/").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_reader_who_is_too_slow_loses_the_oldest() -> None:
    board = Board("a.bin", LABELS)
    with board.reader() as messages:
        assert messages is not None
        for i in range(1000):
            board.publish(made(i % 4 + 1))
        assert messages.qsize() <= 128
    with board.reader() as messages:
        assert messages is not None and messages.qsize() == 64


@pytest.mark.parametrize("width", [1280, 390])
def test_frames_spikes_and_scores_are_shown_as_they_come(tab: Any, width: int) -> None:
    board = Board("camera <i>", LABELS)
    with serving(board, 0) as address:
        board.publish(made(1))
        tab.said.clear()
        tab.open(address, width)
        wait = """new Promise((done, fail) => { let n = 0; const look = () => (CONDITION) ? done(true)
            : n++ > 400 ? fail(document.body.innerText) : setTimeout(look, 25); look(); })"""

        def until(condition: str) -> None:
            assert tab.run(wait.replace("CONDITION", condition))

        until("document.querySelectorAll('#frames canvas').length === 1")
        board.publish(made(2, best=2))
        until("document.querySelectorAll('#frames canvas').length === 2")
        assert tab.run("document.getElementById('best').textContent") == "two"
        assert tab.run("document.getElementById('source').textContent") == "camera <i>"
        assert tab.run(
            "[...document.querySelectorAll('.score b')].map(b => b.textContent)"
        ) == list(LABELS)
        assert tab.run("document.querySelector('.first b').textContent") == "two"
        pixel = "document.getElementById('CANVAS').getContext('2d').getImageData(X, Y, 1, 1).data"

        def seen(canvas: str, x: int, y: int) -> list[int]:
            script = pixel.replace("CANVAS", canvas).replace("X", str(x)).replace("Y", str(y))
            return list(tab.run(f"[...{script}]"))

        assert seen("now", 3, 2) == [255] * 4 and seen("now", 0, 0) == [127] * 3 + [255]
        # A column a slice, a row a neuron: neuron 1 in the first slice, neuron 2 in the second.
        for t, n in ((0, 1), (1, 2)):
            assert seen("spikes", t, n)[3] == 255 and seen("spikes", 1 - t, n)[3] == 0
        board.publish(made(1, window=2))
        until("document.querySelectorAll('#frames canvas').length === 1")
        board.end()
        until("document.getElementById('state').textContent.endsWith('(ended)')")
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert not [
            said for said in tab.said if "willReadFrequently" not in said
        ]  # the test reads back
