"""The one order: each after what it waits for, generation by generation, in the order given."""

from graphlib import CycleError

import numpy as np
import pytest

from deploy.program.order import components, cycle, in_order


def by_hand(before: dict[str, set[str]]) -> list[str]:
    found: list[str] = []
    while len(found) < len(before):
        found += [n for n in before if n not in found and before[n] <= set(found)]
    return found


@pytest.mark.parametrize("seed", range(30))
def test_the_order_is_the_one_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(12)]
    before = {n: {m for m in names[:i] if rng.random() < 0.2} for i, n in enumerate(names)}
    shuffled = {n: before[n] for n in rng.permutation(names).tolist()}
    assert list(in_order(shuffled)) == by_hand(shuffled)


@pytest.mark.parametrize(("before", "found"), [
    ({"a": ["a"]}, ["a"]),
    ({"x": [], "b": ["a", "x"], "a": ["b"], "c": ["a"]}, ["a", "b"]),
])  # fmt: skip
def test_a_cycle_is_named(before: dict[str, list[str]], found: list[str]) -> None:
    with pytest.raises(CycleError) as error:
        in_order(before)
    assert cycle(error.value) == found


@pytest.mark.parametrize("seed", range(30))
def test_components_are_what_reaches_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random((12, 12)) < rng.uniform(0.05, 0.2)
    reach = np.linalg.matrix_power(edges + np.eye(12, dtype=np.int64), 12) > 0
    names = [f"n{i}" for i in rng.permutation(12)]
    after = {a: [names[j] for j in np.flatnonzero(edges[i])] for i, a in enumerate(names)}
    found = components(after)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            assert (found[a] == found[b]) == (reach[i, j] and reach[j, i])
            assert found[a] <= found[b] or not edges[i, j]
