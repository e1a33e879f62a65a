"""What other distributions add by Python's entry points: a kind, a target, a section, each in one file."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from deploy.errors import BadInput

T = TypeVar("T")


def installed(group: str) -> Iterator[EntryPoint]:
    """The entry points of a group, by name. Reads what is installed, and imports none of it."""
    yield from sorted(entry_points(group=group), key=lambda entry: entry.name)


def imported(entry: EntryPoint) -> Any:
    """What an entry point names. Raises BadInput naming it where it cannot be imported."""
    try:
        return entry.load()
    except Exception as error:  # whatever somebody's file raises when it is imported
        raise BadInput(f"{_title(entry)}: cannot be loaded: {error}") from error


def loaded(entry: EntryPoint, kind: type[T]) -> T:
    """The object of `kind` that an entry point names; a class stands for an object of it.

    Raises BadInput naming the entry point where it cannot be imported, is something else, or calls
    itself by another name.
    """
    found = imported(entry)
    made = found() if isinstance(found, type) and issubclass(found, kind) else found
    if not isinstance(made, kind):
        raise BadInput(f"{_title(entry)}: is no {kind.__name__} but a {type(made).__name__}")
    name = getattr(made, "name", entry.name)
    if name != entry.name:
        raise BadInput(f"{_title(entry)}: its {kind.__name__} calls itself '{name}'")
    return made


def _title(entry: EntryPoint) -> str:
    return f"entry point '{entry.name}' of {entry.group} ({entry.value})"
