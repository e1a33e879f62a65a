"""A program run core by core equals the same program in one piece, and sends what is counted."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.count.operations import count
from deploy.count.packets import HOST
from deploy.emulate.reference import emulate
from deploy.emulate.trace import Trace
from deploy.errors import BadInput
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.neurons import (
    Delta,
    Graded,
    Sigma,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.program import Dense, Program, make_input, make_population
from deploy.run.by_core import MappedRun, emulate_mapped

SEEDS = st.integers(0, 2**32 - 1)


def scattered(rng: np.random.Generator, program: Program) -> Mapping:
    """Every neuron somewhere: random cuts of each population, dealt over cores in any order."""
    slices = []
    for p in program.populations:
        cuts = rng.choice(np.arange(1, p.size), rng.integers(0, min(5, p.size)), replace=False)
        ends = [0, *sorted(int(x) for x in cuts), p.size]
        slices += [Slice(p.name, a, b) for a, b in pairwise(ends)]
    used = rng.choice(40, int(rng.integers(1, len(slices) + 1)), replace=False)
    held: dict[int, list[Slice]] = {int(core): [] for core in used}
    for i in rng.permutation(len(slices)):
        held[int(rng.choice(used))].append(slices[i])
    return Mapping("any", tuple(Core(i, tuple(parts)) for i, parts in held.items() if parts))


def messages(rng: np.random.Generator, program: Program) -> dict[str, Any]:
    shape = int(rng.integers(1, 4)), int(rng.integers(1, 8))
    return {n.name: rng.integers(n.low, n.high + 1, (*shape, *n.shape)) for n in program.inputs}


def both(program: Program, mapping: Mapping, inputs: dict[str, Any]) -> tuple[Trace, MappedRun]:
    """In one piece and core by core: equal in every array."""
    expected, found = emulate(program, inputs), emulate_mapped(program, mapping, inputs)
    for kind in ("s", "u", "v", "messages", "readout"):
        whole, parts = getattr(expected, kind), getattr(found.trace, kind)
        assert whole.keys() == parts.keys()
        for name in whole:
            assert whole[name].dtype == parts[name].dtype
            assert np.array_equal(whole[name], parts[name]), (kind, name)
    return expected, found


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_any_mapping_of_any_program_runs_equal(
    random_program: Callable[..., Program], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(seed)
    mapping, inputs = scattered(rng, program), messages(rng, program)
    expected, found = both(program, mapping, inputs)
    samples, timesteps = next(iter(inputs.values())).shape[:2]
    counts = count(program, expected.messages, samples, timesteps, mapping)
    assert found.packets == counts.messages
    assert counts.per_core is not None
    for core in counts.per_core:
        sent = sum(n for (a, b), n in found.traffic.items() if a == core.core != b)
        assert sent == core.messages


def test_the_random_mappings_reach_what_they_are_meant_to_compare(
    random_program: Callable[..., Program],
) -> None:
    packets, shared, many = 0, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        program = random_program(seed)
        mapping = scattered(rng, program)
        run = emulate_mapped(program, mapping, messages(rng, program), "none")
        packets += sum(n for (a, b), n in run.traffic.items() if HOST != a != b)
        shared += any(len({s.population for s in core.slices}) > 1 for core in mapping.cores)
        many += len(mapping.cores) > 3
    assert packets > 1000 and shared > 20 and many > 20


def every_kind() -> Program:
    """Neurons of every model in a row, with a loop, over dense connections of mixed exponents."""
    rng = np.random.default_rng(8)
    populations = (
        make_population("lif", (6,), dv=300, vth=12, refractory=1, reset_interval=5),
        make_ternary("ternary", (5,), vth=6, vth_lo=-6, dv=900),
        make_threshold("threshold", (4,), vth=2, bias=60),
        Graded("graded", (6,), vth=3, rectified=False),
        Delta("delta", (5,), vth=2, spike_exp=1, state_exp=1, cum_error=True),
        Sigma("sigma", (4,)),
        make_sigma_delta("sigma_delta", (5,), vth=3, bias=rng.integers(-9, 9, (5,))),
        make_population("out", (3,), kind="integrator"),
    )
    names = ["x", *(p.name for p in populations)]
    sizes = [7, *(p.size for p in populations)]
    connections = [
        Dense(
            f"{a}-{b}", a, b,
            (2 * rng.integers(-9, 10, (sizes[i + 1], sizes[i]))).astype(np.int32),
            exponent=-4 if sizes[i] == 6 and a == "graded" else -1, delay=i % 2,
        )
        for i, (a, b) in enumerate(pairwise(names))
    ]  # fmt: skip
    back = (2 * rng.integers(-9, 10, (6, 5))).astype(np.int32)
    loop = Dense("loop", "ternary", "lif", back, delay=2)
    return Program((make_input("x", (7,), -4, 9),), populations, (*connections, loop), ())


@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_neuron_runs_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = every_kind()
    mapping = scattered(rng, program)
    inputs = {"x": rng.integers(-4, 10, (3, 12, 7))}
    expected, found = both(program, mapping, inputs)
    assert all(expected.messages[p.name].any() for p in program.populations[:-1])
    counts = count(program, expected.messages, 3, 12, mapping)
    assert found.packets == counts.messages


def chain() -> Program:
    weight = np.array([[2, 0], [4, 6]], np.int32)
    return Program(
        (make_input("x", (2,)),),
        (make_population("a", (2,), vth=1), make_population("b", (2,), vth=1)),
        (Dense("xa", "x", "a", weight), Dense("ab", "a", "b", weight, delay=1)),
        (),
    )


def test_packets_by_hand() -> None:
    # Core 7 holds a whole and b[0], core 2 holds b[1]; both neurons of a fire at step 0 alone.
    mapping = Mapping(
        "any", (Core(7, (Slice("a", 0, 2), Slice("b", 0, 1))), Core(2, (Slice("b", 1, 2),)))
    )
    run = emulate_mapped(chain(), mapping, {"x": np.array([[[1, 1], [0, 0]]])})
    assert run.trace.s["a"].tolist() == [[[1, 1], [0, 0]]]
    assert run.trace.s["b"].tolist() == [[[0, 0], [1, 1]]]
    # A zero weight is a synapse of a dense connection: a[1] sends to core 7's b[0] too.
    assert run.traffic == {(HOST, 7): 2, (7, 7): 2, (7, 2): 2}
    assert run.packets == {"x": 2, "a": 2, "b": 0}


@pytest.mark.parametrize(
    ("cores", "says"),
    [
        ((Core(0, (Slice("a", 0, 2), Slice("b", 0, 1))),), "neuron 1 of node 'b' is on 0 cores"),
        (
            (Core(0, (Slice("a", 0, 2), Slice("b", 0, 2))), Core(1, (Slice("a", 1, 2),))),
            "neuron 1 of node 'a' is on 2 cores",
        ),
    ],
)
def test_a_mapping_that_is_no_partition_is_refused(cores: tuple[Core, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        emulate_mapped(chain(), Mapping("any", cores), {"x": np.zeros((1, 1, 2), np.int64)})
