"""Every kind of population and connection on Lava: registers, messages, states equal the emulator's."""

from dataclasses import replace

import numpy as np
import pytest

from deploy.connections import Conv2d, Sparse, one_to_one
from deploy.errors import BadInput, CheckFailed
from deploy.program.program import Output, Program, make_input, make_population
from export.targets.lava.client import run_lava
from export.targets.lava.network import stock_program
from export.targets.lava.parts.job import Job, slots
from export.targets.lava.parts.synapses import MAX_SYNAPSES, built
from export.targets.lava.results import read_registers


def beside(programs):
    """Several programs as one whose parts do not touch: one start of Lava runs them all."""

    def named(i, node, *fields):
        return replace(node, **{f: f"p{i}.{getattr(node, f)}" for f in ("name", *fields)})

    return Program(
        tuple(named(i, n) for i, p in enumerate(programs) for n in p.inputs),
        tuple(named(i, n) for i, p in enumerate(programs) for n in p.populations),
        tuple(
            named(i, c, "source", "target") for i, p in enumerate(programs) for c in p.connections
        ),
        tuple(named(i, o, "source") for i, p in enumerate(programs) for o in p.outputs),
    )


NETWORKS = 8  # in one start of Lava: each of their nodes is a process of 43 MB

SHAPES = [(8, 6), (3, 12), (1, 20), (12, 2)]  # time steps, samples


@pytest.mark.parametrize(
    ("first", "timesteps", "samples"),
    [(100, *SHAPES[0]), (110, *SHAPES[1]), (180, *SHAPES[2]), (190, *SHAPES[3])],
)
def test_lava_holds_and_does_what_the_emulator_does(
    equal_on_lava, random_program, random_messages, first, timesteps, samples
):
    """Four starts of Lava, each of eight random networks, with loops and delayed skips.

    Two starts are of spiking populations, two of all that Lava has a fixed-point model of.
    """
    kinds = "plain" if first < 180 else "lava"
    program = several(random_program, first, kinds)
    compare_on_lava(equal_on_lava, program, random_messages(program, first, samples, timesteps))


@pytest.mark.long
@pytest.mark.parametrize("start", range(250))
def test_two_thousand_networks_on_lava(equal_on_lava, random_program, random_messages, once, start):
    kinds = "lava" if start % 2 else "plain"
    first, (steps, samples) = 1000 + NETWORKS * start, SHAPES[start % len(SHAPES)]
    program = several(random_program, first, kinds)
    with once("lava", range(first, first + NETWORKS)):
        compare_on_lava(equal_on_lava, program, random_messages(program, first, samples, steps))


def several(random_program, first, kinds):
    return beside([random_program(seed, kinds=kinds) for seed in range(first, first + NETWORKS)])


def compare_on_lava(equal_on_lava, program, messages):
    expected, _ = equal_on_lava(program, messages)
    # A parity of silent networks would prove nothing.
    rates = [(s != 0).mean() for s in expected.s.values()]
    assert sum(0.02 < rate < 0.98 for rate in rates) >= 3


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("index", [(1, 0, 2, 1), (0, 0, 0, 0)])
def test_a_changed_kernel_is_seen_in_what_lava_held(random_messages, index):
    rng = np.random.default_rng(3)
    weight = (2 * rng.integers(1, 100, (2, 1, 3, 2))).astype(np.int32)
    conv = Conv2d("conv", "image", "n", weight, (4, 5), padding=(1, 1))
    program = Program(
        (make_input("image", (1, 4, 5)),),
        (make_population("n", (2, 4, 6)), make_population("m", (48,))),
        (conv, one_to_one("one", "n", "m", 48)),
        (Output("o", "m", "s"),),
    )
    changed = weight.copy()
    changed[index] = 0 if index == (0, 0, 0, 0) else changed[index] + 2
    other = replace(program, connections=(replace(conv, weight=changed), program.connections[1]))
    held = run_lava(other, random_messages(program, 0, 1, 2), "none", progress=False).registers
    assert np.argwhere(held["conv/weight"] != weight).tolist() == [list(index)]
    np.testing.assert_array_equal(held["one/weight"], program.connections[1].weight)


