"""Reading of a report: its frame as it must be; a figure that was not measured is None, no exception."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.decode import converted
from deploy.errors import BadInput
from deploy.files import read_json

SCHEMA = 1
"""Of the reports that this version writes and reads."""


class _Pair(Struct):
    a: str
    b: str
    first_register: dict[str, Any] | None = None
    first_divergence: dict[str, Any] | None = None


class _Parity(Struct):
    ok: bool
    pairs: list[_Pair]


class _Counted(Struct):
    equal: bool
    quantity: str
    ours: float
    sanafe: float


class _Sanafe(Struct):
    counts: list[_Counted] = []


class _Frame(Struct):
    """What commands look up by name; whatever else a report holds is only shown."""

    ok: bool
    parity: _Parity | None = None
    sanafe: _Sanafe | None = None
    warnings: list[str] = []


def read_report(path: str | Path) -> dict[str, Any]:
    """The object that a report.json holds.

    Raises BadInput naming the file, and the key and value where its frame is not a report's.
    """
    path = Path(path)
    report = read_json(path)
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise BadInput(f"{path}: not a report of version {SCHEMA}")
    try:
        converted(report, _Frame)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return dict(report)


def at(value: object, *path: str) -> Any:
    """The value under nested keys, or None where any of them is missing."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def number(value: object) -> int | float | None:
    """A finite number, or None. numpy's scalars count as numbers, booleans do not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return None
    return (int(value) if isinstance(value, Integral) else float(value)) if finite else None


def items(value: object) -> list[Any]:
    """The entries of a list, none where there is no list."""
    return list(value) if isinstance(value, list | tuple) else []


def mapping(value: object) -> dict[str, Any]:
    """The entries of an object with text keys, none where there is no object."""
    return {str(key): entry for key, entry in value.items()} if isinstance(value, Mapping) else {}


def numbers(value: object) -> dict[str, int | float]:
    """The entries of an object that are finite numbers."""
    found = {key: number(entry) for key, entry in mapping(value).items()}
    return {key: entry for key, entry in found.items() if entry is not None}


def pair(value: object) -> tuple[int | float, int | float] | None:
    """Two finite numbers, such as a range, or None."""
    ends = [number(entry) for entry in items(value)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    return ends[0], ends[1]
