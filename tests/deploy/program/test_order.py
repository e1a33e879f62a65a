"""The one order: each after what it waits for, generation by generation, in the order given."""

from graphlib import CycleError

import numpy as np
import pytest

from deploy.program.order import cycle, in_order


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
