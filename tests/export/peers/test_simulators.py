"""nengo-loihi and Brian2Loihi against the emulator: equal on portable programs, and where they differ.

The second half pins, row by row, what each simulator is known to do beyond the portable envelope.
"""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.connections import Conv2d, Dense, sum_pool
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.neurons import make_ternary
from deploy.program.program import Output, Program, make_input, make_population
from deploy.prove.proof import prove
from export.peers.brian2_loihi import run_brian2_loihi
from export.peers.nengo_loihi import run_nengo_loihi

LIMIT = 2**23


def needs(package):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed (oracles)"
    )


SIMULATORS = [
    pytest.param(run_nengo_loihi, marks=needs("nengo_loihi"), id="nengo-loihi"),
    pytest.param(run_brian2_loihi, marks=needs("brian2_loihi"), id="Brian2Loihi"),
]
TIMESTEPS, SAMPLES = 12, 4


def portable(seed, per_neuron, sparse, stateful=True):
    """A random program of 2 to 4 layers that no simulator can tell from another.

    per_neuron: registers of each neuron, and biases. stateful: refractory periods, and loops onto a
    layer or from a layer to the one before, whose delay is the chip's own step a connection.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (rng.integers(1, 4), *rng.integers(2, 5, 2)))
    image = make_input("image", shape)
    source, populations, connections = image, [], []
    for i in range(int(rng.integers(2, 5))):
        name, ends = f"n{i}", (source.name, f"n{i}")
        wide = len(source.shape) == 3 and source.shape[-1] > 1
        kind = rng.choice(["dense", "sparse", *(["conv", "pool"] if wide else [])])
        exponent = int(rng.integers(0, 3))
        if kind == "conv":
            weight = even(rng, (int(rng.integers(1, 4)), source.shape[0], 2, 2))
            c = Conv2d(f"c{i}", *ends, weight, source.shape[1:], padding=(1, 1), exponent=exponent)
            shape = c.target_shape
        elif kind == "pool":
            c = sum_pool(f"c{i}", *ends, source.shape, (1, 2), weight=60, exponent=exponent)
            shape = c.target_shape
        else:
            shape = (int(rng.integers(2, 8)),)
            sizes = shape[0], source.size
            if kind == "sparse":
                c = sparse(rng, f"c{i}", ends, sizes, exponent=exponent)
            else:
                c = Dense(f"c{i}", *ends, even(rng, sizes), exponent)
        connections.append(c)
        each = shape if per_neuron else (1,) * len(shape)
        population = make_population(
            name,
            shape,
            du=rng.integers(-1, 4096, each),
            dv=rng.integers(0, 4096, each),
            vth=rng.integers(0, 250, each),
            bias=rng.integers(-2000, 4000, each) if per_neuron else 0,
            refractory=int(rng.choice([0, 0, 1, 4])) if stateful else 0,
        )
        if stateful and rng.random() < 0.6:
            size = population.size
            connections.append(Dense(f"loop{i}", name, name, even(rng, (size, size)), delay=1))
        if stateful and populations and rng.random() < 0.4:
            sizes = populations[-1].size, population.size
            connections.append(
                Dense(f"back{i}", name, populations[-1].name, even(rng, sizes), delay=2)
            )
        populations.append(population)
        source = population
    program = Program(
        (image,), tuple(populations), tuple(connections), (Output("o", source.name, "s"),)
    )
    # The proof calls neither of these portable; that nothing is in reach is what matters.
    if prove(program, TIMESTEPS).reachable:
        return portable(seed + 2**32, per_neuron, sparse, stateful)
    return program


def even(rng, shape):
    return (2 * rng.integers(-60, 61, shape)).astype(np.int32)


def spikes(program, seed, samples=SAMPLES, timesteps=TIMESTEPS):
    rng = np.random.default_rng(seed)
    (node,) = program.inputs
    return {node.name: (rng.random((samples, timesteps, *node.shape)) < 0.5).astype(np.int8)}


def assert_same(a, b):
    for quantity in ("u", "v", "s", "messages", "readout"):
        first, second = getattr(a, quantity), getattr(b, quantity)
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], f"{quantity} of {name}")


def compare(simulator, seed, sparse):
    """One random program; returns the share of its neurons' steps that fired."""
    program = portable(seed, simulator is run_nengo_loihi, sparse)
    inputs = spikes(program, seed)
    expected = emulate(program, inputs)
    assert_same(simulator(program, inputs), expected)
    return np.mean([s.mean() for s in expected.s.values()])


