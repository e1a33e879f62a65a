"""A page of this machine alone that shows slices as they come, by server-sent events (HTML standard)."""

import base64
import json
import queue
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.errors import BadInput

if TYPE_CHECKING:
    from neuroclip.adapter.watch import ScoredSlice

ADDRESS = "127.0.0.1"
_PAGE = Path(__file__).with_name("page.html")
# Slices that a new or slow reader is given; older ones are let go.
_KEPT = 64
# Readers at a time, classes and neurons shown, and the longest side of a frame, pixels.
_MAX_READERS, _MAX_CLASSES, _MAX_NEURONS, _MAX_SIDE = 16, 12, 256, 256

# A reader who neither asks nor takes what is sent for so long is let go.
_PATIENCE_S = 10


class Board:
    """What is shown: the last slices, and who reads them."""

    def __init__(self, source: str, labels: Sequence[str]) -> None:
        self.source, self.labels = source, list(labels)
        self._lock = Lock()
        self._last: list[str] = []
        self._readers: list[queue.Queue[str]] = []

    def publish(self, slice_: "ScoredSlice") -> None:
        """Show a slice."""
        self._send(_message(slice_, self.labels))

    def end(self) -> None:
        """Say that no more come."""
        self._send({"ended": True})

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        with self._lock:
            self._last = [*self._last[1 - _KEPT :], text]
            for reader in self._readers:
                if reader.full():
                    reader.get_nowait()
                reader.put_nowait(text)

    @contextmanager
    def reader(self) -> Iterator["queue.Queue[str] | None"]:
        """The messages from now on, after those that are kept; None where there are too many readers."""
        own: queue.Queue[str] = queue.Queue(2 * _KEPT)
        with self._lock:
            taken = len(self._readers) < _MAX_READERS
            if taken:
                self._readers.append(own)
                for text in self._last:
                    own.put_nowait(text)
        try:
            yield own if taken else None
        finally:
            with self._lock:
                if taken:
                    self._readers.remove(own)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who has gone is no error of the watch, whose terminal shows the slices."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(board: Board, port: int) -> Iterator[str]:
    """Serve a board on 127.0.0.1; gives the page's address. port: 0 for any that is free.

    Raises BadInput where the port cannot be had.
    """
    try:
        server = _Server((ADDRESS, port), _handler(board))
    except OSError as error:
        raise BadInput(f"--serve {port}: {error.strerror}") from error
    Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield f"http://{ADDRESS}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def _handler(board: Board) -> type[BaseHTTPRequestHandler]:
    nonce = secrets.token_urlsafe(16)
    page = _PAGE.read_text("utf-8").replace("NONCE", nonce).encode()
    policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self'"

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            # A page of somebody else's whose name points here must not read along.
            if self.headers.get("Host", "").partition(":")[0] not in (ADDRESS, "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path == "/":
                self._start("text/html; charset=utf-8")
                self.wfile.write(page)
            elif self.path == "/events":
                self._events()
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _events(self) -> None:
            with board.reader() as messages:
                if messages is None:
                    self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                    return
                self._start("text/event-stream")
                start = {"source": board.source, "classes": len(board.labels)}
                try:
                    self._write(json.dumps(start))
                    while True:
                        try:
                            self._write(messages.get(timeout=5))
                        except queue.Empty:  # so that a reader who has gone is noticed
                            self.wfile.write(b": still here\n\n")
                except OSError:
                    return

        def _start(self, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", policy)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()

        def _write(self, text: str) -> None:
            self.wfile.write(b"data: " + text.encode() + b"\n\n")
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            """The terminal shows the slices."""

    return Handler


def _message(of: "ScoredSlice", labels: Sequence[str]) -> dict[str, Any]:
    """A slice as the page takes it; names and numbers, the frame as base64 of its grays."""
    order = np.argsort(-of.scores, kind="stable")[:_MAX_CLASSES]
    every = -(-max(of.frame.shape) // _MAX_SIDE)
    frame = np.ascontiguousarray(of.frame[::every, ::every])
    spikes = None if of.spikes is None else of.spikes[:_MAX_NEURONS].astype(np.uint8)
    return {
        "window": of.window,
        "slice": of.number,
        "steps": of.steps,
        "ms": of.t_us / 1000,
        "events": of.events,
        "best": labels[int(order[0])],
        "scores": [[labels[int(i)], float(of.scores[i])] for i in sorted(order.tolist())],
        "height": frame.shape[0],
        "width": frame.shape[1],
        "frame": base64.b64encode(frame.tobytes()).decode(),
        "spikes": None if spikes is None else spikes.tolist(),
        "neurons": 0 if of.spikes is None else len(of.spikes),
    }
