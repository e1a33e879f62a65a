"""What other distributions add by Python's entry points: a target, a front end, each in one file."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from deploy.errors import BadInput


class Named(Protocol):
    """Whatever is found by its name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def installed(group: str) -> Iterator[EntryPoint]:
    """The entry points of a group, by name. Reads what is installed, and imports none of it."""
    yield from sorted(entry_points(group=group), key=lambda entry: entry.name)


def loaded(entry: EntryPoint, kind: type[T]) -> T:
    """What an entry point names, which must be of `kind`; a class stands for an object of it.

    Raises BadInput naming the entry point where it cannot be imported or is something else.
    """
    try:
        found = entry.load()
    except Exception as error:  # whatever a stranger's file raises when it is imported
        raise BadInput(f"entry point '{entry.name} = {entry.value}': {error}") from error
    made = found() if isinstance(found, type) and issubclass(found, kind) else found
    if not isinstance(made, kind):
        raise BadInput(
            f"entry point '{entry.name} = {entry.value}': it is no {kind.__name__}, but a "
            f"{type(made).__name__}"
        )
    if made.name != entry.name:
        raise BadInput(
            f"entry point '{entry.name} = {entry.value}': its {kind.__name__} calls itself "
            f"'{made.name}'"
        )
    return made
