"""Lava's channels without a thread behind each port: an end waits for the other's semaphore itself.

In Lava's own PyPyChannel a message wakes two threads of each process, and what they hand on is a lock
and a queue away from the model. What is sent, where it lies, and in which order are Lava's here too.
"""

import time
from typing import Any

import numpy as np
from lava.magma.compiler.channels.pypychannel import (
    CspRecvPort,
    CspSelector,
    CspSendPort,
    PyPyChannel,
)
from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure
from lava.utils.sparse import find
from scipy.sparse import csr_matrix

# Between looks at several channels, of which the first to be ready is served.
_LOOK_S = 1e-4


class DirectSendPort(CspSendPort):
    """The sending end: it may be so many messages ahead as the channel holds."""

    _idx: int

    def start(self) -> None:
        """Find the memory."""
        self._array = _slots(self)
        self._free = self._size

    def probe(self) -> bool:
        """Whether `send` would not block."""
        while self._ack.acquire(False):
            self._free += 1
        return self._free > 0

    def send(self, data: Any) -> None:
        """Copy into the channel, once there is room, and say so."""
        if data.shape != self._shape:
            raise AssertionError(f"{data.shape=} {self._shape=} Mismatch")
        if isinstance(data, csr_matrix):
            data = find(data, explicit_zeros=True)[2]
        if self._free:
            self._free -= 1
        else:
            self._ack.acquire()
        self._array[self._idx][:] = data
        self._idx = (self._idx + 1) % self._size
        self._req.release()

    def join(self) -> None:
        """Nothing waits here."""


class DirectRecvPort(CspRecvPort):
    """The receiving end."""

    _idx: int

    def start(self) -> None:
        """Find the memory."""
        self._array = _slots(self)
        self._here = 0

    def wait(self) -> None:
        """Return once there is a message."""
        if not self._here:
            self._req.acquire()
            self._here = 1

    def probe(self) -> bool:
        """Whether `recv` would not block."""
        if not self._here and self._req.acquire(False):
            self._here = 1
        return self._here > 0

    def peek(self) -> Any:
        """The next message, which stays."""
        self.wait()
        return self._array[self._idx].copy()

    def recv(self) -> Any:
        """The next message."""
        message = self.peek()
        self._here = 0
        self._idx = (self._idx + 1) % self._size
        self._ack.release()
        return message

    def join(self) -> None:
        """Nothing waits here."""


class DirectChannel(PyPyChannel):
    """Lava's channel with these ends."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._src_port.__class__ = DirectSendPort
        self._dst_port.__class__ = DirectRecvPort


def select(self: CspSelector, *channel_actions: Any) -> Any:
    """In the place of `CspSelector.select`: wait until a channel is ready, and do what is asked then."""
    if len(channel_actions) == 1 and isinstance(channel_actions[0][0], DirectRecvPort):
        channel_actions[0][0].wait()
        return channel_actions[0][1]()
    while True:
        for channel, action in channel_actions:
            if channel.probe():
                return action()
        time.sleep(_LOOK_S)


def install() -> None:
    """Let the networks that this process builds from now on use these channels."""
    infrastructure.PyPyChannel = DirectChannel
    CspSelector.select = select


def _slots(port: Any) -> list[Any]:
    """The messages that a channel holds, as arrays in its shared memory."""
    # Lava calls its own name for 32-bit integers 4.
    kind = np.dtype(np.int32 if port._dtype == 4 else port._dtype)
    size = port._nbytes
    return [
        np.ndarray(port._shape, kind, port._shm.buf[size * i : size * (i + 1)])
        for i in range(port._size)
    ]