@needs("nengo_loihi")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_nengo_loihi_does_what_the_emulator_does(random_sparse, seed):
    compare(run_nengo_loihi, seed, random_sparse)


@needs("brian2_loihi")
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_brian2_loihi_does_what_the_emulator_does(random_sparse, seed):
    compare(run_brian2_loihi, seed, random_sparse)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, 1000, 20))
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_thousand_programs(random_sparse, once, simulator, first):
    seeds = range(first, first + 20)
    with once(simulator.__name__, seeds):
        rates = [compare(simulator, seed, random_sparse) for seed in seeds]
        # A parity of silent networks would prove nothing.
        assert sum(0.05 < rate < 0.95 for rate in rates) > len(seeds) / 2


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_what_the_proof_calls_portable_is_so(random_sparse, simulator):
    for seed in range(3):
        per_neuron = simulator is run_nengo_loihi
        program = portable(seed, per_neuron, random_sparse, stateful=False)
        assert prove(program, TIMESTEPS).portable
        inputs = spikes(program, seed)
        expected = emulate(program, inputs)
        assert any(0 < s.mean() < 1 for s in expected.s.values())
        assert_same(simulator(program, inputs), expected)


@needs("brian2_loihi")
def test_brian2_loihi_keeps_its_spike_times_over_thousands_of_steps():
    """Its own monitor truncates seconds · 1000, and dates the spikes of step 4007 to step 4006."""
    program = one_neuron(weight=128, exponent=0, du=4095, vth=60)
    inputs = {"in": np.tile([[[1, 0]]], (1, 4020, 1))}
    expected = emulate(program, inputs)
    assert expected.s["n"].all()
    assert_same(run_brian2_loihi(program, inputs), expected)


def one_neuron(*, weight=128, exponent=7, **registers):
    """A neuron of two equal synapses, without leaks and far from its threshold by default."""
    registers = {"du": -1, "dv": 4095, "vth": 131071} | registers
    return Program(
        (make_input("in", (2,)),),
        (make_population("n", (1,), **registers),),
        (Dense("w", "in", "n", np.full((1, 2), weight, np.int32), exponent),),
        (Output("o", "n", "v"),),
    )


def after(simulator, program, messages):
    """u and v of the neuron in every step, the input sending so many spikes in each."""
    inputs = {"in": np.stack([np.array([messages]) > 0, np.array([messages]) > 1], axis=-1)}
    trace = simulator(program, inputs)
    return trace.u["n"][0, :, 0].tolist(), trace.v["n"][0, :, 0].tolist()


EIGHTH = 2**20  # of 2^23: what one spike adds to u, at the weight 128 and the exponent 7


@needs("nengo_loihi")
@pytest.mark.parametrize(("weight", "chip", "nengo"), [(128, LIMIT, -LIMIT), (-128, LIMIT, -LIMIT)])
def test_nengo_loihi_reads_u_at_the_edge_with_the_other_sign(weight, chip, nengo):
    """At exactly +2^23 Lava's u stays and nengo-loihi's wraps; at −2^23 Lava's wraps."""
    program = one_neuron(weight=weight)
    assert after(emulate, program, [1] * 8)[0][-2:] == [7 * EIGHTH * np.sign(weight), chip]
    assert after(run_nengo_loihi, program, [1] * 8)[0][-1] == nengo


@needs("brian2_loihi")
@pytest.mark.parametrize("weight", [128, -128])
def test_brian2_loihi_has_no_edge_of_u(weight):
    program, messages = one_neuron(weight=weight), [1] * 9
    ours, theirs = (after(f, program, messages)[0] for f in (emulate, run_brian2_loihi))
    assert theirs == [i * EIGHTH * np.sign(weight) for i in range(1, 10)]
    assert ours[:7] == theirs[:7] and ours[8] == theirs[8] - 2 * LIMIT * np.sign(weight)


