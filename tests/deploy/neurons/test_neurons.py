"""Every neuron model: hand-worked steps, plain loops, laws that hold between them, and their file."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import one_to_one
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.files import read_npz, write_npz
from deploy.neurons import (
    BUNDLED,
    Delta,
    Graded,
    Neurons,
    Sigma,
    make_population,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.file import VERSION, load_program, save_program
from deploy.program.program import Dense, Output, Program, equal, make_input, registers

SEEDS = st.integers(0, 2**32 - 1)


def driven(p: Neurons, high: int = 1000) -> Program:
    """A population that sees its input unchanged: weight 2, exponent −1."""
    return Program(
        (make_input("in", p.shape, -high, high),),
        (p,),
        (one_to_one("w", "in", p.name, p.size, 2, exponent=-1),),
        (Output("out", p.name, "s"),),
    )


def messages(p: Neurons, inputs: list[int]) -> dict[str, list[int]]:
    """One neuron: what it sends and the states it records, step by step."""
    trace = emulate(driven(p), {"in": np.array(inputs).reshape(1, -1, 1)})
    return {
        q: getattr(trace, q)[p.name][0, :, 0].tolist() for q in ("s", *p.recorded)
    }  # fmt: skip


def everything() -> Program:
    """One population of every kind, with registers and settings away from their defaults."""
    shape = (2, 2)
    delta = {"spike_exp": 2, "state_exp": 3, "cum_error": True, "message_bits": 20}
    populations: tuple[Neurons, ...] = (
        make_population("lif", shape, du=-1, dv=[[1, 2], [3, 4]], vth=7, bias=-9, refractory=3),
        make_population("reset", shape, reset_interval=5, reset_offset=2),
        make_population("integrator", shape, kind="integrator"),
        make_ternary("ternary", shape, vth=[5, 6], vth_lo=[[-5, 0], [3, 6]], bias=1 << 12),
        make_threshold("threshold", shape, vth=3, bias=[[0, 1], [2, 3]]),
        Graded("relu", shape, 3, True, 8),
        Graded("vector", shape, 0, False, 16),
        Delta("delta", shape, 9, **delta),
        Sigma("sigma", shape, 22),
        make_sigma_delta("sdn", shape, vth=4, bias=[[-1, 0], [1, 2]], rectified=False, **delta),
    )
    return Program(
        (make_input("in", shape, -9, 9),),
        populations,
        tuple(one_to_one(f"to-{p.name}", "in", p.name, 4) for p in populations),
        (Output("out", "lif", "s"),),
    )


def test_every_kind_is_there() -> None:
    assert {p.kind for p in everything().populations} == BUNDLED


def test_every_kind_loads_back_equal(tmp_path: Any) -> None:
    save_program(tmp_path / "p.npz", everything())
    loaded = load_program(tmp_path / "p.npz")
    assert equal(loaded, everything())
    assert [vars(p).keys() for p in loaded.populations] == [
        vars(p).keys() for p in everything().populations
    ]
    for a, b in zip(loaded.populations, everything().populations, strict=True):
        for name, value in vars(b).items():
            assert np.array_equal(getattr(a, name), value)
            assert type(getattr(a, name)) is type(value)


@pytest.mark.parametrize("version", [1, VERSION, VERSION + 1])
def test_older_files_load_and_newer_ones_are_refused(tmp_path: Any, version: int) -> None:
    program = driven(make_population("n", (3,), vth=4, bias=5))
    save_program(tmp_path / "p.npz", program)
    arrays = read_npz(tmp_path / "p.npz")
    header = json.loads(arrays["program.json"].tobytes().decode())
    header["version"] = version
    arrays["program.json"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    write_npz(tmp_path / "p.npz", arrays)
    if version > VERSION:
        with pytest.raises(BadInput, match=f"version {version}, this tool reads .* 1 to {VERSION}"):
            load_program(tmp_path / "p.npz")
    else:
        assert equal(load_program(tmp_path / "p.npz"), program)


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (make_population("n", (1,), refractory=63), "'n': refractory is 63, expected 0..62"),
        (make_population("n", (1,), reset_interval=-1), "'n': reset_interval is -1, expected 0"),
        (make_population("n", (1,), reset_interval=4, reset_offset=4), "'n': reset_offset is 4"),
        (make_population("n", (1,), reset_offset=1), "'n': reset_offset is 1, expected 0..0"),
        (make_ternary("n", (1,), vth=3, vth_lo=4), r"'n': vth_lo 4 at index \[0\] is above vth 3"),
        (make_ternary("n", (1,), vth_lo=-(2**17) - 1), "'n': vth_lo -131073 at index"),
        (make_ternary("n", (1,), vth_lo=0, dv=4096), "'n': dv 4096"),
        (make_threshold("n", (1,), vth=-1), "'n': vth -1"),
        (Graded("n", (1,), -1), "'n': vth is -1, expected 0..8388607"),
        (Graded("n", (1,), 0, True, 7), "'n': message_bits is 7, expected 8..24"),
        (Delta("n", (1,), 1, state_exp=8), "'n': state_exp is 8, expected 0..7"),
        (Delta("n", (1,), 2**17, 3, 3), "'n': vth is 131072, expected 0..131071"),
        (Sigma("n", (1,), 25), "'n': message_bits is 25, expected 8..24"),
        (make_sigma_delta("n", (1,), vth=1, bias=2**15), "'n': bias 32768"),
        (make_sigma_delta("n", (2,), vth=1, bias=512, spike_exp=7, state_exp=7), "'n': bias 512"),
        (make_sigma_delta("n", (1,), vth=1.5), "'n': vth is 1.5, expected"),
    ],
)
def test_illegal_settings_are_refused_by_name(population: Neurons, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        driven(population)


@pytest.mark.parametrize("population", [Graded("n", (1,)), Sigma("n", (1,))])
def test_what_has_no_membrane_potential_has_none_to_read(population: Neurons) -> None:
    with pytest.raises(BadInput, match=r"'o': 'n' .* has no membrane potential to read"):
        Program((make_input("i", (1,)),), (population,), (), (Output("o", "n", "v"),))


def test_ternary_by_hand() -> None:
    p = make_ternary("n", (1,), vth=2, vth_lo=-1)
    assert messages(p, [2, 1, -1, -1, -3]) == {
        "s": [0, 1, 0, -1, -1],  # v: 128; 192 > 128 fires; −64 is not below −64; −128 is
        "u": [128, 64, -64, -64, -192],
        "v": [128, 0, -64, 0, 0],
    }


def test_refractory_by_hand() -> None:
    p = make_population("n", (1,), vth=2, refractory=2)
    found = messages(p, [3, 9, 9, 1, 1, 1, 3])
    assert found["s"] == [1, 0, 0, 0, 0, 1, 0]
    assert found["v"] == [0, 0, 0, 64, 128, 0, 0]


def test_reset_by_hand() -> None:
    p = make_population("n", (1,), du=-1, reset_interval=3, reset_offset=1)
    found = messages(p, [1, 1, 1, 1, 1, 1])
    assert found["u"] == [64, 64, 128, 192, 64, 128]
    assert found["v"] == [64, 64, 192, 384, 64, 192]


def test_threshold_by_hand() -> None:
    assert messages(make_threshold("n", (1,), vth=2, bias=65), [1, 0, 2, 1]) == {
        "s": [1, 0, 1, 1],
        "u": [64, 0, 128, 64],
        "v": [0, 65, 0, 0],
    }


def test_graded_by_hand() -> None:
    assert messages(Graded("n", (1,), 2), [3, 2, -5, 900])["s"] == [3, 0, 0, 900]
    assert messages(Graded("n", (1,), 2, False), [3, 2, -5, -2])["s"] == [3, 0, -5, 0]


def test_delta_by_hand() -> None:
    # θ = 12: x is 4·a; what is not sent stays in the residue.
    p = Delta("n", (1,), 3, spike_exp=1, state_exp=1)
    assert messages(p, [2, 3, 3, -1]) == {
        "s": [0, 6, 0, -8],
        "u": [8, 12, 12, -4],
        "v": [8, 0, 0, 0],
    }
    # With cum_error the sum of what was not sent counts: 8 + 8 ≥ 12.
    p = Delta("n", (1,), 3, 1, 1, cum_error=True)
    assert messages(p, [2, 2, 2])["s"] == [0, 4, 0]


def test_sigma_delta_by_hand() -> None:
    p = make_sigma_delta("n", (1,), vth=4, bias=-3)
    assert messages(p, [5, 3, 1, -20]) == {
        "s": [0, 5, 0, -5],
        "u": [5, 8, 9, -11],
        "v": [2, 0, 1, 0],
    }
    p = make_sigma_delta("n", (1,), vth=4, bias=-3, rectified=False)
    assert messages(p, [5, 3, 1, -20])["s"] == [0, 5, 0, -19]


def random_registers(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {
        "du": rng.integers(-1, 4096, n),
        "dv": rng.integers(0, 4096, n),
        "vth": rng.integers(0, 700, n),
        "bias": rng.integers(-4096, 4096, n),
    }


def data(rng: np.random.Generator, timesteps: int = 20, n: int = 5) -> dict[str, Any]:
    return {"in": rng.integers(-1000, 1001, (4, timesteps, n))}


def assert_same(a: Any, b: Any, quantities: str = "suv") -> None:
    for quantity in quantities:
        first, second = getattr(a, quantity), getattr(b, quantity)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], quantity)
            assert first[name].any()


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_ternary_neuron_without_lower_threshold_is_a_lif(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held, x = random_registers(rng, 5), data(rng)
    ternary = driven(make_ternary("n", (5,), vth_lo=-(2**17), **held))
    lif = driven(make_population("n", (5,), **held))
    assert_same(emulate(ternary, x), emulate(lif, x))


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_ternary_neuron_is_symmetric(seed: int) -> None:
    """Signs of inputs, bias and thresholds turned: signs of everything turn, since T truncates to 0."""
    rng = np.random.default_rng(seed)
    held, x = random_registers(rng, 5), data(rng)
    lo = -rng.integers(0, 2000, 5)
    turned = held | {"bias": -held["bias"], "vth": -lo, "vth_lo": -held["vth"]}
    turned["bias"] = np.clip(turned["bias"], -4096, 4095)
    held["bias"] = -turned["bias"]
    a = emulate(driven(make_ternary("n", (5,), vth_lo=lo, **held)), x)
    b = emulate(driven(make_ternary("n", (5,), **turned)), {"in": -x["in"]})
    for quantity in "suv":
        np.testing.assert_array_equal(getattr(a, quantity)["n"], -getattr(b, quantity)["n"])


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_threshold_is_a_lif_that_is_reset_before_every_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held, x = random_registers(rng, 5), data(rng)
    lif = driven(make_population("n", (5,), reset_interval=1, **held))
    threshold = driven(make_threshold("n", (5,), vth=held["vth"], bias=held["bias"]))
    assert_same(emulate(threshold, x), emulate(lif, x))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 8), st.data())
def test_a_reset_starts_a_fresh_run(seed: int, interval: int, draw: Any) -> None:
    offset = draw.draw(st.integers(0, interval - 1))
    rng = np.random.default_rng(seed)
    held, x = random_registers(rng, 5), data(rng)
    rule = {"reset_interval": interval, "reset_offset": offset}
    whole = emulate(driven(make_population("n", (5,), **held, **rule)), x)
    plain = driven(make_population("n", (5,), **held))
    cuts = [*sorted({0, *range(offset, 20, interval)}), 20]
    for start, stop in itertools.pairwise(cuts):
        part = emulate(plain, {"in": x["in"][:, start:stop]})
        for quantity in "suv":
            expected = getattr(whole, quantity)["n"][:, start:stop]
            np.testing.assert_array_equal(getattr(part, quantity)["n"], expected)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 5))
def test_refractory_follows_the_rule_of_loihi_1(seed: int, refractory: int) -> None:
    """nengo-loihi's CompartmentState.update, in plain integers; its register is ours plus one."""
    rng = np.random.default_rng(seed)
    held, x = random_registers(rng, 1), data(rng, n=1)
    trace = emulate(driven(make_population("n", (1,), refractory=refractory, **held)), x)
    du, dv, vth, bias = (int(held[r][0]) for r in ("du", "dv", "vth", "bias"))

    def decay(value: int, register: int) -> int:
        return int(np.sign(value)) * (abs(value) * (4096 - register) >> 12)

    for sample in range(4):
        current = voltage = ref_count = 0
        for t, message in enumerate(x["in"][sample, :, 0].tolist()):
            current = decay(current, du + 1) + 64 * message
            voltage = decay(voltage, dv) + current + bias
            if ref_count > 0:
                voltage = 0
            spiked = voltage > 64 * vth
            if spiked:
                voltage, ref_count = 0, refractory + 1
            ref_count = max(ref_count - 1, 0)
            assert trace.s["n"][sample, t, 0] == spiked
            assert trace.v["n"][sample, t, 0] == voltage
            assert trace.u["n"][sample, t, 0] == current


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 3), st.integers(0, 200), st.booleans())
def test_a_sigma_behind_a_delta_follows_the_signal(
    seed: int, spike_exp: int, vth: int, cum: bool
) -> None:
    """Without state bits nothing is lost: the decoded signal is the encoded one, less the residue."""
    rng = np.random.default_rng(seed)
    delta, sigma = Delta("d", (5,), vth, spike_exp, 0, cum, 20), Sigma("n", (5,))
    program = Program(
        (make_input("in", (5,), -1000, 1000),),
        (delta, sigma),
        (
            one_to_one("w", "in", "d", 5, 2, exponent=-1),
            one_to_one("x", "d", "n", 5, 2, exponent=-1),
        ),
        (Output("out", "n", "s"),),
    )
    x = data(rng)
    trace = emulate(program, x)
    decoded, residue = trace.s["n"], trace.v["d"]
    np.testing.assert_array_equal(trace.u["d"], x["in"] << spike_exp)
    np.testing.assert_array_equal(decoded + residue, x["in"] << spike_exp)
    if not cum:
        assert np.abs(residue).max(initial=0) < max(vth << spike_exp, 1)
    assert trace.messages["d"].sum() == np.count_nonzero(trace.s["d"])


