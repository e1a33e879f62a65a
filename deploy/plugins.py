"""What other distributions add by Python's entry points: a kind, a target, a section, each in one file."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.errors import BadInput

if TYPE_CHECKING:  # asked for by few, and not loaded by the others
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def installed(group: str) -> "Iterator[EntryPoint]":
    """The entry points of a group, by name. Reads what is installed, and imports none of it."""
    from importlib.metadata import entry_points

    yield from sorted(entry_points(group=group), key=lambda entry: entry.name)


def imported(entry: "EntryPoint") -> Any:
    """What an entry point names. Raises BadInput naming it where it cannot be imported."""
    try:
        return entry.load()
    except Exception as error:  # whatever somebody's file raises when it is imported
        raise BadInput(f"{_title(entry)}: cannot be loaded: {error}") from error


def loaded(entry: "EntryPoint", kind: type[T]) -> T:
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


def enter(kinds: dict[str, type[T]], name: str, of: type[T]) -> None:
    """Put a kind into its table. Raises BadInput for a name that another kind has; again is no harm."""
    known = kinds.setdefault(name, of)
    if known is not of:
        raise BadInput(f"kind '{name}': {known.__module__}.{known.__qualname__} is registered so")


def find_kind(
    kinds: dict[str, type[T]], name: str, what: str, group: str, register: Callable[[Any], object]
) -> type[T]:
    """The kind of a name, of the table or of the entry points of a group, which are registered first.

    what: kinds of what, in words. Raises BadInput where there is none, or where it cannot be imported.
    """
    if name not in kinds:
        for entry in installed(group):
            if entry.name == name:
                register(imported(entry))
    if name not in kinds:
        raise BadInput(
            f"unknown kind of {what} {name!r}, known: {', '.join(kinds)}; a kind of one's own is "
            f"registered with {register.__module__}.register or by an installed distribution"
        )
    return kinds[name]


def _title(entry: "EntryPoint") -> str:
    return f"entry point '{entry.name}' of {entry.group} ({entry.value})"
