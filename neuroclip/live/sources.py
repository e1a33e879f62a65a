"""Where bytes come from while they are made: a growing file, a pipe, or a socket."""

import os
import re
import select
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import BadInput

# A read takes what there is, up to so much: a tenth of a second of a million events.
BLOCK = 1 << 19
# Between two looks at a file that has not grown.
_POLL_S = 0.02
_CONNECT_S = 10.0
STDIN, TCP = "-", "tcp://"

Read = Callable[[], bytes]
"""The next bytes, waiting for them; none at the end."""


def is_stream(source: str) -> bool:
    """Whether a source is no file at all: standard input, or a socket."""
    return source == STDIN or source.startswith(TCP)


@contextmanager
def opened_source(source: str, idle: float | None) -> Iterator[Read]:
    """The bytes of a source as they come.

    source: "-" for standard input, tcp://HOST:PORT, or the path of a pipe or of a file that grows.
    idle: seconds without a byte after which it has ended; None: a growing file never ends, any other
    source when its writer closes it. Raises BadInput: nothing there, a folder, or a connection that
    cannot be had or is lost.
    """
    if source == STDIN:
        yield _coming(source, sys.stdin.fileno(), idle)
    elif source.startswith(TCP):
        with _connected(source) as connection:
            yield _coming(source, connection.fileno(), idle)
    else:
        with _opened(Path(source)) as number:
            of_pipe = stat.S_ISFIFO(os.fstat(number).st_mode)
            yield (_coming if of_pipe else _growing)(source, number, idle)


def _coming(source: str, number: int, idle: float | None) -> Read:
    """Reads what has come, and waits where nothing has."""

    def more() -> bytes:
        if idle is not None and not select.select([number], [], [], idle)[0]:
            return b""
        try:
            return os.read(number, BLOCK)
        except OSError as error:
            raise BadInput(f"{source}: {error.strerror}") from error

    return more


def _connected(source: str) -> socket.socket:
    host, _, port = source.removeprefix(TCP).rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise BadInput(f"{source}: expected {TCP}HOST:PORT")
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S)
    except UnicodeError as error:
        raise BadInput(f"{source}: its host is no name: {error}") from error
    except OSError as error:
        raise BadInput(f"{source}: cannot be reached: {error.strerror or error}") from error
    connection.settimeout(None)
    return connection


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    try:
        mode = os.fstat(number).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise BadInput(f"{path}: neither a file nor a pipe")
        yield number
    finally:
        os.close(number)


def _growing(source: str, number: int, idle: float | None) -> Read:
    """Reads a file to its end, then waits for more."""
    read = 0

    def more() -> bytes:
        nonlocal read
        waited = time.monotonic()
        while not (block := os.read(number, BLOCK)):
            if os.fstat(number).st_size < read:
                raise BadInput(f"{source}: has become shorter while it was read")
            if idle is not None and time.monotonic() - waited >= idle:
                return b""
            time.sleep(_POLL_S)
        read += len(block)
        return block

    return more
