"""The fast emulator against the reference: every array of the trace equal, on either kernel."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulator import emulate
from deploy.errors import BadInput
from deploy.fast import emulate as fast_module
from deploy.fast import emulate_fast, prepare
from deploy.program import Dense, Output, Program, make_input, make_population
from deploy.trace import Trace

try:
    import numba  # noqa: F401

    KERNELS = ["numba", "numpy"]
except ImportError:
    KERNELS = ["numpy"]


def assert_equal(expected: Trace, found: Trace) -> None:
    assert (expected.samples, expected.timesteps) == (found.samples, found.timesteps)
    for part in ("s", "u", "v", "messages", "readout"):
        first, second = getattr(expected, part), getattr(found, part)
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.dtype == second[name].dtype and np.array_equal(array, second[name]), (
                part,
                name,
            )


def weights(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    scale = rng.choice([2, 20, 127])
    return (2 * rng.integers(-scale, scale + 1, shape)).astype(np.int32)


def random_program(rng: np.random.Generator) -> tuple[Program, dict[str, Any]]:
    """1–2 inputs, 1–4 populations, forward, recurrent and delayed connections, and messages."""
    samples, timesteps = int(rng.choice([1, 2, 5])), int(rng.choice([1, 2, 9, 70]))
    inputs, data = [], {}
    for i in range(rng.integers(1, 3)):
        shape = tuple(rng.integers(1, 6, rng.integers(1, 3)).tolist())
        top = int(rng.choice([1, 1, 1, 255, 2**23 - 1]))
        low = 0 if top == 1 else int(rng.choice([-top, 0]))
        inputs.append(make_input(f"i{i}", shape, low, top))
        dtype = rng.choice([np.int64, np.int32] if top > 1 else [np.int64, np.uint8, np.int8])
        x = rng.integers(low, top + 1, (samples, timesteps, *shape))
        sparse = rng.random(x.shape) < rng.choice([0.1, 0.5, 1.0])
        data[f"i{i}"] = np.where(sparse, x, 0).astype(dtype).clip(low, top)
    populations = []
    for i in range(rng.integers(1, 5)):
        shape = tuple(rng.integers(1, 7, rng.integers(1, 3)).tolist())
        per_neuron = shape if rng.random() < 0.5 else ()
        du = int(rng.choice([-1, 0, 4095, 1500]))
        populations.append(
            make_population(
                f"p{i}",
                shape,
                du=rng.integers(-1, 4096, shape) if per_neuron else du,
                dv=rng.integers(0, 4096, per_neuron)
                if rng.random() < 0.7
                else int(rng.choice([0, 4095])),
                vth=131071 if (last := rng.random() < 0.25) else rng.integers(0, 300, per_neuron),
                bias=rng.integers(-2000, 2000, per_neuron),
                kind="integrator" if last else "lif",
            )
        )
    connections: list[Dense] = []
    for source in inputs + populations:
        for target in populations:
            if rng.random() > 0.6:
                continue
            # Undelayed connections point forward, so that every cycle has a delay.
            back = source in populations and populations.index(source) >= populations.index(target)
            delay = int(rng.choice([0, 0, 1, 2, 5, 62]))
            connections.append(
                Dense(
                    f"c{len(connections)}",
                    source.name,
                    target.name,
                    weights(rng, (target.size, source.size)),
                    int(rng.choice([0, 0, 0, -7, -2, -1, 1, 3, 7])),
                    max(delay, 1) if back else delay,
                )
            )
    order = rng.permutation(len(populations))
    program = Program(
        tuple(inputs), tuple(populations[i] for i in order), tuple(connections), ()
    )
    return program, data


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "spikes", "all"]))
def test_random_programs_equal_the_reference(kernel: Any, seed: int, record: Any) -> None:
    program, data = random_program(np.random.default_rng(seed))
    expected = emulate(program, data, record)
    plan = prepare(program)
    assert_equal(expected, emulate_fast(plan, data, record, threads=1, kernel=kernel))
    assert_equal(expected, emulate_fast(plan, data, record, threads=2, kernel=kernel))
