"""What the checkpoints of every model share: a folder of one JSON configuration and safetensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import asdict

from deploy.decode import converted, structure
from deploy.errors import BadInput
from deploy.files import read_json
from neuroclip.text.prompts import fill

CONFIG_FILE = "config.json"
ADAPTER, SPIKECLIP, NETWORK = "neuroclip-adapter", "spikeclip", "network"
BUNDLED = {
    ADAPTER: ("neuroclip-digits", "neuroclip-digits-paper"),
    SPIKECLIP: ("spikeclip-digits", "spikeclip-cifar10"),
    NETWORK: (),
}
"""The models that come with the package, by the format of their configuration."""
DEFAULT_MODEL = "neuroclip-digits"
MODELS = Path(__file__).parents[1] / "models"

T = TypeVar("T")


def format_of(name_or_folder: str | Path) -> str:
    """What kind of model a checkpoint is: `ADAPTER`, `SPIKECLIP` or `NETWORK`; weights are not looked at.

    Raises BadInput naming the folder or the file: missing, or of no format that is known.
    """
    for kind, names in BUNDLED.items():
        if str(name_or_folder) in names:
            return kind
    path = _folder(name_or_folder, [name for names in BUNDLED.values() for name in names])
    raw = read_json(path / CONFIG_FILE)
    found = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(found, str) or found not in BUNDLED:
        raise BadInput(f"{path / CONFIG_FILE}: not a configuration of {' or '.join(BUNDLED)}")
    return found


def read_config(
    name_or_folder: str | Path, kind: str, *versions: int
) -> tuple[Path, dict[str, Any]]:
    """The folder of a checkpoint, or of a bundled model by name, and its configuration.

    Raises BadInput naming the folder or the file: missing, or of another format or version.
    """
    folder = _folder(name_or_folder, BUNDLED[kind])
    path = folder / CONFIG_FILE
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != kind or raw.get("version") not in versions:
        known = " or ".join(map(str, versions))
        raise BadInput(f"{path}: not a {kind} configuration of version {known}")
    return folder, raw


def _folder(name_or_folder: str | Path, bundled: Sequence[str]) -> Path:
    known = str(name_or_folder) in bundled
    folder = MODELS / name_or_folder if known else Path(name_or_folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such checkpoint folder; bundled models are {list(bundled)}")
    return folder


def typed(key: str, raw: Mapping[str, Any], kind: type[T]) -> T:
    """The dataclass `kind` from the object raw[key], each value of its field's type.

    Raises BadInput naming the key and the value: missing, unknown, of another type.
    """
    held = converted(raw.get(key), structure(kind, required=True), key)
    return kind(**asdict(held))


def labels_and_template(raw: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """What a model's texts were made of. Raises BadInput naming the key and the value."""
    labels = converted(raw.get("labels"), list[str], "labels")
    template = converted(raw.get("template"), str, "template")
    fill(labels, template)
    return tuple(labels), template


def described(raw: Mapping[str, Any], *keys: str) -> list[dict[str, Any]]:
    """Objects that are for the reader, empty where they are left out. Raises BadInput otherwise."""
    return [converted(raw.get(key, {}), dict[str, Any], key) for key in keys]
