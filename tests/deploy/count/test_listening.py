"""What a core hears, against the list of every synapse."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from deploy.connections import Conv2d, expand
from deploy.count.listening import listening
from deploy.hardware.mapping import Core, Slice
from deploy.program.program import Program, make_input, make_population

Make = Callable[[int], Program]


def listed(program: Program, core: Core) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{source: (synapses of non-zero weight, of any weight) of every neuron}, one by one."""
    sizes = {node.name: node.size for node in program.sources}
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part in core.slices:
        for c in program.into(part.population):
            every = expand(c)
            both = found.setdefault(
                c.source, (np.zeros(sizes[c.source], int), np.zeros(sizes[c.source], int))
            )
            here = slice(every.indptr[part.start], every.indptr[part.stop])
            for source, weight in zip(every.indices[here], every.weight[here], strict=True):
                both[0][source] += weight != 0
                both[1][source] += 1
    return found


def check(program: Program, rng: np.random.Generator) -> None:
    slices = []
    for p in program.populations:
        cuts = np.unique(np.append(rng.integers(0, p.size + 1, 8), [0, p.size]))
        parts = [Slice(p.name, a, b) for a, b in pairwise(cuts.tolist())]
        slices += [part for part in parts if rng.random() < 0.5]
    core = Core(0, tuple(slices))
    wanted, found = listed(program, core), listening(program, core).operations
    assert found.keys() == wanted.keys()
    for source, (neurons, effective, dense) in found.items():
        assert np.array_equal(neurons, np.flatnonzero(wanted[source][1]))
        assert np.array_equal(effective, wanted[source][0][neurons])
        assert np.array_equal(dense, wanted[source][1][neurons])
        assert {a.dtype for a in (neurons, effective, dense)} == {np.dtype(np.int64)}


@pytest.mark.parametrize("seed", range(12))
def test_a_core_hears_every_listed_synapse(random_program: Make, seed: int) -> None:
    check(random_program(seed), np.random.default_rng(seed))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (3, 2)])
def test_a_core_hears_a_convolution_of_any_form(
    groups: int, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    weight = 2 * rng.integers(-1, 2, (4, 4 // groups, 3, 2)).astype(np.int32)
    c = Conv2d("c", "in", "n", weight, (9, 7), stride, padding, (2, 3), groups)
    program = Program(
        (make_input("in", (4, 9, 7)),), (make_population("n", c.target_shape),), (c,), ()
    )
    for _ in range(4):
        check(program, rng)
