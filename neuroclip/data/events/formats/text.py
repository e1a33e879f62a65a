"""`.csv` and `.txt`: an event a line, four or more columns apart by commas, semicolons, tabs or spaces.

A line of names before them says which is which, in a comment too (`# t x y p`); without one see
`columns`. A first line of two integers is the sensor's width and height (RPG's recordings), and so are those
of the comment `%geometry:640,480` (Metavision's). Lines that start with #, % or // are comments. `True` and
`False`, as pandas writes polarities, are 1 and 0.
"""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from neuroclip.data.events.formats.columns import from_columns, from_table, named
from neuroclip.data.events.formats.raw import RawEvents, Sensor, read_bytes

# UTF-8's, which programs of Windows put before a text.
_MARK = b"\xef\xbb\xbf"
_COMMENTS = (b"#", b"%", b"//")
_GEOMETRY = re.compile(rb"% *geometry *: *(\d{1,5}) *, *(\d{1,5})")
# Of a file's bytes an event takes no fewer ("0 0 0 0\n"), and of lines before the events nobody has more.
_LEAST_BYTES = 8
_MAX_HEADER_LINES = 1000
_MAX_COLUMNS = 64
# Of a side of a sensor, pixels.
_MAX_DIGITS = 9
_ENDS = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
# From this size on it pays to load numba, which takes as long as NumPy takes for two of them.
_LONG = 8 << 20
_LONGEST_LINE = 1 << 16
_TRUTH = re.compile(rb"\b(?:(true)|false)\b", re.IGNORECASE)
_TO_SPACES = bytes.maketrans(b",;\t\r", b"    ")


def read(path: Path, sensor: Sensor | None = None) -> RawEvents:
    """Read events. Raises BadInput: unreadable, a line that is none, columns that cannot be told."""
    content = read_bytes(path, _LEAST_BYTES)
    if b"\0" in content[:1000]:
        raise BadInput(f"{path}: not a text file")
    names, said, start, lines = head(path, content)
    table = numbers(path, content, start, lines)
    try:
        found = named(names)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if found is None:
        return from_table(path, table, said)
    columns, unit = found
    if len(names) != table.shape[1]:
        raise BadInput(f"{path}: {len(names)} names of columns, but {table.shape[1]} columns")
    return from_columns(
        path, {c: table[:, names.index(name)] for c, name in columns.items()}, unit, said
    )


def head(path: Path, content: bytes) -> tuple[list[str], Sensor | None, int, int]:
    """Names of columns or none, the sensor, where the events begin, and how many lines are before."""
    names: list[str] = []
    sensor: Sensor | None = None
    start, number = len(_MARK) if content.startswith(_MARK) else 0, 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line = content[start:end].strip()
        comment = line.startswith(_COMMENTS)
        fields = _fields(line.lstrip(b"#%/! ") if comment else line)
        if line and not comment and _is_numbers(fields):
            size = [int(f) for f in fields if f.isdecimal() and len(f) <= _MAX_DIGITS]
            if len(fields) != 2 or len(size) != 2 or sensor:
                break
            sensor = (size[0], size[1])
        elif geometry := _GEOMETRY.fullmatch(line):
            sensor = (int(geometry[1]), int(geometry[2]))
        elif line:
            try:
                is_names = named(fields) is not None
            except BadInput as error:
                if not comment:
                    raise BadInput(f"{path}: {error}") from error
                is_names = False
            if is_names:
                names = fields
            elif not comment:
                shown = line[:60].decode("utf-8", "replace")
                raise BadInput(f"{path}: line {number + 1}: {shown!r} is no event")
        number += 1
        if number > _MAX_HEADER_LINES:
            raise BadInput(f"{path}: {number} lines without an event")
        start = end + 1
    return names, sensor, start, number


