"""One order for whatever waits for something else, and what goes in circles: populations, layers."""

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


def components(after: Mapping[str, Collection[str]]) -> dict[str, int]:
    """The number of the strongly connected component of every node that has edges (Kosaraju 1978).

    after: {node: those that its edges lead to}. An edge from one component to another leads to a larger
    number. By hand: graphlib tells of one cycle, not of all components, and neither SciPy nor NetworkX,
    which have them, is a dependency of the core.
    """
    back: dict[str, set[str]] = {}
    for a, targets in after.items():
        for b in targets:
            back.setdefault(b, set()).add(a)
    finished: list[str] = []
    seen: set[str] = set()
    for start in sorted(set(after) | set(back)):
        stack = [(start, iter(sorted(after.get(start, ()))))] if start not in seen else []
        seen.add(start)
        while stack:
            following = stack[-1][1]
            new = next((n for n in following if n not in seen), None)
            if new is None:
                finished.append(stack.pop()[0])
            else:
                seen.add(new)
                stack.append((new, iter(sorted(after.get(new, ())))))
    found: dict[str, int] = {}
    for number, start in enumerate(reversed(finished)):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found[node] = number
                waiting += back.get(node, ())
    return found
