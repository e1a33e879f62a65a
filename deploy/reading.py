"""How files are opened: one policy for every reader, since any file may be a stranger's.

kind      a regular file; a folder, pipe, device or socket is refused at once and never waited for
size      what a file declares is no more than its bytes can hold, packed or not
memory    and no more than the limit, before anything of that size is made: `--max-memory`, by
          default half of what the machine, its container and its limits leave to this process
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from deploy.errors import BadInput

if TYPE_CHECKING:  # imported where it is used: most commands open none
    import zipfile

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
# Where nothing says how much memory there is.
_UNKNOWN = 4 << 30
# Deflate makes at most 1 032 bytes of one (zlib's technical notes); an empty entry still takes a few.
_DEFLATE, _EMPTY = 1032, 64
# Characters of zipfile's words: it quotes names of entries, which may be 64 KiB long.
_MAX_SAID = 300

_given: int | None = None


def limit_memory(limit: int | None) -> None:
    """What files declare may take `limit` bytes from here on; None: half of what there is."""
    global _given
    _given = limit


def memory_limit() -> int:
    """Bytes that what a file declares may take."""
    return _given or _available() // 2


def require_memory(what: str, needed: int) -> None:
    """Raise BadInput where `what` needs more bytes than the limit; it names the file and the entry."""
    if needed > memory_limit():
        raise BadInput(
            f"{what} takes {needed} bytes, more than the limit of {memory_limit()} (--max-memory)"
        )


def _available() -> int:
    """Bytes of the machine's memory, or of this process's share of it where that is less."""
    found = []
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):  # "max": no limit
        found.append(int(_CONTAINER.read_text()))
    found.append(address_space() or 0)
    return min((n for n in found if n > 0), default=_UNKNOWN)


def address_space() -> int | None:
    """Bytes of address space that this process may take; None where that is not limited."""
    soft = -1 if resource is None else resource.getrlimit(resource.RLIMIT_AS)[0]
    return soft if soft > 0 else None


def require_regular(path: Path) -> int:
    """The size of a file, for a library that opens it by its path. Raises BadInput as `opened` does."""
    with opened(path) as stream:
        return os.fstat(stream.fileno()).st_size


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading bytes.

    Raises BadInput naming the file: none, not to be read, or of another kind; also for an OSError within.
    """
    try:
        with open(_regular(path), "rb") as stream:
            yield stream
    except OSError as error:
        raise BadInput(f"{path}: cannot read: {error.strerror or error}") from error


def _regular(path: Path) -> int:
    """A descriptor of a regular file."""
    try:
        # Without this flag, opening a pipe waits until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL in its name
        raise BadInput(f"{path}: cannot read: {error}") from error
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise BadInput(f"{path}: cannot read: is {_KINDS.get(kind, 'no file')}, expected a file")
    return descriptor


def read_content(path: Path, limit: int, what: str = "the file") -> bytes:
    """All bytes of a file. Raises BadInput naming it, as `opened` does and where they exceed `limit`."""
    limit = min(limit, memory_limit())
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= limit:
            # Room is taken for what is asked for: no more than there is. Some files say 0 and hold more.
            content = stream.read(size + 1)
            if len(content) > size:
                content += stream.read(limit + 1 - len(content))
            size = len(content)
    if size > limit:
        raise BadInput(f"{path}: {what} of {size} bytes exceeds the limit of {limit}")
    return content


def read_text(path: Path, limit: int, what: str = "a text") -> str:
    """All text of a file of UTF-8. Raises BadInput as `read_content` does, and naming a byte that is none."""
    try:
        return read_content(path, limit, what).decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: not text in UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error


@contextmanager
def opened_zip(path: Path, what: str = "zip file") -> "Iterator[zipfile.ZipFile]":
    """A zip file whose entries declare no more than its bytes can hold.

    Raises BadInput naming the file and the entry: damaged, encrypted, packed by another method than
    deflate, overlapping; also for what zipfile raises within.
    """
    import zipfile

    path = Path(path)
    with opened(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                _check_entries(path, archive, os.fstat(stream.fileno()).st_size)
                yield archive
        except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
            raise BadInput(f"{path}: not a readable {what}: {str(error)[:_MAX_SAID]}") from error
        except (NotImplementedError, RuntimeError, EOFError, OverflowError) as error:
            # zipfile's words for unknown versions and methods, for encryption and for what is cut.
            raise BadInput(f"{path}: not a readable {what}: {str(error)[:_MAX_SAID]}") from error


def _check_entries(path: Path, archive: "zipfile.ZipFile", size: int) -> None:
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    packed = 0
    for entry in archive.infolist():
        packed += entry.compress_size
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise BadInput(
                f"{path}: entry '{entry.filename}' is packed by method {entry.compress_type}, not deflate"
            )
        if entry.flag_bits & 1:
            raise BadInput(f"{path}: entry '{entry.filename}' is encrypted")
        most = entry.compress_size
        if entry.compress_type == ZIP_DEFLATED:
            most = most * _DEFLATE + _EMPTY
        if entry.file_size > most:
            raise BadInput(
                f"{path}: entry '{entry.filename}' declares {entry.file_size} bytes, the file holds "
                f"{entry.compress_size} packed ones"
            )
    if packed > size:
        raise BadInput(f"{path}: its entries overlap: {packed} packed bytes in a file of {size}")