def _fields(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace")
    # "# Format is time (float s), x, y, polarity (0=off, 1=on)", as v2e says it.
    text = re.sub(r"^.*?format\b[^:]*?(?::| is )", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\([^)]*=[^)]*\)", "", text)
    separator = next((s for s in (",", ";", "\t") if s in text), None)
    fields = [part.strip() for part in text.split(separator)]
    # A line may end with what parts columns.
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _is_numbers(fields: list[str]) -> bool:
    try:
        return bool(
            [float(field) for field in fields if field.lower() not in ("", "true", "false")]
        )
    except ValueError:
        return False


def numbers(path: Path, content: bytes, start: int, lines: int) -> NDArray[Any]:
    """Numbers [lines, columns] from a place on, before which are so many lines.

    Raises BadInput naming the first line that has another number of them.
    """
    compiled = _compiled(content, start)
    if compiled is not None:
        return compiled
    text = content[start:].translate(_TO_SPACES)
    if _TRUTH.search(text[:_LONGEST_LINE]):
        numerals = _TRUTH.sub(lambda found: b"1" if found[1] else b"0", text)
        return numbers(path, numerals, 0, lines)
    per_line = _tokens_per_line(text)
    filled = per_line > 0
    columns = int(per_line[filled][0]) if filled.any() else 0
    if not 0 < columns <= _MAX_COLUMNS:
        raise BadInput(f"{path}: the recording holds zero events")
    wrong = np.flatnonzero(filled & (per_line != columns))
    if len(wrong):
        i = int(wrong[0])
        raise BadInput(f"{path}: line {lines + i + 1} has {per_line[i]} values, {columns} before")
    count = int(filled.sum()) * columns
    whole = not any(mark in text for mark in (b".", b"e", b"E", b"n", b"N"))
    # What is no number ends the reading of the rest.
    values = _parsed(text, np.int64 if whole else np.float64)
    if whole:  # what is beyond them is read as the last of them
        values = values[: np.flatnonzero(np.append(np.isin(values, _ENDS), True))[0]]
    if len(values) != count:
        row = len(values) // columns
        line = lines + int(np.flatnonzero(filled)[min(row, int(filled.sum()) - 1)]) + 1
        raise BadInput(f"{path}: line {line} holds what is no number of 64 bits")
    return values.reshape(-1, columns)


def _compiled(content: bytes, start: int) -> NDArray[Any] | None:
    """Numbers [lines, columns] of a text without a fault; None where it has one, or nothing is compiled."""
    size = len(content) - start
    if size < _LONG and "numba" not in sys.modules:
        return None
    try:
        from neuroclip.storage.text_kernel import rows
    except ImportError:  # numba is an extra
        return None
    beginning = content[start : start + _LONGEST_LINE].translate(_TO_SPACES).lstrip()
    columns = len(beginning.partition(b"\n")[0].split())
    if not 0 < columns <= _MAX_COLUMNS:
        return None
    pointed = content.find(b".", start) >= 0
    # A number takes two bytes with what parts it from the next one.
    table = np.empty(
        (columns, min(content.count(b"\n", start), size // (2 * columns)) + 1),
        np.float64 if pointed else np.int64,
    )
    lines = rows(np.frombuffer(content, np.uint8, offset=start), table, pointed)
    return table[:, :lines].T if lines > 0 else None


def _parsed(text: bytes, kind: type) -> NDArray[Any]:
    """The numbers up to the first that is none; that it stopped early is told by their count."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return np.fromstring(text, kind, sep=" ")
        except ValueError:  # newer NumPy raises where it stops
            found = []
            for word in text.split():
                try:
                    found.append(kind(word))
                except (ValueError, OverflowError):
                    break
            return np.array(found, kind)


def _tokens_per_line(text: bytes) -> NDArray[np.int64]:
    byte = np.frombuffer(text, np.uint8)
    if not len(byte):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(byte == 10)
    blank = (byte == 32) | (byte == 10)
    begins = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    return np.bincount(np.searchsorted(ends, begins), minlength=len(ends) + 1)
