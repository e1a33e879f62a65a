"""Relays that align branches of different length: the same network, made of stock Lava processes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Conv2d, Dense
from deploy.emulate.reference import emulate
from deploy.neurons import Graded, make_threshold
from deploy.program.pipeline_latency import extra_steps, latency_steps
from deploy.program.program import Output, Program, make_input, make_population
from deploy.program.residual_stream import as_stream
from deploy.program.timed import timed
from export.targets.lava.script import write_lava_script

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


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_relays_change_nothing_but_the_way(random_messages, seed):
    program = skipping(seed)
    of = timed(program)
    made, relays = of.in_sample_time, set(of.relays)
    assert not any(extra_steps(made, latency_steps(made)).values())
    own, latency = latency_steps(program), latency_steps(made)
    assert own == {name: steps for name, steps in latency.items() if name not in relays}
    inputs = random_messages(program, seed, 3, 6)
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


@pytest.mark.parametrize(("seed", "timesteps"), [(0, 5), (1, 1), (5, 2)])
def test_stock_processes_hold_short_branches_back(
    equal_in_stock_lava, random_messages, seed, timesteps
):
    program = skipping(seed)
    assert timed(program).relays
    expected = equal_in_stock_lava(program, random_messages(program, seed, 4, timesteps))
    assert sum(expected.s[o.source].any() for o in program.outputs) >= 3


@pytest.mark.parametrize("skips", ["fan-in", "stream"])
def test_a_block_of_attention_with_its_skips_is_a_stock_process(
    equal_in_stock_lava, random_messages, tmp_path, make_encoder, skips
):
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
    expected = equal_in_stock_lava(program, random_messages(program, 3, 2, 4))
    assert all(
        0.01 < (s != 0).mean() < (1 if "stream" in n else 0.99) for n, s in expected.s.items()
    )
    write_lava_script(tmp_path / "lava_network.py", program, 4)
    assert (tmp_path / "lava_network.py").exists()
