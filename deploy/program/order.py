"""One order for whatever waits for something else: populations, modules, layers."""

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter


def in_order(before: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The names, each after all that it waits for: those that wait for nothing left, again and again,
    in the order of the mapping.

    before: {name: names of the same mapping that come before it}. Raises graphlib.CycleError, which
    `cycle` reads.
    """
    place = {name: i for i, name in enumerate(before)}
    sorter = TopologicalSorter(before)
    sorter.prepare()
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        found += ready
        sorter.done(*ready)
    return tuple(found)


def cycle(error: Exception) -> list[str]:
    """The names in a cycle that `in_order` found, each once, sorted."""
    return sorted(set(error.args[1]))