def test_message_types_and_ranges() -> None:
    trace = emulate(everything(), {"in": np.ones((1, 2, 2, 2), int)})
    types = {name: array.dtype for name, array in trace.s.items()}
    assert {name for name, of in types.items() if of == np.uint8} == {
        *("lif", "reset", "integrator", "threshold"),
    }
    assert set(types.values()) == {np.dtype(np.uint8), np.dtype(np.int32)}
    ranges = {p.name: p.message_range for p in everything().populations}
    assert ranges["ternary"] == (-1, 1) and ranges["lif"] == (0, 1)
    assert ranges["relu"] == (0, 255) and ranges["vector"] == (-(2**15), 2**15 - 1)
    assert Graded("n", (1,)).message_range == (0, 2**23 - 1)
    assert "relu" not in trace.u and "sigma" not in trace.v and "sigma" in trace.u


def test_the_fast_emulator_runs_them_too() -> None:
    x = {"in": np.random.default_rng(0).integers(-9, 10, (3, 6, 2, 2))}
    a, b = emulate(everything(), x), emulate_fast(everything(), x)
    for quantity in ("s", "u", "v", "messages"):
        for name, array in getattr(a, quantity).items():
            np.testing.assert_array_equal(array, getattr(b, quantity)[name])


def test_a_message_that_fits_no_machine_stops_the_run() -> None:
    """A graded loop that doubles what it holds, every step."""
    program = Program(
        (make_input("in", (1,), 0, 255),),
        (Graded("n", (1,)),),
        (
            Dense("w", "in", "n", np.full((1, 1), 254, np.int32)),
            Dense("loop", "n", "n", np.full((1, 1), 254, np.int32), delay=1),
        ),
        (Output("out", "n", "s"),),
    )
    emulate(program, {"in": np.full((1, 3, 1), 1)})
    with pytest.raises(CheckFailed, match=r"node 'n': a message of 4.* at step 3 does not fit 32"):
        emulate(program, {"in": np.full((1, 4, 1), 1)})


def test_registers_name_what_is_on() -> None:
    held = registers(everything())
    assert held["lif/refractory"] == 3 and "reset/refractory" not in held
    assert held["reset/reset_offset"] == 2 and held["delta/cum_error"] == 1
    assert "sdn/rectified" not in held and held["relu/rectified"] == 1
