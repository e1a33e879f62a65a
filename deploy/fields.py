"""Described files (chips, coefficients, mappings): JSON that declares its format and its version."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from deploy.errors import BadInput
from deploy.files import read_json

MAX_BYTES = 64 << 20


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every described file holds: a misspelt key of one must not go unnoticed."""

    format: str
    version: int


class _Head(msgspec.Struct):
    format: Any = None
    version: Any = None


D = TypeVar("D", bound=Described)


def described(path: Path, form: str, version: int, kind: type[D]) -> D:
    """The content of a JSON file that declares `format` and `version`, as `kind`.

    Raises BadInput naming the file, the key and the value.
    """
    head = read_json(path, _Head, MAX_BYTES)
    if head.format != form or head.version != version:
        raise BadInput(
            f"{path}: format {head.format!r} version {head.version!r}, "
            f"this tool reads {form!r} version {version}"
        )
    found: D = read_json(path, kind, MAX_BYTES)
    return found


def bundled(folder: str) -> dict[str, Path]:
    """The described files that ship in a folder of this package: {name: path}, by name."""
    return {p.stem: p for p in sorted((Path(__file__).parent / folder).glob("*.json"))}


def find_described(kind: str, folder: str, name_or_path: str | Path) -> Path:
    """The file of a bundled name, or the path itself. Raises BadInput listing the known names."""
    known = bundled(folder)
    text = str(name_or_path)
    if text in known:
        return known[text]
    path = Path(name_or_path)
    if path.suffix == ".json" or path.is_file():
        return path
    raise BadInput(
        f"{kind} '{text}': unknown name; known: {', '.join(known)}, or give the path of a .json file"
    )
