"""Event formats that can be read piece by piece: bytes go in as they come, events come out."""

import re
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats import dat, nmnist, text
from neuroclip.data.events.formats.columns import from_columns, named
from neuroclip.data.events.formats.prophesee import read_header
from neuroclip.data.events.formats.raw import RawEvents, Sensor
from neuroclip.data.events.recording import SUFFIXES

# A header or a line of text that goes on longer than this is none.
_LONGEST = 1 << 16


class Decoder(ABC):
    """Takes bytes; keeps what is not yet a whole event.

    name: of the source, for messages. sensor: that the header says, once it is read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = b""
        self.sensor: Sensor | None = None
        # Of a counter that starts again: its last value, and how much has passed before it.
        self._last, self._before = 0, 0

    @abstractmethod
    def feed(self, block: bytes) -> RawEvents | None:
        """The events that are whole now, or None. Raises BadInput for what are none."""

    def finish(self) -> RawEvents | None:
        """The stream has ended: what is left. Raises BadInput where it ends within an event."""
        if self.held:
            raise BadInput(
                f"{self.name}: ends within an event or a header, after {len(self.held)} bytes of it"
            )
        return None

    def _whole(self, block: bytes, event_bytes: int) -> bytes:
        """The bytes that are whole events; the rest is kept."""
        content = self.held + block
        size = len(content) // event_bytes * event_bytes
        self.held = content[size:]
        return content[:size]

    def _require_short(self, header: int) -> None:
        """Raises BadInput where so many bytes of a header are too many."""
        if header > _LONGEST:
            raise BadInput(f"{self.name}: a header of more than {_LONGEST} bytes")

    def _unwrapped(self, t: NDArray[np.int64], loop: int) -> NDArray[np.int64]:
        """Times µs of a counter that starts again after `loop`: half a loop back is a new one."""
        back = np.diff(t, prepend=self._last) <= -(loop // 2)
        passed = self._before + loop * np.cumsum(back, dtype=np.int64)
        self._last, self._before = int(t[-1]), int(passed[-1])
        return t + passed


class FiveBytes(Decoder):
    """`.bin` and `.bs2`, see `formats.nmnist`; its 23 bits of time start again after 8.4 s."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._overflows = 0

    def feed(self, block: bytes) -> RawEvents | None:
        """The events that are whole now."""
        content = self._whole(block, 5)
        if not content:
            return None
        x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, 5).T
        t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
        overflow = y == nmnist.OVERFLOW_ROW
        t = self._unwrapped(t, 1 << 23)
        passed = self._overflows + np.cumsum(overflow, dtype=np.int64)
        self._overflows = int(passed[-1])
        t += nmnist.OVERFLOW_US * passed
        if overflow.any():
            x, y, high, t = (column[~overflow] for column in (x, y, high, t))
        if not len(x):
            return None
        return RawEvents(x, y, t, high >> 7, None)


class Dat(Decoder):
    """`.dat` of Prophesee, see `formats.dat`; its header must say the version."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._bits: tuple[int, int] | None = None

    def feed(self, block: bytes) -> RawEvents | None:
        """The events that are whole now."""
        if self._bits is None:
            block, self.held = self.held + block, b""
            start = self._header(block)
            if start is None:
                self.held = block
                return None
            block = block[start:]
        assert self._bits is not None
        content = self._whole(block, dat.EVENT.itemsize)
        if not content:
            return None
        events = np.frombuffer(content, dat.EVENT)
        x, y, p = dat.addresses(events["address"].astype(np.int64), self._bits)
        return RawEvents(
            x, y, self._unwrapped(events["t"].astype(np.int64), 1 << 32), p, self.sensor
        )

    def _header(self, content: bytes) -> int | None:
        """Where the events begin; None where the header has not ended yet."""
        lines = re.match(rb"(?:%[^\n]*\n)*", content)
        end = lines.end() if lines else 0
        ended = len(content) >= end + 2 and content[end : end + 1] != b"%"
        self._require_short(end if ended else len(content))
        if not ended:
            return None
        header = read_header(content[:end])
        if "version" not in header.fields:
            raise BadInput(
                f"{self.name}: its header says no version, without which a stream's addresses cannot "
                "be told apart"
            )
        self.sensor = header.sensor
        dat.check_kind(Path(self.name), content[end], content[end + 1])
        new = dat.is_new(Path(self.name), header.fields, np.zeros(0, np.int64))
        self._bits = dat.NEW_BITS if new else dat.OLD_BITS
        return end + 2


class Text(Decoder):
    """`.csv` and `.txt`, see `formats.text`; the first line must name the columns."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._names: list[str] = []
        self._lines = 0

    def feed(self, block: bytes) -> RawEvents | None:
        """The events of the lines that are whole now."""
        lines, end, self.held = (self.held + block).rpartition(b"\n")
        if len(self.held) > _LONGEST:
            raise BadInput(f"{self.name}: line {self._lines + 1} is longer than {_LONGEST} bytes")
        content, path = lines + end, Path(self.name)
        if not self._names:
            start = self._head(path, content)
            if start is None:
                self.held = content + self.held
                return None
            content = content[start:]
        if not content.strip():
            return None
        table = text.numbers(path, content, 0, self._lines)
        self._lines += content.count(b"\n")
        found = named(self._names)
        assert found is not None
        columns, unit = found
        if len(self._names) != table.shape[1]:
            raise BadInput(
                f"{self.name}: {len(self._names)} names of columns, but {table.shape[1]} columns"
            )
        of = {column: table[:, self._names.index(name)] for column, name in columns.items()}
        return from_columns(path, of, unit, self.sensor)

    def finish(self) -> RawEvents | None:
        """The last line may lack its end."""
        return self.feed(b"\n") if self.held else None

    def _head(self, path: Path, content: bytes) -> int | None:
        names, sensor, start, lines = text.head(path, content)
        self._require_short(start)
        if start >= len(content):
            return None
        if not names:
            raise BadInput(
                f"{self.name}: no line names its columns, such as `t x y p`, without which a stream's "
                "cannot be told apart"
            )
        found = named(names)
        if found is not None and found[1] is None and b"." in content[start:]:
            raise BadInput(f"{self.name}: its time has no unit; name it `t_s` or `t_us`")
        self._names, self.sensor, self._lines = names, sensor, lines
        return start


DECODERS: dict[str, type[Decoder]] = {
    "bin": FiveBytes, "bs2": FiveBytes, "dat": Dat, "csv": Text, "txt": Text,
}  # fmt: skip


def decoder(source: str, kind: str | None) -> Decoder:
    """The decoder of a stream by the name of its format, or by its file's suffix.

    Raises BadInput where neither says it, and for a format that can only be read as a whole.
    """
    found = kind or Path(source).suffix.lower().removeprefix(".")
    if found in DECODERS:
        return DECODERS[found](source)
    known = ", ".join(DECODERS)
    if f".{found}" in SUFFIXES:
        raise BadInput(
            f"{source}: '.{found}' is not read while it comes in, only as a whole; read so are {known}"
        )
    raise BadInput(f"{source}: its format has to be given: --format, one of {known}")
