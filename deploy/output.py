"""Which folders are ours to write into, and that nothing is read from the one that is written.

A run replaces and removes files by their names, so that what its folder holds is of one run. It does so
only in a folder that is empty or ours. Ours is one that holds something that we wrote, by its content:

    report.json, config.json, table.json, sweep.json,   with the keys that only ours have
    unseen.json
    program.npz                                         with the header of a program
    *.safetensors                                       with our name in its metadata, or a training's state
    cells/, teacher/                                    with such a file in it; with none it holds nothing: a
                                                        run was killed before its first
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.errors import BadInput
from deploy.files import read_json, staged
from deploy.reading import opened, opened_zip

WRITTEN_BY = {"written_by": "neuroclip"}
"""What the metadata of our safetensors say."""

_PARTS = ("cells", "teacher")
# Sets of keys, one of which ours has.
_KEYS: dict[str, tuple[frozenset[str], ...]] = {
    "report.json": (frozenset({"schema", "target", "ok"}),),
    "config.json": (
        frozenset({"format", "version", "labels", "template"}),
        frozenset({"format", "version", "towers"}),
        frozenset({"clip", "training"}),
    ),
    "table.json": (frozenset({"data", "clip", "seeds"}),),
    "sweep.json": (frozenset({"data", "points"}),),
    "unseen.json": (frozenset({"data", "clip", "rows"}),),
}
_CELL = frozenset({"identity", "result"})
_MAX_HEAD = 16 << 20
# How a page of ours is titled.
_TITLE, _PAGE_HEAD = b"neuroclip report</title>", 1 << 16


def claim(folder: Path, inputs: Mapping[str, object] | None = None) -> None:
    """Check, before any work, that a folder may be written and is ours, and that no input lies in it.

    inputs: option → path or name, None or anything else where there is no path. Raises BadInput naming
    the folder, and the input or the foreign file in it.
    """
    folder = Path(folder)
    for option, given in (inputs or {}).items():
        if isinstance(given, str | Path) and _inside(Path(given), folder):
            raise BadInput(
                f"{option} {given}: lies in the output folder {folder}, whose files are replaced; write to "
                "another"
            )
    require_ours(folder)
    with staged(folder, ()):
        pass


def require_ours(folder: Path) -> None:
    """Raise BadInput where a folder is there that is neither empty nor ours, naming what is in it."""
    foreign = [path for path in _visible(folder) if path.name not in _PARTS or _visible(path)]
    if foreign and folder.is_dir() and not _is_ours(folder):
        raise BadInput(
            f"{folder}: is no output folder of ours and not empty ('{foreign[0].name}' is in it); "
            "write to a new one"
        )


def claim_page(path: Path) -> None:
    """Raise BadInput where a file is there that is no report of ours."""
    if path.exists():
        with opened(path) as stream:
            if _TITLE not in stream.read(_PAGE_HEAD):
                raise BadInput(f"{path}: is there, and no report of ours; write to a new file")


def _visible(path: Path) -> list[Path]:
    """What lies in a folder, but for hidden files; a file is what it holds."""
    if not path.is_dir():
        return [path]
    return sorted(held for held in path.iterdir() if not held.name.startswith("."))


def _inside(path: Path, folder: Path) -> bool:
    try:
        return path.exists() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # no path at all, such as a list of words
        return False


def _is_ours(folder: Path, deeper: bool = True) -> bool:
    for path in sorted(folder.iterdir()):
        with suppress(BadInput, OSError):
            if path.name == "program.npz":
                with opened_zip(path) as archive:
                    if "program.json.npy" in archive.namelist():
                        return True
            elif path.suffix == ".safetensors":
                if _metadata(path).keys() & {"identity", *WRITTEN_BY}:
                    return True
            elif path.name in _KEYS or (folder.name == "cells" and path.suffix == ".json"):
                held = read_json(path)
                wanted = _KEYS.get(path.name, (_CELL,))
                if isinstance(held, dict) and any(keys <= held.keys() for keys in wanted):
                    return True
            elif deeper and path.name in _PARTS and path.is_dir() and _is_ours(path, False):
                return True
    return False


def _metadata(path: Path) -> dict[str, Any]:
    """What the head of a safetensors file says about it."""
    with opened(path) as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(length) if length <= _MAX_HEAD else b""
    with suppress(ValueError, RecursionError):
        found = json.loads(text).get("__metadata__")
        return found if isinstance(found, dict) else {}
    return {}
