"""Reading and writing files: atomic writes, and array files whose size is checked before it is read.

What is being written is a hidden `.part` beside its place, locked as long as its process lives. A killed
process cannot remove its own, so the next one that writes there does: no lock, no owner.
"""

import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.decode import decoded
from deploy.errors import BadInput, ToolError
from deploy.progress import say
from deploy.reading import memory_limit, opened, opened_zip, read_content

try:
    import fcntl
except ImportError:  # not on Windows, where what a killed process left stays
    fcntl = None  # type: ignore[assignment]

# No array file this toolchain writes or needs is larger; a small file that declares more is hostile.
MAX_ARRAY_BYTES = 4 << 30

MAX_JSON_BYTES = 16 << 20

# As objects, JSON takes up to some thirty times its size; arrays are converted once or compared.
_OF_JSON, _OF_ARRAYS = 32, 3

# Array file headers carry a dtype, an order flag and a shape; numpy's own readers use the same limit.
_MAX_HEADER_BYTES = 10_000

# Names of what is being written: no other program's, since what is left of it is removed.
_PREFIX, _SUFFIX = ".neuroclip-", ".part"
# Processes that start together may remove each other's folder; more often than this is something else.
_TRIES = 100


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success and vanishes on failure.

    A killed run leaves the old file or the new one, never a half of it.
    Raises BadInput where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, suffix=_SUFFIX)
        temporary, lock = _locked_file(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot write: {error.strerror or error}") from error
    try:
        yield temporary
        # mkstemp makes private files; results are meant to be shared like any other output.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        if path.parent.suffix != _SUFFIX:  # else it is told where it has moved to
            say(f"wrote {path}")
    except OSError as error:
        raise BadInput(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def staged(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a hidden folder inside `folder`; on success its files move up, on failure it vanishes.

    names: every file that may result. Those not made this time are removed, so that what `folder`
    holds is of one run. The last of them is removed first and moved last: where it is, all is whole.
    Of runs that end at the same time one moves its files after the other.
    Raises BadInput where the folder cannot be written.
    """
    folder = Path(folder)
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        temporary, lock = _hidden(folder)
    except OSError as error:
        raise BadInput(f"{folder}: cannot write: {error.strerror or error}") from error
    try:
        yield temporary
        with _alone(folder):
            for name in reversed(names):
                if name == names[-1] or not (temporary / name).exists():
                    (folder / name).unlink(missing_ok=True)
            for name in names:
                with suppress(FileNotFoundError):
                    os.replace(temporary / name, folder / name)
                    say(f"wrote {folder / name}")
    except ToolError as error:
        # Files are named as they would have been called.
        raise type(error)(str(error).replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)
        for made in missing:
            with suppress(OSError):  # not empty: the run succeeded
                made.rmdir()


@contextmanager
def temporary_folder(
    prefix: str, forget: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """A folder of the system's temporary ones, which goes in the end; so do those that dead processes left.

    prefix: of its name, no other program's. forget: removes what else goes with a folder.
    """
    root, lock = Path(tempfile.gettempdir()), None
    _sweep(root, prefix, forget)
    while lock is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):  # swept by another process before it was locked
            lock = _locked(folder)
    try:
        yield folder
    finally:
        forget(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _hidden(folder: Path) -> tuple[Path, int]:
    """A new hidden folder inside `folder`, which is made where there is none, and its lock."""
    for left in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder, suffix=_SUFFIX)
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder))
            return made, _locked(made)
        except (FileNotFoundError, FileExistsError):
            # Another process that found no folder either removes the one that it made when it is done.
            if not left:
                raise
    raise AssertionError


def _locked_file(path: Path) -> tuple[Path, int]:
    """A new hidden file beside `path`, and its lock."""
    for left in reversed(range(_TRIES)):
        handle, name = tempfile.mkstemp(
            prefix=f".neuroclip-{path.name}.", suffix=".part", dir=path.parent
        )
        os.close(handle)
        try:
            return Path(name), _locked(Path(name))
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError


def _locked(path: Path) -> int:
    """A descriptor that holds a lock on a file or folder; closing it ends the lock.

    Raises FileNotFoundError where another process swept it away before it was locked.
    """
    descriptor = os.open(path, os.O_RDONLY)
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not path.exists():
        os.close(descriptor)
        raise FileNotFoundError(path)
    return descriptor


def _sweep(
    folder: Path,
    prefix: str = _PREFIX,
    forget: Callable[[Path], None] = lambda _: None,
    suffix: str = "",
) -> None:
    """Remove what dead processes left: files and folders of ours that nobody has locked."""
    if fcntl is None:
        return
    for left in folder.glob(f"{prefix}*{suffix}"):
        with suppress(OSError):  # locked by a living process, another's, or gone already
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                forget(left)
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within, no other process moves its files into the folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, kind: Any = Any, limit: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file of at most `limit` bytes, as `kind` (see `deploy.decode.decoded`).

    Raises BadInput naming the file, and the key and value that are not as they should be.
    """
    text = read_content(path, min(limit, memory_limit() // _OF_JSON), "JSON")
    try:
        return decoded(text, kind)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, packed: bool = True) -> None:
    """Write named arrays as one .npz file, atomically and byte for byte reproducible.

    packed: compressed, which takes some 30 times as long as writing.
    """
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", kind) as archive,
    ):
        for name, array in arrays.items():
            # A fixed date: the same arrays must give the same file.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = kind
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


def read_npz(
    path: Path,
    limit: int = MAX_ARRAY_BYTES,
    wanted: Callable[[str, tuple[int, ...], np.dtype[Any]], bool] | None = None,
) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz file; sizes are checked from the headers before memory is taken.

    wanted: whether to read an array, from its name, shape and type; by default all are read.
    Raises BadInput naming the file, the entry and the value: not an archive, truncated, an entry
    twice, object arrays (pickles), or more than `limit` bytes in all.
    """
    path = Path(path)
    arrays: dict[str, NDArray[Any]] = {}
    remaining = limit = min(limit, memory_limit() // _OF_ARRAYS)
    try:
        with opened_zip(path, ".npz file") as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise BadInput(f"{path}: array '{name}' is there twice")
                with archive.open(entry) as stream:
                    shape, dtype = _read_npy_header(path, name, stream)
                    if wanted is not None and not wanted(name, shape, dtype):
                        continue
                    size = _byte_size(shape, dtype)
                    if size > entry.file_size:
                        raise BadInput(
                            f"{path}: array '{name}' declares {size} bytes, the file holds {entry.file_size}"
                        )
                    if size > remaining:
                        raise BadInput(
                            f"{path}: array '{name}' of shape {shape} brings the file over {limit} bytes"
                        )
                    remaining -= size
                with archive.open(entry) as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        # zlib, tokenize and numpy each have errors of their own for damaged bytes.
        raise BadInput(f"{path}: not a readable .npz file: {_line(error)}") from error
    return arrays


def read_npy(path: Path, limit: int = MAX_ARRAY_BYTES) -> NDArray[Any]:
    """Read an .npy file; its size is checked from the header before memory is taken.

    Raises BadInput as `read_npz` does.
    """
    path = Path(path)
    limit = min(limit, memory_limit() // _OF_ARRAYS)
    try:
        with opened(path) as stream:
            shape, dtype = _read_npy_header(path, path.name, stream)
            size, held = _byte_size(shape, dtype), os.fstat(stream.fileno()).st_size
            if size > min(limit, held):
                raise BadInput(
                    f"{path}: declares an array of shape {shape}, {size} bytes, of a file of {held} and a "
                    f"limit of {limit}"
                )
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # numpy, tokenize: as above
        raise BadInput(f"{path}: not a readable .npy file: {_line(error)}") from error


def npy_kind(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in an .npy file, which is not read. Raises BadInput as `read_npz` does."""
    try:
        with opened(path) as stream:
            return _read_npy_header(path, path.name, stream)
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # numpy, tokenize: as above
        raise BadInput(f"{path}: not a readable .npy file: {_line(error)}") from error


def _read_npy_header(path: Path, name: str, stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise BadInput(f"{path}: array '{name}' has .npy version {version}, expected 1.0 or 2.0")
    shape, _, dtype = readers[version](stream, max_header_size=_MAX_HEADER_BYTES)  # type: ignore[call-arg]
    if dtype.hasobject:
        raise BadInput(
            f"{path}: array '{name}' holds Python objects (a pickle), which are never loaded"
        )
    if not dtype.itemsize:
        raise BadInput(f"{path}: array '{name}' holds elements of no size")
    return shape, dtype


def _byte_size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
