"""Recordings of hardware against traces: what the conventions of reading a chip hide and do not."""

import os
from pathlib import Path

import numpy as np
import pytest

from deploy.compare.hardware_reading import hardware_reading
from deploy.compare.parity import compare_recordings, recordings
from deploy.emulate.reference import emulate
from deploy.emulate.trace import load_trace, save_trace
from deploy.errors import BadInput
from deploy.program.file import save_program
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Dense, Output, Program, make_input, make_population
from neuroclip.commands.main import main


def chain(layers=3, seed=0):
    """Layers of five neurons; their chip steps lag by 1, 2, 3, …"""
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(layers)]
    return Program(
        (make_input("in", (5,)),),
        tuple(make_population(n, (5,), vth=200, dv=300, du=2000) for n in names),
        tuple(
            Dense(f"w{b}", a, b, (2 * rng.integers(-60, 100, (5, 5))).astype(np.int32))
            for a, b in zip(["in", *names], names, strict=False)
        ),
        (Output("o", names[-1], "s"),),
    )


def read_from_chip(program, trace, rest=0):
    """What a chip's probes would give: late by the layer, and v = 128 where a neuron fires."""
    read = {}
    for lag, p in enumerate(program.populations, start=1):
        s, v = trace.s[p.name], trace.v[p.name].copy()
        v[s > 0] = 128
        for quantity, values in (("s", s), ("v", v), ("u", trace.u[p.name])):
            late = np.full_like(values[:, :lag], rest)
            read[f"{p.name}/{quantity}"] = np.concatenate([late, values], axis=1)
    return read


@pytest.fixture
def run():
    program = chain()
    rng = np.random.default_rng(1)
    trace = emulate(program, {"in": rng.integers(0, 2, (3, 20, 5))})
    assert all(0.05 < s.mean() < 0.95 for s in trace.s.values())
    return program, trace


@pytest.mark.parametrize("cut", [True, False], ids=["as long as the trace", "longer"])
def test_a_chips_recording_is_equal_in_its_own_convention(run, cut):
    program, trace = run
    read = read_from_chip(program, trace)
    if cut:
        read = {entry: values[:, :20] for entry, values in read.items()}
    ours, theirs = hardware_reading(recordings(trace), read, latency_steps(program))
    parity = compare_recordings("emulator", ours, "chip", theirs)
    assert parity.ok, parity.describe()
    steps = 19 + 18 + 17 if cut else 60
    assert (parity.spikes_compared, parity.states_compared) == (3 * steps * 5, 6 * steps * 5)
    assert not compare_recordings(
        "a", recordings(trace), "b", {n: x[:, :20] for n, x in read.items()}
    ).ok


@pytest.mark.parametrize("quantity", ["s", "v", "u"])
@pytest.mark.parametrize("node", ["n0", "n2"])
def test_one_value_read_otherwise_is_found_at_its_sample_step(run, node, quantity):
    program, trace = run
    read = read_from_chip(program, trace)
    lag = latency_steps(program)[node]
    read[f"{node}/{quantity}"][1, 7 + lag, 2] ^= 1
    ours, theirs = hardware_reading(recordings(trace), read, latency_steps(program))
    found = compare_recordings("emulator", ours, "chip", theirs).first_divergence
    assert (found.node, found.quantity, found.sample, found.step, found.index) == (
        node, quantity, 1, 7, (2,),
    )  # fmt: skip


def test_the_convention_hides_nothing_but_the_reset(run):
    """v read as 0 at a spike, or as 128 without one, is a difference."""
    program, trace = run
    for where, value in ((trace.s["n1"] > 0, 0), (trace.s["n1"] == 0, 77_777)):
        read = read_from_chip(program, trace)
        sample, step, neuron = np.argwhere(where[:, :10])[0]
        read["n1/v"][sample, step + 2, neuron] = value
        ours, theirs = hardware_reading(recordings(trace), read, latency_steps(program))
        parity = compare_recordings("emulator", ours, "chip", theirs)
        assert (parity.spike_mismatches, parity.state_mismatches) == (0, 1)


