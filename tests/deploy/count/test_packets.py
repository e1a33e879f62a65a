"""Packets, hops, link loads and counts of each step, against the mapped run and by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Connection, expand
from deploy.count.activity import QUANTITIES, activity, fans, sample_blocks, step_counts
from deploy.count.operations import count, to_json
from deploy.count.packets import HOST, links, traffic
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.hardware.chip import load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.hardware.mesh import Distances, coordinates
from deploy.hardware.mesh import apart as distance
from deploy.program.program import Dense, Program, make_input, make_population
from deploy.run.by_core import emulate_mapped

SEEDS = st.integers(0, 2**32 - 1)
CHIP = load_chip("kapoho-point")


def inputs_of(rng: np.random.Generator, program: Program, steps: int = 5) -> dict[str, Any]:
    return {n.name: rng.integers(n.low, n.high + 1, (3, steps, *n.shape)) for n in program.inputs}


def apart(a: int, b: int) -> Distances:
    return distance(*(coordinates(CHIP, np.array(i)) for i in (a, b)))


def used(c: Connection, part: Slice) -> np.ndarray:
    """Synapses of non-zero weight of each source onto a slice, from the list of all."""
    of = expand(c)
    here = slice(of.indptr[part.start], of.indptr[part.stop])
    return np.bincount(of.indices[here][of.weight[here] != 0], None, c.source_size)


def dealt(rng: np.random.Generator, program: Program) -> Mapping:
    """Halves of the populations on cores of any chip of the system."""
    slices = []
    for p in program.populations:
        cut = int(rng.integers(0, p.size))
        slices += [Slice(p.name, a, b) for a, b in ((0, cut), (cut, p.size)) if b > a]
    cores = rng.choice(CHIP.cores, len(slices), replace=False)
    return Mapping(CHIP.name, tuple(Core(int(i), (s,)) for i, s in zip(cores, slices, strict=True)))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_traffic_hops_and_links_agree_with_the_mapped_run(
    random_program: Callable[..., Program], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(seed)
    mapping, inputs = dealt(rng, program), inputs_of(rng, program)
    run = emulate_mapped(program, mapping, inputs, "none")
    found = traffic(program, mapping, run.trace.messages)
    between: dict[tuple[int, int], int] = {}
    for a, b, n in zip(found.sender, found.receiver, found.packets, strict=True):
        between[int(a), int(b)] = between.get((int(a), int(b)), 0) + int(n)
    assert between == {pair: n for pair, n in run.traffic.items() if n}
    counts = count(program, run.trace.messages, 3, 5, mapping, CHIP)
    assert counts.messages == run.packets
    expected = [
        (apart(a, b).hops * n, apart(a, b).chips * n)
        for (a, b), n in run.traffic.items()
        if a != HOST
    ]
    assert counts.hops is not None
    assert sum(counts.hops.total.values()) == sum(e[0] for e in expected)
    assert sum(counts.hops.chip_crossings.values()) == sum(e[1] for e in expected)
    assert all(counts.hops.total[n.name] == 0 for n in program.inputs)
    assert links(CHIP, found).total == sum(counts.hops.total.values())


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_counts_of_each_step_add_up_to_the_totals(
    random_program: Callable[..., Program], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(seed)
    mapping, inputs = dealt(rng, program), inputs_of(rng, program)
    trace = emulate(program, inputs, "spikes", per_step=True)
    for node in program.sources:
        recorded = trace.s.get(node.name, inputs.get(node.name))
        assert np.array_equal(trace.per_step[node.name], np.count_nonzero(recorded, axis=0))
        assert np.array_equal(trace.per_step[node.name].sum(axis=0), trace.messages[node.name])
    counts, tables = count(program, trace.messages, 3, 5, mapping, CHIP), fans(program, mapping)
    each = step_counts(program, trace.per_step, 3, tables)
    exact = {
        "synaptic_ops": counts.synaptic_ops,
        "synaptic_ops_dense": counts.synaptic_ops_dense,
        "spikes": counts.spikes,
        "input_messages": counts.input_messages,
        "messages": counts.messages,
    }
    for kind, per_node in exact.items():
        assert len(each[kind]) == 5
        assert sum(each[kind]) == pytest.approx(sum(per_node.values()) / 3)
    assert counts.per_core is not None
    for i, core in enumerate(counts.per_core):
        for kind in ("synaptic_ops", "spikes", "messages", "packets_in"):
            steps = [row[i] for row in each["per_core"][kind]]
            assert sum(steps) == pytest.approx(getattr(core, kind) / 3)
    # Sample by sample, in blocks of one: the same sums.
    recorded = {**inputs, **trace.s}
    samples = [
        activity(tables, block)
        for block in sample_blocks({n.name: recorded[n.name] for n in program.sources}, 3, 1)
    ]
    assert len(samples) == 3
    total = sum(part.synaptic_ops.sum(axis=(0, 1)) for part in samples)
    assert total.tolist() == [core.synaptic_ops for core in counts.per_core]


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.01, 0.3, 1.0]))
def test_few_messages_come_to_what_many_do(
    random_program: Callable[..., Program], seed: int, share: float
) -> None:
    """Message by message, or as products over all neurons: the same on every core in every step."""
    rng = np.random.default_rng(seed)
    program = random_program(seed)
    tables = fans(program, dealt(rng, program))
    sent = {n.name: rng.random((2, 3, n.size)) < share for n in program.sources}
    few = activity(tables, sent)
    many = activity(tables, {name: x.astype(np.int64) for name, x in sent.items()})
    for quantity in QUANTITIES:
        assert np.array_equal(getattr(few, quantity), getattr(many, quantity)), quantity


def test_the_fast_emulator_keeps_the_same_totals_of_each_step() -> None:
    rng = np.random.default_rng(3)
    weight = 2 * rng.integers(-20, 60, (9, 6))
    program = Program(
        (make_input("x", (6,), -3, 9), make_input("y", (6,))),
        (make_population("a", (9,), vth=200), make_population("b", (9,), vth=90)),
        (
            Dense("xa", "x", "a", weight.astype(np.int32)),
            Dense("yb", "y", "b", weight.astype(np.int32)),
            Dense("ab", "a", "b", (2 * rng.integers(0, 30, (9, 9))).astype(np.int32)),
            Dense("ba", "b", "a", (2 * rng.integers(-9, 9, (9, 9))).astype(np.int32), delay=2),
        ),
        (),
    )
    inputs = inputs_of(rng, program, 20)
    expected = emulate(program, inputs, "none", per_step=True).per_step
    assert expected["b"].any() and expected["a"].any()
    for threads in (1, 3):
        found = emulate_fast(program, inputs, "none", threads, "numpy", per_step=True).per_step
        assert found.keys() == expected.keys()
        for name, each in expected.items():
            assert found[name].dtype == each.dtype and np.array_equal(found[name], each)
    assert emulate_fast(program, inputs, "none").per_step == {}


def line(cores: tuple[int, ...]) -> tuple[Program, Mapping]:
    """x [1] → a, b and c of one neuron each, a → b → c, on these cores."""
    one = np.array([[2]], np.int32)
    program = Program(
        (make_input("x", (1,)),),
        tuple(make_population(n, (1,)) for n in "abc"),
        (
            Dense("xa", "x", "a", one),
            Dense("ab", "a", "b", one),
            Dense("bc", "b", "c", one),
            Dense("ba", "b", "a", one, delay=1),
        ),
        (),
    )
    held = tuple(Core(i, (Slice(n, 0, 1),)) for n, i in zip("abc", cores, strict=True))
    return program, Mapping("loihi2", held)


def test_links_by_hand() -> None:
    # Four cores a router, eight routers a row: cores 0, 4 and 36 are at (0, 0), (1, 0), (1, 1).
    program, mapping = line((0, 4, 36))
    messages = {"x": np.array([9]), "a": np.array([5]), "b": np.array([3]), "c": np.array([2])}
    chip = load_chip("loihi2")
    found = links(chip, traffic(program, mapping, messages))
    assert (found.east.tolist(), found.west.tolist()) == ([[5], [0]], [[3], [0]])
    assert (found.south.tolist(), found.north.tolist()) == ([[0, 3]], [[0, 0]])
    counts = count(program, messages, 1, 9, mapping, chip)
    assert counts.hops is not None
    assert counts.hops.east_west == {"x": 0, "a": 5, "b": 3, "c": 0}
    assert counts.hops.north_south == {"x": 0, "a": 0, "b": 3, "c": 0}
    written = to_json(counts)["hops"]
    assert (written["total"], written["east_west"], written["exact_total"]) == (11, 8, 11)
    assert [core.packets_in for core in counts.per_core or ()] == [9 + 3, 5, 3]
    assert [core.weight_bytes for core in counts.per_core or ()] == [2, 1, 1]


def test_cores_of_one_router_load_no_link() -> None:
    program, mapping = line((0, 1, 2))
    messages = {name: np.array([7]) for name in "xabc"}
    found = links(load_chip("loihi2"), traffic(program, mapping, messages))
    assert found.total == 0 and found.east.shape == (1, 0)


def test_totals_of_each_step_that_are_missing_are_refused() -> None:
    program, _ = line((0, 1, 2))
    with pytest.raises(BadInput, match="messages of each step of node 'x' are missing"):
        step_counts(program, {}, 1)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_neurons_in_many_slices_count_as_in_one(
    random_program: Callable[..., Program], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(seed)
    cores = []
    for p in program.populations:
        here = rng.random(p.size) < 0.6
        for index, held in ((len(cores), here), (len(cores) + 1, ~here)):
            singles = tuple(Slice(p.name, int(i), int(i) + 1) for i in np.flatnonzero(held))
            cores.append(Core(index, singles))
    mapping = Mapping(CHIP.name, tuple(core for core in cores if core.slices))
    run = emulate_mapped(program, mapping, inputs_of(rng, program), "none")
    counts = count(program, run.trace.messages, 3, 5, mapping, CHIP)
    assert counts.messages == run.packets
    assert counts.per_core is not None
    for kind in ("synaptic_ops", "synaptic_ops_dense"):
        total = sum(getattr(counts, kind).values())
        assert sum(getattr(core, kind) for core in counts.per_core) == total
    for core, found in zip(mapping.cores, counts.per_core, strict=True):
        by_slice = sum(
            int(run.trace.messages[c.source].reshape(-1) @ used(c, s))
            for s in core.slices
            for c in program.into(s.population)
        )
        assert found.synaptic_ops == by_slice
