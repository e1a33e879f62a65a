"""Relays that align branches of different length: the same network, made of stock Lava processes."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Conv2d, Dense
from deploy.emulate.reference import emulate
from deploy.neurons import Graded, make_threshold
from deploy.program.file import save_program
from deploy.program.pipeline_latency import extra_steps, latency_steps
from deploy.program.program import Output, Program, make_input, make_population
from deploy.program.residual_stream import as_stream
from deploy.program.timed import timed
from export.targets.lava.script import write_lava_script

needs_lava = pytest.mark.skipif(
    importlib.util.find_spec("lava") is None, reason="Lava is not installed (Python 3.10 only)"
)
SHAPE = (2, 3, 3)


def skipping(seed, layers=5):
    """Layers that each read up to three of those before them, inputs included; every kind of message."""
    rng = np.random.default_rng(seed)
    ranges = {"binary": (0, 1), "pixels": (0, 15), "signed": (-7, 7)}
    inputs = tuple(make_input(name, SHAPE, *ends) for name, ends in ranges.items())
    names, populations, connections = list(ranges), [], []
    for i in range(layers):
        name, size = f"n{i}", int(np.prod(SHAPE))
        kind = rng.choice(["lif", "lif", "threshold", "relu", "graded", "integrator"])
        if i == layers - 1:
            kind = "lif"
        sources = {names[-1], *rng.choice(names, 2)}
        for source in sorted(sources):
            # What comes from graded populations is scaled down.
            exponent = -6 if source in {p.name for p in populations if isinstance(p, Graded)} else 0
            ends = (f"{source}-{name}", source, name)
            if rng.random() < 0.5:
                weight = 2 * rng.integers(-60, 64, (2, 2, 3, 3)).astype(np.int32)
                made = Conv2d(*ends, weight, SHAPE[1:], padding=(1, 1), exponent=exponent)
            else:
                weight = 2 * rng.integers(-60, 64, (size, size)).astype(np.int32)
                made = Dense(*ends, weight, exponent)
            connections.append(made)
        if kind in ("lif", "integrator"):
            bias = rng.integers(-300, 2000, SHAPE)
            p = make_population(
                name, SHAPE, kind=kind, du=int(rng.choice([4095, 1500])), dv=int(rng.integers(4096)),
                bias=bias, **({"vth": rng.integers(50, 500, SHAPE)} if kind == "lif" else {}),
            )  # fmt: skip
        elif kind == "threshold":
            p = make_threshold(name, SHAPE, vth=rng.integers(50, 500, SHAPE), bias=40)
        else:
            p = Graded(name, SHAPE, int(rng.integers(0, 50)), kind == "relu", 16)
        populations.append(p)
        if kind != "integrator":
            names.append(name)
    sending = [Output(p.name, p.name, "s") for p in populations if p.kind != "integrator"]
    return Program(inputs, tuple(populations), tuple(connections), tuple(sending))


def data(program, seed, samples, timesteps):
    rng = np.random.default_rng(seed)
    return {
        n.name: rng.integers(n.low, n.high + 1, (samples, timesteps, *n.shape))
        for n in program.inputs
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_relays_change_nothing_but_the_way(seed):
    program = skipping(seed)
    of = timed(program)
    made, relays = of.in_sample_time, set(of.relays)
    assert not any(extra_steps(made, latency_steps(made)).values())
    own, latency = latency_steps(program), latency_steps(made)
    assert own == {name: steps for name, steps in latency.items() if name not in relays}
    inputs = data(program, seed, 3, 6)
    before, after = emulate(program, inputs), emulate(made, inputs)
    for quantity in ("s", "u", "v", "readout"):
        for name, expected in getattr(before, quantity).items():
            np.testing.assert_array_equal(getattr(after, quantity)[name], expected, name)
    for relay in relays:
        source = relay.partition(".relay")[0]
        sent = before.s[source] if source in before.s else inputs[source]
        np.testing.assert_array_equal(after.s[relay], sent, relay)


def test_one_chain_of_relays_serves_all_that_its_source_drives():
    """A chain of layers, all of which read the input: what is held back 1, 2, 3 steps shares relays."""
    weight = np.full((1, 1), 64, np.int32)
    layers = [f"n{i}" for i in range(4)]
    ends = [("in", x) for x in layers] + list(pairwise(layers))
    program = Program(
        # A name that a relay would have is taken.
        (make_input("in", (1,)), make_input("in.relay2", (1,))),
        tuple(make_population(name, (1,)) for name in layers),
        (
            *(Dense(f"{a}>{b}", a, b, weight) for a, b in ends),
            Dense("x", "in.relay2", "n0", weight),
        ),
        (),
    )
    of = timed(program)
    made, relays = of.in_sample_time, set(of.relays)
    assert relays == {"in.relay1", "in.relay2'", "in.relay3"}
    found = {c.name: c.source for c in made.connections if c.name.startswith("in>")}
    assert found == {
        "in>n0": "in", "in>n1": "in.relay1", "in>n2": "in.relay2'", "in>n3": "in.relay3",
    }  # fmt: skip
    straight = replace(program, connections=program.connections[4:])
    assert not timed(straight).relays
    assert timed(straight).in_sample_time.connections == straight.connections


STOCK = """
import numpy as np
from deploy.program.file import load_program
from export.targets.lava import build

