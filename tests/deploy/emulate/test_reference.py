"""The reference emulator, against hand-worked steps, plain loops and recorded Loihi hardware."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Dense, Output, Program, make_input, make_population


def one_neuron(weight: int = 10, **registers: object) -> Program:
    return Program(
        (make_input("input", (1,), -255, 255),),
        (make_population("n", (1,), **registers),),
        (Dense("w", "input", "n", np.array([[weight]], np.int32)),),
        (Output("out", "n", "s"),),
    )


def run(program: Program, messages: list[int]) -> tuple[list[int], list[int], list[int]]:
    trace = emulate(program, {"input": np.array(messages).reshape(1, -1, 1)})
    return tuple(recording["n"][0, :, 0].tolist() for recording in (trace.u, trace.v, trace.s))


def test_one_neuron_by_hand() -> None:
    # u = 640 while a message arrives; v = T(640·1024/4096) + 640 + 64 …; vth 20 → fires above 1280.
    u, v, s = run(one_neuron(dv=3072, vth=20, bias=64), [1, 1, 0, 2])
    assert u == [640, 640, 0, 1280]
    assert v == [704, 880, 284, 0]  # 284 = T(220.0) + 64; 1415 = T(71.0) + 1280 + 64 fires
    assert s == [0, 0, 0, 1]


def test_decay_truncates_toward_zero_on_both_sides() -> None:
    assert run(one_neuron(dv=1, vth=100), [1, 0])[1] == [640, 639]  # 639.84 → 639
    assert run(one_neuron(dv=1, vth=100), [-1, 0])[1] == [-640, -639]  # −639.84 → −639


def test_the_threshold_is_strict_and_the_reset_immediate() -> None:
    assert run(one_neuron(vth=10), [1, 1])[2] == [0, 1]
    assert run(one_neuron(vth=10), [1, 1])[1] == [640, 0]


def test_decay_registers_at_their_ends() -> None:
    assert run(one_neuron(du=4095, vth=500), [1, 0])[0] == [640, 0]
    assert run(one_neuron(du=0, vth=500), [1, 0])[0] == [640, 639]
    assert run(one_neuron(du=-1, vth=500), [1, 0])[0] == [640, 640]


def test_current_wraps_and_membrane_potential_clips() -> None:
    u, v, _ = run(one_neuron(weight=254, du=-1, kind="integrator"), [255] * 4)
    assert u == [4145280, 8290560, 12435840 - 2**24, 12435840 - 2**24 + 4145280]
    assert v[0] == 4145280
    assert run(one_neuron(weight=254, du=-1, kind="integrator"), [-255] * 2)[1][1] == -(2**23) + 1


def test_an_integrator_fires_at_its_edge_as_on_the_chip() -> None:
    """Its threshold is 131071: what is above 131071·64 fires, and only the last 64 values are."""
    steps = (131071 * 64) // 524160 + 1
    _, v, s = run(one_neuron(weight=2, kind="integrator", bias=4095 << 7), [0] * (steps + 1))
    assert s == [0] * (steps - 1) + [1, 0]
    assert v[-3:] == [(steps - 1) * 524160, 0, 524160]


def test_weight_exponents_shift_the_sum_with_floor() -> None:
    def total(exponent: int, message: int) -> int:
        program = one_neuron()
        connection = Dense("w", "input", "n", np.array([[2]], np.int32), exponent)
        program = Program(program.inputs, program.populations, (connection,), ())
        return run(program, [message])[0][0] >> 6

    assert total(3, 5) == 80
    assert total(-2, 5) == 2
    assert total(-2, -5) == -3


def test_delays_and_recurrence_against_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    w_in, w_rec = (2 * rng.integers(-60, 90, s).astype(np.int32) for s in ((5, 4), (5, 5)))
    program = Program(
        (make_input("input", (4,)),),
        (make_population("n", (5,), du=1500, dv=700, vth=150),),
        (Dense("in", "input", "n", w_in, delay=2), Dense("rec", "n", "n", w_rec, delay=3)),
        (Output("out", "n", "s"),),
    )
    x = rng.integers(0, 2, (3, 20, 4))
    trace = emulate(program, {"input": x})
    for sample in range(3):
        u, v, spikes = [0] * 5, [0] * 5, []
        for t in range(20):
            row = []
            for i in range(5):
                a = (
                    sum(int(w_in[i, j]) * int(x[sample, t - 2, j]) for j in range(4))
                    if t >= 2
                    else 0
                )
                a += sum(int(w_rec[i, j]) * spikes[t - 3][j] for j in range(5)) if t >= 3 else 0
                u[i] = int(u[i] * (4096 - 1501) / 4096) + (a << 6)
                v[i] = int(v[i] * (4096 - 700) / 4096) + u[i]
                fired = v[i] > 150 << 6
                v[i] = 0 if fired else v[i]
                row.append(int(fired))
            spikes.append(row)
            assert trace.v["n"][sample, t].tolist() == v
        assert trace.s["n"][sample].tolist() == spikes
    assert 0 < trace.s["n"].mean() < 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 6))
def test_samples_are_independent_and_repeatable(seed: int, timesteps: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    program = Program(
        (make_input("input", (3,), -7, 7),),
        (
            make_population("a", (4,), du=int(rng.integers(-1, 4096)), dv=900, vth=40, bias=128),
            make_population("b", (2,), kind="integrator"),
        ),
        (
            Dense("ia", "input", "a", (2 * rng.integers(-20, 20, (4, 3))).astype(np.int32)),
            Dense("ab", "a", "b", (2 * rng.integers(-20, 20, (2, 4))).astype(np.int32)),
            Dense("aa", "a", "a", (2 * rng.integers(-20, 20, (4, 4))).astype(np.int32), delay=1),
        ),
        (Output("out", "b", "v"),),
    )
    x = rng.integers(-7, 8, (samples, timesteps, 3))
    whole = emulate(program, {"input": x})
    for i in range(samples):
        alone = emulate(program, {"input": x[i : i + 1]})
        for name, quantity, recording in alone.recorded():
            assert np.array_equal(recording[0], getattr(whole, quantity)[name][i])
    assert np.array_equal(whole.readout["b"], whole.v["b"][:, -1])
    assert np.array_equal(whole.messages["a"], whole.s["a"].sum(axis=(0, 1)))


def test_inputs_that_do_not_fit_are_refused_by_name() -> None:
    program = one_neuron()
    for inputs, message in [
        ({}, "input 'input' of the program is missing"),
        ({"input": np.zeros((1, 2, 1), int), "x": np.zeros(1)}, "input 'x' is not an input"),
        ({"input": np.zeros((1, 2, 2), int)}, r"data of shape \(1, 2, 2\)"),
        ({"input": np.full((1, 2, 1), 256)}, r"message 256 at sample 0, step 0, index \[0\]"),
        ({"input": np.zeros((1, 2, 1))}, "messages of type float64"),
    ]:
        with pytest.raises(BadInput, match=message):
            emulate(program, inputs)


@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
@pytest.mark.parametrize(("file", "v_at_spike"), [("loihi_fixed", 128), ("cpu_fixed", 0)])
def test_recorded_loihi_traces_are_reproduced_exactly(file: str, v_at_spike: int) -> None:
    """The NIR paper's LIF on Loihi hardware, 1 000 steps; the hardware reads v = 128 at a spike."""
    path = Path(os.environ["NEUROCLIP_DATA"]) / "nir" / f"lif_lava_{file}.csv"
    spike_in, v_recorded, s_recorded = np.loadtxt(path, delimiter=",", unpack=True).astype(int)
    _, v, s = run(one_neuron(weight=10, dv=163, vth=25), spike_in.tolist())
    # A recording in chip time: its synapse delays by the one step that sample time removes.
    assert np.array_equal(s[:-1], s_recorded[1:])
    assert np.array_equal(np.where(s, v_at_spike, v)[:-1], v_recorded[1:])
    assert len(s) == 1000 and sum(s) == 4