def test_synapses_that_the_program_does_not_have_are_refused(tmp_path):
    c = Sparse(
        "c", "i", "n", np.array([2, 4], np.int32), np.array([0, 2], np.int32),
        np.array([0, 1, 2], np.int32), 3,
    )  # fmt: skip
    program = Program((make_input("i", (3,)),), (make_population("n", (2,)),), (c,), ())
    where = slots(tmp_path, Job(1, 1, "none"), program, {"n": 1})
    values = {r: np.zeros(1, np.int32) for r in ("du", "dv", "vth", "bias_mant", "bias_exp")}
    np.savez(where.populations["n"].registers, **values)

    def read(indices, weight):
        np.savez(
            where.connections["c"].registers, weight=weight, indices=indices, indptr=[0, 1, 2],
            exponent=0, delay=0,
        )  # fmt: skip
        return read_registers(program, where)["c/weight"].tolist()

    assert read([0, 2], [2, 4]) == [2, 4]
    assert read([0, 2], [2, 8]) == [2, 8]
    for indices in ([0, 1], [1, 2]):
        with pytest.raises(CheckFailed, match="'c': Lava held synapses that the program does not"):
            read(indices, [2, 4])


def wide(channels):
    """A convolution of 3 × 3 over 64 × 64."""
    weight = np.full((channels, channels, 3, 3), 2, np.int32)
    shape = (channels, 64, 64)
    return Program(
        (make_input("image", shape),),
        (make_population("n", shape),),
        (Conv2d("conv", "image", "n", weight, (64, 64), padding=(1, 1)),),
        (Output("o", "n", "s"),),
    )


def test_a_convolution_of_more_synapses_than_lava_lists_runs(equal_on_lava, random_messages):
    program = wide(32)
    equal_on_lava(program, random_messages(program, 0, 2, 2))


def test_more_synapses_than_lava_lists_are_refused_by_name(random_messages, monkeypatch):
    sparse = Program(
        (make_input("image", (9,)),),
        (make_population("n", (9,)),),
        (one_to_one("one", "image", "n", 9),),
        (),
    )
    with monkeypatch.context() as patch:
        patch.setattr("export.targets.lava.parts.synapses.MAX_SYNAPSES", 8)
        with pytest.raises(BadInput, match="'one': 9 synapses exceed the 8 that Lava's Sparse"):
            run_lava(sparse, random_messages(sparse, 0, 1, 1))
    program = wide(32)
    assert program.connections[0].synapse_count() > MAX_SYNAPSES
    # `build` makes it a Conv, and refuses it where a Conv would not be exact.
    assert stock_program(program, 1)[0].connections == program.connections
    with pytest.raises(BadInput, match="'conv': 36966400 synapses exceed"):
        stock_program(
            replace(program, connections=(replace(program.connections[0], exponent=1),)), 1
        )


@pytest.mark.parametrize(("high", "exact"), [(1, True), (8192, False), (8191, True)])
def test_a_conv_is_stock_only_where_its_24_bits_hold_the_sums(high, exact):
    program = wide(1)  # Σ|w| = 18, so one kernel of Σ|w| = 1024:
    weight = np.zeros((1, 1, 3, 3), np.int32)
    weight[0, 0, 0] = [254, 254, 254]
    weight[0, 0, 1] = [254, 8, 0]
    conv = replace(program.connections[0], weight=weight)
    program = Program(
        (make_input("image", (1, 64, 64), 0, high),), program.populations, (conv,), ()
    )
    assert built(program, conv).frames is exact
    assert not built(program, replace(conv, exponent=-1)).frames


def test_stock_processes_spike_as_the_emulator(
    equal_in_stock_lava, random_program, random_messages
):
    """`build`: stock Conv, Sparse and Dense, the populations in their own shapes."""
    programs = [random_program(seed, recurrent=False) for seed in range(200, 208)]
    spiking = [
        replace(p, outputs=tuple(Output(n.name, n.name, "s") for n in p.populations[:-1]))
        for p in programs
    ]
    program = beside(spiking)
    convolutions = [c for c in program.connections if isinstance(c, Conv2d)]
    assert {built(program, c).frames for c in convolutions} == {True, False}
    expected = equal_in_stock_lava(program, random_messages(program, 1, 4, 5))
    assert sum(expected.s[o.source].any() for o in program.outputs) >= 8
