"""What the checkpoints of every model share: a folder of one JSON configuration and safetensors."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from deploy.errors import BadInput
from deploy.files import read_json
from neuroclip.text.prompts import fill

CONFIG_FILE = "config.json"
ADAPTER, SPIKECLIP = "neuroclip-adapter", "spikeclip"
BUNDLED = {
    ADAPTER: ("neuroclip-digits", "neuroclip-digits-paper"),
    SPIKECLIP: ("spikeclip-digits", "spikeclip-cifar10-small"),
}
"""The models that come with the package, by the format of their configuration."""
DEFAULT_MODEL = "neuroclip-digits"
MODELS = Path(__file__).parents[1] / "models"

T = TypeVar("T")


def format_of(name_or_folder: str | Path) -> str:
    """What kind of model a checkpoint is, `ADAPTER` or `SPIKECLIP`; its weights are not looked at.

    Raises BadInput naming the folder or the file: missing, or of no format that is known.
    """
    for kind, names in BUNDLED.items():
        if str(name_or_folder) in names:
            return kind
    path = _folder(name_or_folder, [name for names in BUNDLED.values() for name in names])
    raw = read_json(path / CONFIG_FILE)
    found = raw.get("format") if isinstance(raw, dict) else None
    if found not in BUNDLED:
        raise BadInput(f"{path / CONFIG_FILE}: not a configuration of {' or '.join(BUNDLED)}")
    return str(found)


def read_config(name_or_folder: str | Path, kind: str, version: int) -> tuple[Path, dict[str, Any]]:
    """The folder of a checkpoint, or of a bundled model by name, and its configuration.

    Raises BadInput naming the folder or the file: missing, or of another format or version.
    """
    folder = _folder(name_or_folder, BUNDLED[kind])
    path = folder / CONFIG_FILE
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != kind or raw.get("version") != version:
        raise BadInput(f"{path}: not a {kind} configuration of version {version}")
    return folder, raw


def _folder(name_or_folder: str | Path, bundled: Sequence[str]) -> Path:
    known = str(name_or_folder) in bundled
    folder = MODELS / name_or_folder if known else Path(name_or_folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such checkpoint folder; bundled models are {list(bundled)}")
    return folder


def typed(key: str, raw: Mapping[str, Any], kind: type[T]) -> T:
    """The dataclass `kind` from the object raw[key], each value of its field's type.

    Raises BadInput naming the key and the value: missing, unknown, of another type, not finite.
    """
    entry = raw.get(key)
    if not isinstance(entry, dict):
        raise BadInput(f"key '{key}' is {entry!r}, expected an object")
    hints = get_type_hints(kind)
    odd = sorted(hints.keys() ^ entry.keys())
    if odd:
        raise BadInput(f"key '{key}.{odd[0]}' is {'missing' if odd[0] in hints else 'unknown'}")
    for name, value in entry.items():
        allowed = get_args(hints[name]) or (hints[name],)
        good = type(value) in allowed or (float in allowed and type(value) is int)
        if not (good or value in allowed) or (type(value) is float and not math.isfinite(value)):
            raise BadInput(f"key '{key}.{name}' is {value!r}, expected {_words(allowed)}")
    return kind(**entry)


def labels_and_template(raw: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """What a model's texts were made of. Raises BadInput naming the key and the value."""
    labels, template = raw.get("labels"), raw.get("template")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise BadInput(f"key 'labels' is {labels!r}, expected a list of text")
    if not isinstance(template, str):
        raise BadInput(f"key 'template' is {template!r}, expected text")
    fill(labels, template)
    return tuple(labels), template


def described(raw: Mapping[str, Any], *keys: str) -> list[dict[str, Any]]:
    """Objects that are for the reader, empty where they are left out. Raises BadInput otherwise."""
    found = []
    for key in keys:
        entry = raw.get(key, {})
        if not isinstance(entry, dict):
            raise BadInput(f"key '{key}' is {entry!r}, expected an object")
        found.append(entry)
    return found


def _words(allowed: tuple[Any, ...]) -> str:
    return " or ".join(a.__name__ if isinstance(a, type) else repr(a) for a in allowed)