program = load_program("program.npz")
data = np.load("data.npz")
samples, timesteps = data[program.inputs[0].name].shape[:2]
network = build(program, timesteps)

from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

last = max(network.latency.values())
for name in network.inputs:
    rows = data[name].reshape(-1, *data[name].shape[2:])
    Source(data=np.moveaxis(rows, 0, -1)).s_out.connect(network.inputs[name])
sinks = {}
for name, port in network.outputs.items():
    sinks[name] = Sink(shape=port.shape, buffer=samples * timesteps + last)
    port.connect(sinks[name].a_in)
run_cfg, done, found = Loihi2SimCfg(select_tag="fixed_pt"), 0, {}
for name in sorted(network.latency, key=network.latency.get):
    end = samples * timesteps + network.latency[name]
    if end > done:
        network.run(condition=RunSteps(num_steps=end - done), run_cfg=run_cfg)
        done = end
    if name in network.v:
        found[f"v/{name}"] = network.v[name].get().astype(int)
for name, sink in sinks.items():
    latency = network.latency[name]
    spikes = np.moveaxis(sink.data.get(), -1, 0)[latency:][:samples * timesteps]
    found[f"s/{name}"] = spikes.reshape(samples, timesteps, *spikes.shape[1:])
np.savez("found.npz", **found)
assert not any(".relay" in name for name in {**network.u, **network.v, **network.latency})
network.stop()
"""


def equal_in_stock_lava(folder, program, inputs):
    """Every message, and every potential at the end of the last sample, is the emulator's."""
    expected = emulate(program, inputs)
    save_program(folder / "program.npz", program)
    np.savez(folder / "data.npz", **inputs)
    done = subprocess.run(
        [sys.executable, "-c", STOCK],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as found:
        assert {f"s/{o.source}" for o in program.outputs if o.quantity == "s"} <= set(found.files)
        assert {f"v/{name}" for name in expected.v} <= set(found.files)
        for key in found.files:
            quantity, _, name = key.partition("/")
            wanted = expected.s[name] if quantity == "s" else expected.v[name][-1, -1]
            np.testing.assert_array_equal(found[key], wanted, key)
    return expected


@needs_lava
@pytest.mark.parametrize(("seed", "timesteps"), [(0, 5), (1, 1), (5, 2)])
def test_stock_processes_hold_short_branches_back(tmp_path, seed, timesteps):
    program = skipping(seed)
    assert timed(program).relays
    expected = equal_in_stock_lava(tmp_path, program, data(program, seed, 4, timesteps))
    assert sum(expected.s[o.source].any() for o in program.outputs) >= 3


@needs_lava
@pytest.mark.parametrize("skips", ["fan-in", "stream"])
def test_a_block_of_attention_with_its_skips_is_a_stock_process(tmp_path, make_encoder, skips):
    pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    from export.lowering.exact import lower
    from export.nir_format.write.module import to_nir
    from neuroclip.spikeclip.chip import quantized
    from neuroclip.spikeclip.config import SpikeClipConfig
    from neuroclip.spikeclip.wiring import Wiring, start_stream, wire_block, wire_reader

    small = SpikeClipConfig(
        image_size=8, channels=2, width=8, convolutions=2, halvings=1, blocks=2, heads=2, ratio=2,
        steps=4, features=6,
    )  # fmt: skip
    encoder, _ = quantized(small, make_encoder(small, 0))
    wiring = Wiring((8, 4, 4))
    stream = start_stream(("tokens", "input", encoder.tokenizer.synapses[-1]))
    wire_block(wiring, "block", encoder.blocks[1], stream)
    wire_reader(wiring, "last", encoder.last, stream)
    program = lower(to_nir(wiring.network(("last",))))
    if skips == "stream":
        program = as_stream(program, wiring.readers)
    outputs = tuple(Output(p.name, p.name, "s") for p in program.populations)
    program = replace(program, outputs=outputs)
    expected = equal_in_stock_lava(tmp_path, program, data(program, 3, 2, 4))
    assert all(
        0.01 < (s != 0).mean() < (1 if "stream" in n else 0.99) for n, s in expected.s.items()
    )
    write_lava_script(tmp_path / "lava_network.py", program, 4)
    assert (tmp_path / "lava_network.py").exists()
