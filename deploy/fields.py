"""Reading described files (chips, coefficients, mappings): every refusal names the file and the key."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from deploy.errors import BadInput
from deploy.files import read_json

T = TypeVar("T")


def described(path: Path, form: str, version: int) -> dict[str, Any]:
    """The object in a JSON file that declares `format` and `version`. Raises BadInput."""
    entry = read_json(path)
    if not isinstance(entry, dict):
        raise BadInput(f"{path}: expected a JSON object, found {type(entry).__name__}")
    if entry.get("format") != form or entry.get("version") != version:
        raise BadInput(
            f"{path}: format {entry.get('format')!r} version {entry.get('version')!r}, "
            f"this tool reads {form!r} version {version}"
        )
    return entry


def field(path: Path, where: str, entry: Any, key: str, kind: type[T]) -> T:
    """entry[key], which must be there and be of `kind` (bool is no number). Raises BadInput."""
    label = f"{where}.{key}" if where else key
    if not isinstance(entry, dict):
        raise BadInput(f"{path}: '{where}' is {type(entry).__name__}, expected an object")
    if key not in entry:
        raise BadInput(f"{path}: key '{label}' is missing")
    value = entry[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadInput(f"{path}: key '{label}' is {value!r}, expected {kind.__name__}")
    return value


def only(path: Path, where: str, entry: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that the format does not have: a misspelt limit must not go unnoticed."""
    allowed = sorted(known)
    for key in entry:
        if key not in allowed:
            label = f"{where}.{key}" if where else key
            raise BadInput(f"{path}: unknown key '{label}'; known keys: {', '.join(allowed)}")


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
