"""JSON text as typed structures: every refusal is one line that names the key and its value."""

import json
import re
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect

from deploy.errors import BadInput

_PLACE = re.compile(r" - at `(?:key in )?\$(.*?)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
# What one line shows of a value.
_SHOWN = 80


def decoded(text: bytes, kind: Any = Any, where: str = "") -> Any:
    """JSON text as `kind`, any type that msgspec knows; where: the key that it stands under.

    Raises BadInput naming the key and the value: no JSON, a number that no register or float
    holds, a value of another type or out of its range, a key that is missing, unknown (where
    `kind` forbids those) or given twice, or what is nested too deeply.
    """
    try:
        found = msgspec.json.decode(text, type=kind)
        # Of two values for one key msgspec takes the last. Objects vanish as they are checked.
        json.loads(text, object_pairs_hook=_once)
    except msgspec.ValidationError as error:
        raise BadInput(_told(str(error), kind, where, text)) from error
    except RecursionError as error:
        raise BadInput("JSON nested too deeply") from error
    except ValueError as error:  # no UTF-8, no JSON, or a number of too many digits
        raise BadInput(f"not valid JSON: {error}") from error
    return found


def converted(value: Any, kind: Any, where: str = "") -> Any:
    """A value of JSON as `kind`; as `decoded`."""
    # As text: of an integer that no float holds, msgspec's `convert` makes a SystemError.
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise BadInput("JSON nested too deeply") from error
    return decoded(text, kind, where)


def structure(of: type, required: bool = False, **types: Any) -> Any:
    """The msgspec structure of a dataclass, with its defaults, which refuses any other key.

    required: whether every key must be there. types: of fields whose own are not those of a file.
    """
    hints = get_type_hints(of, include_extras=True) | types
    keys: list[Any] = [
        (f.name, hints[f.name], *([] if required or f.default is MISSING else [f.default]))
        for f in fields(of)
    ]
    return msgspec.defstruct(of.__name__, keys, kw_only=True, forbid_unknown_fields=True)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise BadInput(f"key {key[:_SHOWN]!r} is given twice")
        seen.add(key)


def _told(error: str, kind: Any, where: str, text: bytes) -> str:
    """msgspec's message in our words: "key 'cores[0].index' is 0.5, expected int"."""
    place = _PLACE.search(error)
    path, what = (place[1], error[: place.start()]) if place else ("", error)
    steps = [name or number for name, number in _STEP.findall(path)]
    if what.startswith("Object "):
        key = _key(where, f"{path}.{what.split('`')[1][:_SHOWN]}")
        if "missing" in what:
            return f"key '{key}' is missing"
        known = ", ".join(f.encode_name for f in _attribute(kind, steps, "fields"))
        return f"unknown key '{key}'; known keys: {known}"
    expected = what.replace("`", "").replace("Expected", ", expected", 1).split(", got ")[0]
    if not expected.startswith(","):
        expected = f": {expected.lower()}"
    if what.startswith("Invalid enum value"):
        expected = f", expected one of {', '.join(map(str, _attribute(kind, steps, 'values')))}"
    key = _key(where, path)
    named = f"key '{key}' is " if key else "this is "
    return f"{named}{_value_at(msgspec.Raw(text), steps)}{expected}"


def _key(where: str, path: str) -> str:
    return (where + path).lstrip(".")


def _value_at(raw: msgspec.Raw, steps: list[str]) -> str:
    """The text of the value at a place, as far as one line shows it."""
    for step in steps:
        if step == "...":
            break
        inside = dict[str, msgspec.Raw] if not step.isdigit() else list[msgspec.Raw]
        try:
            held: Any = msgspec.json.decode(raw, type=inside)
        except RecursionError:
            return "nested too deeply"
        raw = held[int(step)] if isinstance(held, list) else held[step]
    text = bytes(raw).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _attribute(kind: Any, steps: list[str], name: str) -> tuple[Any, ...]:
    """The `fields` or `values` of the type that `kind` expects at a place."""
    found = [inspect.type_info(kind)]
    for step in [*steps, ""]:
        found = [t for f in found for t in (f.types if isinstance(f, inspect.UnionType) else (f,))]
        if step.isdigit():
            found = [t.item_type for t in found if hasattr(t, "item_type")]
        elif step:
            fields = [f for t in found for f in getattr(t, "fields", ())]
            found = [f.type for f in fields if f.encode_name == step]
    return tuple(x for t in found for x in getattr(t, name, ()))
