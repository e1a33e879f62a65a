"""Counters of what went beyond the registers' edges: by hand, against the proof, and in a trace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulate import edge_counts
from deploy.emulate.edge_counts import counted_from_states, observe
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.emulate.trace import concatenate
from deploy.neurons import (
    Delta,
    Graded,
    Neurons,
    Sigma,
    edges,
    make_population,
    make_sigma_delta,
    make_threshold,
)
from deploy.program.program import Dense, Output, Program, make_input

SEEDS = st.integers(0, 2**32 - 1)


def one(population: Neurons, weight: int = 254, exponent: int = 0) -> Program:
    return Program(
        (make_input("in", (1,), -(2**15), 2**15),),
        (population,),
        (Dense("w", "in", population.name, np.array([[weight]], np.int32), exponent),),
        (Output("out", population.name, "s"),),
    )


def counted(program: Program, messages: list[int]) -> dict[str, int]:
    """The edges of one neuron that a run went beyond."""
    x = {"in": np.array(messages).reshape(1, -1, 1)}
    found = emulate(program, x, "none", observe=True).observed["n"]
    assert found.keys() == program.populations[0].limits().keys()
    return {edge: n for edge, n in found.items() if n}


@pytest.mark.parametrize(
    ("program", "messages", "expected"),
    [
        # 129 · 254 = 32766 fits 21 bits with the shift of 6; 130 · 254 and −130 · 254 do not.
        (one(make_population("n", (1,))), [129, 130, -130, 0], {edges.SYNAPTIC_SUM: 2}),
        # 64 · 254 · 516 = 8388096 is below 2^23; 517 is not, and u wraps to a negative value.
        (one(make_population("n", (1,))), [516], {edges.SYNAPTIC_SUM: 1}),
        (one(make_population("n", (1,))), [517], {edges.SYNAPTIC_SUM: 1, edges.CURRENT: 1}),
        # Exactly 2^23 stays in Lava and wraps in nengo-loihi: an edge; so are the clips it leads to.
        (
            one(make_population("n", (1,)), 2, 6),
            [1024],
            {edges.SYNAPTIC_SUM: 1, edges.CURRENT: 1, edges.DRIVE: 1, edges.POTENTIAL: 1},
        ),
        # 500 stays in u; twice it clips v, and the bias takes u + b beyond.
        (
            one(make_population("n", (1,))),
            [500, 500],
            {edges.SYNAPTIC_SUM: 2, edges.POTENTIAL: 1, edges.FIRES: 0},
        ),
        (
            one(make_population("n", (1,), bias=4095 << 7)),
            [500],
            {edges.SYNAPTIC_SUM: 1, edges.DRIVE: 1, edges.POTENTIAL: 1},
        ),
        (
            one(make_population("n", (1,), kind="integrator")),
            [500, 500],
            {edges.SYNAPTIC_SUM: 2, edges.POTENTIAL: 1, edges.FIRES: 1},
        ),
        (
            one(make_threshold("n", (1,), vth=5)),
            [517, 517],
            {edges.SYNAPTIC_SUM: 2, edges.CURRENT: 2},
        ),
        (one(Graded("n", (1,), 0, True, 8), 2, -1), [255, 256, -300], {edges.MESSAGE: 1}),
        (one(Graded("n", (1,), 0, False, 8), 2, -1), [127, 128, -128, -129], {edges.MESSAGE: 2}),
        (one(Sigma("n", (1,), 8), 2, -1), [100, 27, 1], {edges.MESSAGE: 1}),
        (
            one(Sigma("n", (1,))),
            [2**15, 2**9],
            {edges.MESSAGE: 1, edges.RUNNING_SUM: 1},
        ),
        (one(Delta("n", (1,), 1, 0, 7)), [2**9], {edges.MESSAGE: 1, edges.ACTIVATION: 1}),
        (
            one(make_sigma_delta("n", (1,), vth=1, bias=2**15 - 1, state_exp=7)),
            [16600],
            {edges.ACTIVATION: 1, edges.MESSAGE: 1},
        ),
    ],
)
def test_by_hand(program: Program, messages: list[int], expected: dict[str, int]) -> None:
    assert counted(program, messages) == {edge: n for edge, n in expected.items() if n}


def messages(program: Program, seed: int, samples: int, timesteps: int) -> dict[str, Any]:
    node = program.inputs[0]
    shape = (samples, timesteps, *node.shape)
    x = np.random.default_rng(seed).integers(node.low, node.high + 1, shape)
    x[0], x[-1] = node.low, node.high
    return {node.name: x}


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_a_recorded_run_counts_as_the_emulator_does(
    random_program: Callable[..., Program], seed: int, large: bool
) -> None:
    """From the trace alone, sums formed anew; with weights so large that edges are crossed."""
    program = random_program(seed, kinds="plain" if large else "all", graded=True)
    x = messages(program, seed, 3, 7)
    counts = emulate(program, x, "none", observe=True).observed
    assert observe(program, x, emulate_fast(program, x)) == counts
    some = [program.populations[-1].name]
    assert observe(program, x, emulate(program, x), some) == {some[0]: counts[some[0]]}


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([-1, 0, 1, 40, 4094, 4095]), st.booleans())
def test_states_tell_what_the_sums_were(seed: int, du: int, fires: bool) -> None:
    """u wraps, v clips, sums come within a step of 17 bits: compiled, in NumPy, and stepped anew."""
    rng = np.random.default_rng(seed)
    registers = {"du": du, "dv": int(rng.integers(0, 4096)), "bias": rng.integers(-4096, 4096, 5)}
    kind = {"vth": int(rng.integers(0, 2**17))} if fires else {"kind": "integrator"}
    neurons = make_population("n", (5,), **registers, **kind)
    weights = rng.integers(-127, 128, (5, 4)).astype(np.int32) * 2
    program = Program(
        (make_input("in", (4,), -128, 127),),
        (neurons,),
        (Dense("w", "in", "n", weights),),
        (Output("out", "n", "s" if fires else "v"),),
    )
    x = {"in": rng.choice([-128, 127, 0], (3, 9, 4))}
    trace = emulate(program, x, observe=True)
    states = trace.u["n"], trace.v["n"]
    assert counted_from_states(neurons, *states) == trace.observed["n"]
    assert observe(program, x, trace) == trace.observed
    bare = emulate(program, x, "spikes")
    assert observe(program, x, bare) == trace.observed
    if edge_counts._has_numba():
        assert edge_counts._fast(neurons, *states) == trace.observed["n"]


@pytest.mark.parametrize(("last", "told"), [(4, True), (8, False)])
def test_weights_tell_what_their_number_does_not(last: int, told: bool) -> None:
    """516 · 254 + 4 is below 2^17, and + 8 is not; 518 synapses of at most 254 would be beyond."""
    weight = np.array([[*[254] * 516, last, 0]], np.int32)
    program = Program(
        (make_input("in", (518,)),),
        (make_population("n", (1,)),),
        (Dense("w", "in", "n", weight),),
        (Output("out", "n", "s"),),
    )
    neurons = program.populations[0]
    assert (int(np.abs(weight).sum()) + 1 < 2**17) is told
    assert edge_counts._told_by_u(program, neurons) is told
    x = {"in": np.ones((1, 3, 518), np.uint8)}
    trace = emulate(program, x, observe=True)
    assert observe(program, x, trace) == trace.observed


def test_sums_that_the_states_do_not_tell_are_formed_anew() -> None:
    """259 · 508 is beyond 17 bits: u alone would take it for a negative sum."""
    program = Program(
        (make_input("in", (2,), 0, 259),),
        (make_population("n", (1,)),),
        (Dense("w", "in", "n", np.array([[254, 254]], np.int32)),),
        (Output("out", "n", "s"),),
    )
    x = {"in": np.full((1, 2, 2), 259)}
    trace = emulate(program, x, observe=True)
    assert observe(program, x, trace) == trace.observed
    assert (
        counted_from_states(program.populations[0], trace.u["n"], trace.v["n"])
        != trace.observed["n"]
    )


def test_consecutive_runs_add_up() -> None:
    program = one(make_population("n", (1,)))
    x = np.array([[600], [700], [3]]).reshape(3, 1, 1)
    parts = [emulate(program, {"in": part}, "all", observe=True) for part in (x[:1], x[1:])]
    assert concatenate(parts).observed == emulate(program, {"in": x}, observe=True).observed
    assert emulate(program, {"in": x}).observed == {}