@needs("nengo_loihi")
def test_nengo_loihi_wraps_a_synaptic_sum_beyond_21_bits():
    program = one_neuron(du=4095)
    assert after(emulate, program, [2])[0] == [2 * EIGHTH]
    assert after(run_nengo_loihi, program, [2])[0] == [-2 * EIGHTH]
    assert prove(program, 1).edges["n"]["synaptic sum beyond 21 bits"].verdict == "observed only"


@needs("brian2_loihi")
def test_brian2_loihi_clips_a_weight_to_21_bits_and_no_sum():
    program = one_neuron(du=4095)
    assert after(run_brian2_loihi, program, [2])[0] == after(emulate, program, [2])[0]
    # No legal weight of ours reaches the clip: −256·2^7 would.
    assert actual_weight(-256, exponent=7) == -(2**21) + 64


@needs("nengo_loihi")
def test_nengo_loihi_wraps_the_sum_of_u_and_bias_at_23_bits():
    bias = 4095 << 7
    program = one_neuron(weight=126, bias=bias)
    messages, last = [1] * 8, 8 * 126 * 128 * 64
    assert last < LIMIT < last + bias
    (u, ours), (same_u, theirs) = (after(f, program, messages) for f in (emulate, run_nengo_loihi))
    assert u == same_u == [last * i // 8 for i in range(1, 9)]
    assert ours[:7] == theirs[:7]
    # Lava: v passes the highest threshold, which is 64 below the clip, and is cleared.
    assert ours[7] == 0 and -LIMIT < theirs[7] < -LIMIT // 2


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_v_below_23_bits_is_clipped_by_all_but_brian2_loihi(simulator):
    program = one_neuron(weight=-128, dv=0)
    messages = [1] * 4  # v falls by 1, 2, 3, 4 eighths: 10 eighths
    clipped = [-EIGHTH, -3 * EIGHTH, -6 * EIGHTH, -LIMIT + 1]
    assert after(emulate, program, messages)[1] == clipped
    found = after(simulator, program, messages)[1]
    assert found == (clipped if simulator is run_nengo_loihi else [*clipped[:3], -10 * EIGHTH])


@needs("brian2_loihi")
def test_brian2_loihi_truncates_an_odd_negative_weight_toward_zero():
    assert actual_weight(-255, exponent=0) == -254 * 64
    utilities = pytest.importorskip("lava.utils.weightutils")
    mixed = utilities.SignMode.MIXED
    assert utilities.truncate_weights(np.array([[-255]]), mixed, 8).tolist() == [[-256]]


@needs("brian2_loihi")
def test_brian2_loihi_shifts_every_weight_where_the_chip_shifts_the_sum():
    program = one_neuron(weight=2, exponent=-2, du=4095)
    assert after(emulate, program, [1, 2])[0] == [0, 64]
    assert after(run_brian2_loihi, program, [1, 2])[0] == [0, 0]


@needs("nengo_loihi")
def test_nengo_loihi_keeps_the_bits_that_a_negative_exponent_cuts():
    program = one_neuron(weight=4, exponent=-2, du=4095)
    assert after(run_nengo_loihi, program, [1, 2]) == after(emulate, program, [1, 2])
    with pytest.raises(BadInput, match="'w': exponent -2 cuts bits of the sum"):
        after(run_nengo_loihi, one_neuron(weight=2, exponent=-2), [1])


@needs("brian2_loihi")
@pytest.mark.parametrize("decay", [0, 500, 4095])
def test_brian2_loihi_takes_a_current_decay_as_it_is_given(decay):
    """The register du of the chip and of nengo-loihi is one less than the decay."""
    import brian2
    import brian2_loihi

    before, brian2.prefs.codegen.target = brian2.prefs.codegen.target, "numpy"
    try:
        group = brian2_loihi.LoihiNeuronGroup(1, decay_I=decay, threshold_v_mant=131071)
        group.I = 8192
        network = brian2_loihi.LoihiNetwork(group)
        network.run(1)
    finally:
        brian2.prefs.codegen.target = before
    assert int(group.I[0]) == 8192 - 2 * decay
    chip = after(emulate, one_neuron(weight=128, exponent=0, du=decay), [1, 0])[0]
    assert chip == [8192, 8192 - 2 * (decay + 1)]


@needs("nengo_loihi")
@pytest.mark.parametrize("decay", [0, 500, 4095])
def test_nengo_loihi_adds_one_to_a_current_decay(decay):
    program = one_neuron(weight=128, exponent=0, du=decay)
    assert after(run_nengo_loihi, program, [1, 0])[0] == [8192, 8192 - 2 * (decay + 1)]


def actual_weight(weight, exponent):
    import brian2_loihi

    group = brian2_loihi.LoihiNeuronGroup(1)
    synapses = brian2_loihi.LoihiSynapses(
        group, group, w_exp=exponent, sign_mode=brian2_loihi.synapse_sign_mode.MIXED
    )
    return int(synapses.calcActualWeights(np.array([weight]))[0])


def two_layers(delay=0, high=1, **registers):
    return Program(
        (make_input("in", (2,), 0, high),),
        (make_population("a", (2,), **registers), make_population("b", (2,))),
        (
            Dense("x", "in", "a", np.zeros((2, 2), np.int32)),
            Dense("y", "a", "b", np.zeros((2, 2), np.int32), delay=delay),
        ),
        (Output("o", "b", "s"),),
    )


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_graded_messages_are_refused_by_name(simulator):
    inputs = {"in": np.zeros((1, 2, 2), int)}
    with pytest.raises(BadInput, match=r"'in': messages of 0\.\.7; .* carries spikes only"):
        simulator(two_layers(high=7), inputs)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_neurons_that_they_do_not_have_are_refused_by_name(simulator):
    inputs = {"in": np.zeros((1, 2, 2), int)}
    program = two_layers()
    ternary = make_ternary("a", (2,), vth_lo=-5)
    other = replace(program, populations=(ternary, program.populations[1]))
    with pytest.raises(BadInput, match=r"node 'a': .* has no population of kind 'ternary'"):
        simulator(other, inputs)
    with pytest.raises(BadInput, match=r"node 'a': .* has no reset within a sample"):
        simulator(two_layers(reset_interval=2), inputs)


def test_what_one_of_them_lacks_is_refused_by_name():
    inputs = {"in": np.zeros((1, 2, 2), int)}
    for simulator, program, says in [
        (run_nengo_loihi, skipping(), "'skip': messages are held back 1 steps; nengo-loihi has"),
        (run_brian2_loihi, two_layers(bias=[0, 3]), "'a': a bias of 3; Brian2Loihi has none"),
        (run_brian2_loihi, two_layers(dv=[5, 6]), r"'a': dv differs between neurons \(5..6\)"),
    ]:
        with pytest.raises(BadInput, match=says):
            simulator(program, inputs)


def skipping():
    """The input reaches the second layer too, by a connection that must wait for the first."""
    program = two_layers()
    skip = Dense("skip", "in", "b", np.full((2, 2), 64, np.int32))
    return Program(
        program.inputs, program.populations, (*program.connections, skip), program.outputs
    )


@needs("brian2_loihi")
def test_branches_and_delays_meet_in_brian2_loihi():
    program = skipping()
    inputs = spikes(program, 0)
    expected = emulate(program, inputs)
    assert expected.u["b"].any()
    assert_same(run_brian2_loihi(program, inputs), expected)


@pytest.mark.parametrize(
    ("simulator", "package"),
    [(run_nengo_loihi, "nengo_loihi"), (run_brian2_loihi, "brian2_loihi")],
)
def test_a_package_that_is_missing_is_named(monkeypatch, simulator, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadInput, match=rf"{package.replace('_', '-')} cannot .*'oracles'"):
        simulator(two_layers(), {"in": np.zeros((1, 2, 2), int)})
