"""Lava against the emulator where registers end: thresholds met exactly, wraps, clips, every sign."""

from dataclasses import replace

import numpy as np
import pytest

from deploy.connections import one_to_one
from deploy.errors import BadInput
from deploy.neurons import (
    Delta,
    Graded,
    Sigma,
    edges,
    make_population,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.program import Output, Program, make_input
from export.targets.lava.client import run_lava
from export.targets.lava.network import stock_program

N = 9
# Through a weight of 2 and an exponent of 6, 1024 is a sum of 2^17 and so a current of 2^23.
MESSAGES = [0, 1, -1, 2, -2, 1023, -1023, 1024, -1024, 1025, -1025, 2047, -2048, 3000, -3000]


def at_the_edges():
    """Populations whose registers are at their ends, each behind one weight a neuron."""
    dv, vth = np.array([0, 1, 4095] * 3), np.array([0, 131071, 131070] * 3)
    lif = [
        make_population(f"du{du}", (N,), du=du, dv=dv, vth=vth, bias=bias)
        for du, bias in ((0, 0), (4095, 4095 << 7), (-1, -4096 << 7), (1, 63), (4094, -1))
    ]
    rules = {"reset_interval": 3, "reset_offset": 2}
    ends = {"vth": vth, "vth_lo": -vth - 1, "dv": dv}
    encoding = {"spike_exp": 1, "state_exp": 2, "message_bits": 24}
    return (
        *lif,
        make_population("integrator", (N,), du=-1, kind="integrator", bias=1),
        make_population("reset", (N,), du=-1, dv=dv, vth=vth, **rules),
        make_ternary("ternary", (N,), du=-1, bias=-64, **ends),
        make_ternary("ternary-", (N,), du=0, **ends),
        make_ternary("closed", (N,), vth=0, vth_lo=0, bias=5),
        make_threshold("threshold", (N,), vth=vth, bias=64),
        Graded("relu", (N,), 2**17 - 1),
        Graded("vector", (N,), 2**17, False),
        Delta("delta", (N,), 2**17, **encoding),
        Delta("sum of errors", (N,), 2**17, **encoding, cum_error=True),
        Sigma("sigma", (N,)),
        make_sigma_delta("sigma-delta", (N,), vth=2**14, bias=-9, **encoding),
        make_sigma_delta("unit", (N,), vth=0, bias=9, rectified=False, **encoding),
    )


def wired(populations, weight, exponent):
    return Program(
        (make_input("in", (N,), -3000, 3000),),
        populations,
        tuple(
            one_to_one(f"to-{p.name}", "in", p.name, N, weight, exponent=exponent)
            for p in populations
        ),
        (Output("o", populations[-1].name, "s"),),
    )


@pytest.mark.parametrize(("weight", "exponent"), [(2, 6), (-2, 6), (254, -7), (-254, -5)])
def test_registers_at_their_ends(equal_on_lava, weight, exponent):
    program = wired(at_the_edges(), weight, exponent)
    inputs = {"in": np.random.default_rng(0).choice(MESSAGES, (12, 9, N))}
    expected, _ = equal_on_lava(program, inputs)
    if exponent > 0:
        # What this test is about did happen: u at both ends, wraps, clips, spikes of both signs.
        for name, u in expected.u.items():
            if name.startswith("du"):
                assert 2**23 in u
        assert all(expected.observed[p.name][edges.CURRENT] for p in program.populations[:9])
        for v in (expected.v["integrator"], expected.v["du-1"]):
            assert v.min() == -(2**23) + 1
        assert expected.observed["integrator"][edges.FIRES] and expected.s["integrator"].any()
        assert set(np.unique(expected.s["ternary"])) == {-1, 0, 1}
        assert all((s != 0).any() for s in expected.s.values())


def test_a_threshold_is_strict_at_the_end_of_its_register(equal_on_lava):
    """v at 64 · 131071, one above and one below: the highest threshold a chip can hold."""
    low = np.array([0, 1, -1] * 3)
    program = wired(
        (
            make_population("integrator", (N,), dv=0, bias=low, kind="integrator"),
            make_threshold("threshold", (N,), vth=131071, bias=low),
            make_ternary("ternary", (N,), vth=131071, vth_lo=-131071, bias=low),
        ),
        2,
        6,
    )
    # A sum of 131071 is a current of the threshold itself.
    program = replace(
        program,
        inputs=(make_input("in", (N,), -131071, 131071),),
        connections=tuple(replace(c, exponent=-1) for c in program.connections),
    )
    inputs = {"in": np.random.default_rng(1).choice([-131071, 131071], (6, 1, N))}
    expected, _ = equal_on_lava(program, inputs)
    above = (inputs["in"] > 0) & (low > 0)
    below = (inputs["in"] < 0) & (low < 0)
    np.testing.assert_array_equal(expected.s["threshold"], above)
    np.testing.assert_array_equal(expected.s["ternary"], above.astype(int) - below)


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (
            make_population("n", (N,), refractory=2),
            "'n': a refractory period of 2 steps has no fixed",
        ),
    ],
)
def test_what_lava_has_no_model_of_is_refused_by_name(population, message):
    program = wired((population,), 2, 0)
    with pytest.raises(BadInput, match=message):
        run_lava(program, {"in": np.zeros((1, 1, N), int)})
    with pytest.raises(BadInput, match=message):
        stock_program(program, 5)


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (make_ternary("n", (N,), vth_lo=-1), "'n': Lava's stock ternary neurons are never reset"),
        (Delta("n", (N,), 3), "'n': Lava's stock delta neurons are never reset"),
        (Sigma("n", (N,)), "'n': Lava's stock sigma neurons are never reset"),
        (make_sigma_delta("n", (N,), vth=3), "'n': Lava's stock sigma-delta neurons are never"),
        (
            make_population("n", (N,), reset_interval=4),
            "'n': Lava's LIFReset has one interval, and cannot clear both every 6 steps and every 4",
        ),
        (
            make_population("n", (N,), reset_interval=3, reset_offset=1),
            "'n': Lava's LIFReset has one interval",
        ),
    ],
)
def test_what_stock_processes_cannot_stream_is_refused_by_name(population, message):
    program = wired((population,), 2, 0)
    with pytest.raises(BadInput, match=message):
        stock_program(program, 6)


def test_stock_processes_reset_and_grade_as_the_emulator(equal_in_stock_lava):
    """Threshold, a reset that divides the sample or never comes, graded messages into a next layer."""
    populations = (
        make_threshold("threshold", (N,), vth=900, bias=100),
        make_population("reset", (N,), vth=3000, du=-1, reset_interval=3),
        make_population("never", (N,), vth=3000, dv=9, reset_interval=8, reset_offset=7),
        Graded("relu", (N,), 9),
        Graded("vector", (N,), 9, False),
        make_population("next", (N,), vth=3000, bias=50, dv=100),
    )
    program = wired(populations[:-1], 2, -1)
    program = replace(
        program,
        populations=populations,
        connections=(
            *program.connections,
            one_to_one("relu-next", "relu", "next", N, 2),
            one_to_one("vector-next", "vector", "next", N, -6, exponent=-2),
        ),
        outputs=tuple(Output(f"o-{p.name}", p.name, "s") for p in populations),
    )
    inputs = {"in": np.random.default_rng(2).integers(-3000, 3001, (5, 6, N))}
    expected = equal_in_stock_lava(program, inputs)
    assert all(expected.s[p.name].any() for p in populations)
