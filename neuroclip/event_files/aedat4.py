"""`.aedat4` of iniVation's DV, through tonic and the package `aedat` that it needs for it."""

from pathlib import Path

from deploy.errors import BadInput
from neuroclip.event_files.raw import RawEvents, read_bytes


def read(path: Path) -> RawEvents:
    """Read the first event stream. Raises BadInput: unreadable, damaged, or `aedat` is missing."""
    if not read_bytes(path, 16).startswith(b"#!AER-DAT4"):
        raise BadInput(f"{path}: does not start with '#!AER-DAT4': not an .aedat4 file")
    try:
        import aedat
    except ImportError as error:
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