def test_a_chip_with_few_probes_is_compared_on_these(run):
    program, trace = run
    read = {"n2/s": read_from_chip(program, trace)["n2/s"]}
    ours, theirs = hardware_reading(recordings(trace), read, latency_steps(program))
    assert ours.keys() == theirs.keys() == {"n2/s"}


def test_recordings_that_cannot_be_read_so_are_refused(run):
    program, trace = run
    held, read, lag = recordings(trace), read_from_chip(program, trace), latency_steps(program)
    without = {entry: x for entry, x in held.items() if entry != "n1/s"}
    for arguments, says in [
        ((held, read | {"n9/s": read["n0/s"]}, lag), "'n9/s' of the recording is not in the trace"),
        ((held, read, {"n0": 1, "n1": 2}), "node 'n2': no population of this name"),
        ((without, {"n1/v": read["n1/v"]}, lag), "'n1/v': the trace has no 'n1/s'"),
        (
            (held, {"n0/s": read["n0/s"][:, :19]}, lag),
            "'n0/s': a recording of 19 steps of a trace of 20",
        ),
        ((held, read, lag | {"n2": 20}), "steps of a trace of 20, which it lags by 20"),
    ]:
        with pytest.raises(BadInput, match=says):
            hardware_reading(*arguments)


def test_the_command_compares_a_recording(tmp_path, run, capsys, refused):
    program, trace = run
    save_program(tmp_path / "program.npz", program)
    save_trace(tmp_path / "trace.npz", trace)
    read = read_from_chip(program, trace)
    np.savez(tmp_path / "chip.npz", **read)
    command = ["diff", str(tmp_path / "trace.npz"), str(tmp_path / "chip.npz")]
    assert main([*command, "--hardware-reading"]) == 0
    assert "900 spikes and 1800 states compared" in capsys.readouterr().out
    read["n1/s"][0, 5 + 2, 3] ^= 1
    np.savez(tmp_path / "chip.npz", **read)
    assert main([*command, "--hardware-reading"]) == 1
    assert "spike of node 'n1', sample 0, step 5, neuron [3]" in capsys.readouterr().out
    refused(main, *command, says=["n0/s"])  # without the option: shapes differ
    refused(main, *command, "--program", tmp_path / "program.npz", says=["--hardware-reading"])
    (tmp_path / "program.npz").rename(tmp_path / "moved.npz")
    refused(main, *command, "--hardware-reading", says=["program.npz"])
    assert main([*command, "--hardware-reading", "--program", str(tmp_path / "moved.npz")]) == 1


@pytest.mark.skipif("NEUROCLIP_DATA" not in os.environ, reason="NEUROCLIP_DATA is not set")
@pytest.mark.parametrize("recorded_spikes", [True, False])
def test_the_public_loihi_recording_through_the_command(tmp_path, capsys, recorded_spikes):
    """The NIR paper's neuron on Loihi hardware: all 1 000 steps, u not probed."""
    path = Path(os.environ["NEUROCLIP_DATA"]) / "nir" / "lif_lava_loihi_fixed.csv"
    spike_in, v, s = np.loadtxt(path, delimiter=",", unpack=True).astype(np.int32)
    program = Program(
        (make_input("input", (1,)),),
        (make_population("lif", (1,), du=4095, dv=163, vth=25),),
        (Dense("w", "input", "lif", np.array([[10]], np.int32)),),
        (Output("spikes", "lif", "s"),),
    )
    trace = emulate(program, {"input": spike_in.reshape(1, -1, 1)})
    save_program(tmp_path / "program.npz", program)
    save_trace(tmp_path / "trace.npz", trace)
    probes = {"lif/v": v.reshape(1, -1, 1)}
    if recorded_spikes:
        probes["lif/s"] = s.reshape(1, -1, 1).astype(np.uint8)
    np.savez(tmp_path / "loihi.npz", **probes)
    files = [str(tmp_path / "trace.npz"), str(tmp_path / "loihi.npz")]
    assert main(["diff", *files, "--hardware-reading"]) == 0
    assert "and 999 states compared" in capsys.readouterr().out
    assert load_trace(tmp_path / "trace.npz")["lif/s"].sum() == 4
