"""Parity: equal runs compare equal, and any single change is found and named."""

from pathlib import Path

import numpy as np
import pytest

from deploy.compare.parity import compare, compare_recordings, compare_registers, merge, recordings
from deploy.emulate.reference import emulate
from deploy.emulate.trace import concatenate, first_samples, load_trace, save_trace
from deploy.errors import BadInput
from deploy.program.program import Dense, Output, Program, make_input, make_population, registers


def program() -> Program:
    rng = np.random.default_rng(5)
    return Program(
        (make_input("input", (6,)),),
        (
            make_population("lif", (8,), dv=1024, vth=60),
            make_population("out", (3,), kind="integrator"),
        ),
        (
            Dense("fc1", "input", "lif", (2 * rng.integers(-60, 60, (8, 6))).astype(np.int32)),
            Dense("fc2", "lif", "out", (2 * rng.integers(-60, 60, (3, 8))).astype(np.int32)),
        ),
        (Output("scores", "out", "v"),),
    )


INPUTS = {"input": np.random.default_rng(6).integers(0, 2, (4, 12, 6))}


def test_equal_runs_are_equal_and_say_how_much_was_compared() -> None:
    p = program()
    held = registers(p)
    result = compare("torch", held, emulate(p, INPUTS), "emulator", held, emulate(p, INPUTS))
    assert result.ok
    # The three integrators never fire: that they do not is no evidence, and is not counted.
    assert result.spikes_compared == 4 * 12 * 8
    assert result.states_compared == 2 * 4 * 12 * 11


def test_nothing_compared_is_not_parity() -> None:
    p = program()
    silent = emulate(p, INPUTS, record="none")
    assert not compare("a", registers(p), silent, "b", registers(p), silent).ok


def test_a_read_out_that_fires_on_one_side_is_counted_and_found() -> None:
    p = program()
    trace, other = emulate(p, INPUTS), emulate(p, INPUTS)
    other.s["out"][2, 3, 1] = 1
    result = compare("emulator", registers(p), trace, "lava", registers(p), other)
    assert not result.ok and result.spike_mismatches == 1
    assert result.spikes_compared == 4 * 12 * 11
    assert result.first_divergence is not None and result.first_divergence.node == "out"


def test_a_dropped_spike_is_named() -> None:
    p = program()
    trace, other = emulate(p, INPUTS), emulate(p, INPUTS)
    sample, step, neuron = (int(i) for i in np.argwhere(other.s["lif"])[7])
    other.s["lif"][sample, step, neuron] = 0
    result = compare("emulator", registers(p), trace, "lava", registers(p), other)
    assert not result.ok and result.spike_mismatches == 1 and result.state_mismatches == 0
    found = result.first_divergence
    assert found is not None
    assert (found.quantity, found.node, found.sample, found.step) == ("s", "lif", sample, step)
    assert (found.index, found.a, found.b) == ((neuron,), 1, 0)


def test_the_earliest_cause_is_named_not_its_consequences() -> None:
    p = program()
    trace, other = emulate(p, INPUTS), emulate(p, INPUTS)
    other.u["lif"][2, 3, 5] += 1
    other.v["lif"][2, 3, 5] += 1
    other.s["out"][1, 3, 0] ^= 1
    other.v["lif"][0, 4:] += 9
    found = compare("a", registers(p), trace, "b", registers(p), other).first_divergence
    assert found is not None and (found.sample, found.step) == (1, 3)
    other.s["out"][1, 3, 0] ^= 1
    found = compare("a", registers(p), trace, "b", registers(p), other).first_divergence
    assert found is not None and (found.quantity, found.node, found.index) == ("u", "lif", (5,))


@pytest.mark.parametrize("register", ["lif/dv", "lif/vth", "fc1/weight", "fc2/exponent"])
def test_one_register_off_by_one_is_named(register: str) -> None:
    held, other = registers(program()), registers(program())
    changed = np.array(other[register])
    changed.flat[-1] += 1
    other[register] = changed
    found = compare_registers(held, other)
    assert found is not None and found.register == register
    assert found.b is not None and found.a is not None and found.b - found.a == 1


def test_a_missing_register_is_a_difference() -> None:
    held = registers(program())
    found = compare_registers(held, {n: a for n, a in held.items() if n != "lif/vth"})
    assert found is not None and found.register == "lif/vth" and found.b is None


def test_chunks_merge_into_the_whole() -> None:
    p = program()
    trace, other = emulate(p, INPUTS), emulate(p, INPUTS)
    other.v["out"][3, 2, 1] += 1
    a, b = recordings(trace), recordings(other)
    chunks = [
        compare_recordings(
            "a",
            {n: x[i : i + 2] for n, x in a.items()},
            "b",
            {n: x[i : i + 2] for n, x in b.items()},
            i,
        )
        for i in (0, 2)
    ]
    assert merge(chunks, None) == compare_recordings("a", a, "b", b)


def test_traces_save_cut_and_join(tmp_path: Path) -> None:
    trace = emulate(program(), INPUTS)
    save_trace(tmp_path / "trace.npz", trace)
    loaded = load_trace(tmp_path / "trace.npz")
    assert all(np.array_equal(array, loaded[entry]) for entry, array in recordings(trace).items())
    halves = [emulate(program(), {"input": INPUTS["input"][i : i + 2]}) for i in (0, 2)]
    joined = concatenate(halves)
    assert all(np.array_equal(a, recordings(joined)[e]) for e, a in recordings(trace).items())
    assert np.array_equal(joined.messages["lif"], trace.messages["lif"])
    assert first_samples(trace, 1).s["lif"].shape[0] == 1


def test_traces_of_different_runs_are_refused() -> None:
    a = recordings(emulate(program(), INPUTS))
    with pytest.raises(BadInput, match="entry 'lif/s' is in one of them only"):
        compare_recordings("a", a, "b", {n: x for n, x in a.items() if n != "lif/s"})
    with pytest.raises(BadInput, match="shapes"):
        compare_recordings("a", a, "b", {n: x[:1] for n, x in a.items()})
