"""`.aedat4` of iniVation's DV, through tonic and the package `aedat` that it needs for it."""

import struct
from pathlib import Path

from deploy.errors import BadInput
from neuroclip.data.events.formats.raw import RawEvents, Sensor, read_bytes

_MAGIC = b"#!AER-DAT4.0\r\n"


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read the first event stream. Raises BadInput: unreadable, damaged, or `aedat` is missing."""
    content = read_bytes(path, 16)
    if not content.startswith(_MAGIC):
        raise BadInput(f"{path}: does not start with '#!AER-DAT4.0': not an .aedat4 file")
    _check_packets(path, content)
    try:
        import aedat
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{path}: reading .aedat4 files needs the package aedat: pip install aedat"
        ) from error
    from tonic.io import read_aedat4

    try:
        streams = aedat.Decoder(str(path)).id_to_stream()
        first = min((i for i, s in streams.items() if s["type"] == "events"), default=None)
        if first is None:
            raise BadInput(f"{path}: holds no stream of events")
        events = read_aedat4(str(path))
    except (BadInput, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # tonic raises plain exceptions, and aedat's panics are not even of that class.
        raise BadInput(f"{path}: not a readable .aedat4 file: {_one_line(error)}") from error
    stream = streams[first]
    return RawEvents(
        events["x"], events["y"], events["t"], events["on"], (stream["width"], stream["height"])
    )


def _check_packets(path: Path, content: bytes) -> None:
    """Raises BadInput on sizes that the file does not hold and on text that is none: aedat aborts.

    After the first line and the header, a flatbuffer, come packets of stream, size and `size` bytes
    until the table of contents. Fields of the header: 1 the place of that table (-1: none), 2 an
    XML description of the streams.
    """
    at = len(_MAGIC) + 4
    try:
        place = _field(content, at, 1)
        (end,) = struct.unpack_from("<q", content, place) if place else (-1,)
        end = len(content) if end < 0 else end
        place = _field(content, at, 2)
        place += struct.unpack_from("<I", content, place)[0]
        (length,) = struct.unpack_from("<I", content, place)
        content[place + 4 : place + 4 + length].decode("utf-8")
        at += struct.unpack_from("<I", content, at - 4)[0]
        while at < end <= len(content):
            at += 8 + struct.unpack_from("<II", content, at)[1]
    except struct.error as error:
        raise BadInput(
            f"{path}: ends within a packet at byte {at}: truncated or damaged"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: the description in its header is no text: {error}") from error
    if at != end:
        raise BadInput(
            f"{path}: declares packets up to byte {at}, it holds them up to {min(end, len(content))}"
        )


def _field(content: bytes, start: int, number: int) -> int:
    """Where a field of the flatbuffer that begins at `start` lies; 0 where it is left out."""
    table = start + struct.unpack_from("<I", content, start)[0]
    fields = table - struct.unpack_from("<i", content, table)[0]
    if not fields >= 0 or struct.unpack_from("<H", content, fields)[0] < 6 + 2 * number:
        return 0
    place: int = struct.unpack_from("<H", content, fields + 4 + 2 * number)[0]
    return table + place if place else 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
