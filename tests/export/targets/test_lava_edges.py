"""The edges of the registers on Lava: u at ±2^23, v at the clip, extreme decays, thresholds, exponents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import one_to_one
from deploy.emulate.reference import emulate
from deploy.program.program import VTH_MAX, Output, Program, make_input, make_population

NEURONS, TIMESTEPS, SAMPLES = 80, 8, 4
LIMIT = 2**23
# With the weight 128 and the exponent 7 a message of 8 makes a = 2^17, and so u = 2^23 exactly.
FULL = 8


def edges(seed):
    """Populations of unconnected neurons at the edges of every register, each under one exponent."""
    rng = np.random.default_rng(seed)
    exponents = [7, 6, int(rng.integers(-7, 0)), int(rng.integers(0, 6))]
    names = [f"n{i}" for i in range(len(exponents))]

    def either(*values):
        return rng.choice(values, NEURONS)

    def population(name):
        # One exponent serves a population's biases.
        shift = int(rng.choice([0, 7]))
        return make_population(
            name,
            (NEURONS,),
            du=either(-1, 0, 1, 2047, 4094, 4095),
            dv=either(0, 1, 2047, 4094, 4095),
            vth=either(0, 1, 2**16, VTH_MAX - 1, VTH_MAX),
            bias=either(-4096, -1, 0, 1, 4095) << shift,
        )

    program = Program(
        tuple(make_input(f"in{i}", (NEURONS,), -24, 24) for i in range(len(names))),
        tuple(population(name) for name in names),
        tuple(
            one_to_one(f"c{i}", f"in{i}", name, NEURONS, 128 if i < 2 else 2, exponent=exponents[i])
            for i, name in enumerate(names)
        ),
        tuple(Output(f"o{name}", name, "s") for name in names),
    )
    inputs = {
        f"in{i}": rng.choice(
            [-24, -17, -16, -2 * FULL + 1, -FULL - 1, -FULL, -FULL + 1, -3, -1, 0, 0,
             1, 3, FULL - 1, FULL, FULL + 1, 2 * FULL - 1, 16, 17, 24],
            (SAMPLES, TIMESTEPS, NEURONS),
        ).astype(np.int32)
        for i in range(len(names))
    }  # fmt: skip
    return program, inputs


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_lava_does_at_the_edges_what_the_emulator_does(equal_on_lava, seed):
    equal_on_lava(*edges(seed))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_lava_at_many_more_edges(equal_on_lava, seed):
    equal_on_lava(*edges(seed))


@pytest.mark.parametrize("seed", range(5))
def test_the_edges_are_reached(seed):
    """What is compared above is there: each edge is met exactly, and passed."""
    program, inputs = edges(seed)
    trace = emulate(program, inputs)
    u = np.stack(list(trace.u.values()))
    v = np.stack(list(trace.v.values()))
    s = np.stack(list(trace.s.values()))
    a = np.stack([inputs[node.name] for node in program.inputs])
    # Lava wraps once: what is beyond 3·2^23 stays outside.
    assert (u == LIMIT).any() and (np.abs(u) > LIMIT).any()
    # At −2^23 and beyond either end u wraps, so that its sign is not that of what arrives.
    cleared = np.stack(
        [np.broadcast_to(p.du == 4095, trace.u[p.name].shape) for p in program.populations]
    )
    assert (cleared & (a == -FULL) & (u == LIMIT))[0].any()
    assert (cleared & (a > FULL) & (u < 0))[0].any() and (cleared & (a < -FULL) & (u > 0))[0].any()
    assert (v == -LIMIT + 1).any()
    vth = np.stack([np.broadcast_to(p.vth, trace.v[p.name].shape) for p in program.populations])
    for threshold in (0, VTH_MAX - 1, VTH_MAX):
        assert s[vth == threshold].any()
    # A potential that is exactly its threshold does not fire.
    assert (v[(vth == 0) & (s == 0)] == 0).any()
    floors = [c for c in program.connections if c.exponent < 0]
    assert floors and any((a[2] * 2 % (1 << -c.exponent) != 0).any() for c in floors)
