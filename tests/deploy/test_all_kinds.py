"""Programs that mix dense, sparse and convolution connections, through the whole of `deploy`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.arithmetic.integers import decayed, shifted_sum
from deploy.connections import Connection, Conv2d, Dense, Sparse, expand, one_to_one, sum_pool
from deploy.count.ann_baseline import baseline
from deploy.count.operations import count
from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.files import read_npz, write_npz
from deploy.hardware.chip import Chip, Limit, load_chip
from deploy.hardware.mapping import Core, Mapping, Slice
from deploy.map.core.costs import RESOURCES, connection_words, core_report
from deploy.map.partition import partition
from deploy.map.validate import validate
from deploy.neurons import Delta, Graded, Neurons, make_ternary
from deploy.program.file import load_program, save_program
from deploy.program.program import Output, Program, equal, make_input, make_population
from deploy.prove.proof import prove
from deploy.report.inspect import inspect

SEEDS = st.integers(0, 2**32 - 1)
Make = Callable[..., Program]


def chip_of(**limits: int | None) -> Chip:
    changed = {name: Limit(value, "a test") for name, value in limits.items()}
    return replace(load_chip("loihi2"), chips=100, **changed)


def messages(program: Program, seed: int, samples: int, timesteps: int) -> dict[str, Any]:
    node = program.inputs[0]
    shape = (samples, timesteps, *node.shape)
    return {node.name: np.random.default_rng(seed).integers(node.low, node.high + 1, shape)}


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_the_file_loads_back_equal(tmp_path_factory, random_program: Make, seed: int) -> None:
    program = random_program(seed, kinds="all")
    path = tmp_path_factory.mktemp("program") / "program.npz"
    save_program(path, program)
    assert equal(program, load_program(path))


@pytest.mark.parametrize(
    "change",
    [{"stride": (2, 1)}, {"dilation": (1, 3)}, {"exponent": 1}, {"delay": 4}, {"name": "d"}],
)
def test_programs_that_differ_in_a_field_are_not_equal(change: dict[str, Any]) -> None:
    c = Conv2d("c", "i", "n", np.full((2, 1, 1, 1), 2, np.int32), (1, 1))
    nodes = (make_input("i", (1, 1, 1)),), (make_population("n", (2, 1, 1)),)
    program = Program(*nodes, (c,), ())
    assert equal(program, Program(*nodes, (replace(c),), ()))
    assert not equal(program, Program(*nodes, (replace(c, **change),), ()))
    assert not equal(program, Program(*nodes, (Dense("c", "i", "n", c.weight[:, :, 0, 0]),), ()))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_the_proof_bounds_every_sum_and_state(random_program: Make, seed: int) -> None:
    """Borders too: where padding is, a target has fewer synapses and tighter bounds."""
    program, timesteps = random_program(seed), 6
    proof = prove(program, timesteps)
    x = messages(program, seed, 4, timesteps)
    low, high = program.inputs[0].low, program.inputs[0].high
    x["image"][0], x["image"][1] = low, high  # the ends of the range
    trace = emulate(program, x)
    sent = {"image": x["image"]} | dict(trace.s)
    for p in program.populations:
        edges = proof.edges[p.name]
        sums = np.zeros((4, timesteps, p.size), np.int64)
        for c in program.into(p.name):
            flat = expand(c)
            w = np.zeros((flat.target_size, flat.source_size), np.int64)
            rows = np.repeat(np.arange(flat.target_size), np.diff(flat.indptr))
            w[rows, flat.indices] = flat.weight
            early = np.zeros((4, c.delay, c.source_size), np.int64)
            arrived = np.concatenate([early, sent[c.source].reshape(4, timesteps, -1)], axis=1)
            sums += shifted_sum(arrived[:, :timesteps] @ w.T, c.exponent)
        lowest, highest = edges["synaptic sum beyond 21 bits"].range
        assert lowest <= sums.min() and sums.max() <= highest
        u_low, u_high = edges["current u wraps"].range
        if edges["current u wraps"].verdict != "observed only":
            assert u_low <= trace.u[p.name].min() and trace.u[p.name].max() <= u_high
            u = sums.reshape(trace.u[p.name].shape) << 6
            u[:, 1:] += decayed(trace.u[p.name][:, :-1].astype(np.int64), p.du + 1)
            assert np.array_equal(u, trace.u[p.name])


def test_bounds_are_met_at_borders_and_inside() -> None:
    c = Conv2d("c", "i", "n", np.full((1, 1, 3, 3), 2, np.int32), (3, 3), (1, 1), (1, 1))
    program = Program((make_input("i", (1, 3, 3)),), (make_population("n", (1, 3, 3)),), (c,), ())
    assert prove(program, 1).edges["n"]["synaptic sum beyond 21 bits"].range == (0, 18)
    corner = replace(c, padding=(2, 2), stride=(4, 4))  # both windows see one corner each
    program = replace(
        program, populations=(make_population("n", (1, 2, 2)),), connections=(corner,)
    )
    assert prove(program, 1).edges["n"]["synaptic sum beyond 21 bits"].range == (0, 2)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5))
def test_counts_equal_a_recount_synapse_by_synapse(
    random_program: Make, seed: int, cores: int
) -> None:
    program, rng = random_program(seed, kinds="all"), np.random.default_rng(seed)
    x = messages(program, seed, 2, 4)
    trace = emulate(program, x, "spikes")
    core_of = {p.name: np.sort(rng.integers(0, cores, p.size)) for p in program.populations}
    mapping = Mapping(
        "loihi2",
        tuple(
            Core(
                k,
                tuple(
                    Slice(name, int(on.min()), int(on.max()) + 1)
                    for name, of in core_of.items()
                    if len(on := np.flatnonzero(of == k))
                ),
            )
            for k in range(cores)
        ),
    )
    counts = count(program, trace.messages, 2, 4, mapping)
    ops, dense = (dict.fromkeys([c.name for c in program.connections], 0) for _ in range(2))
    sent = dict.fromkeys([n.name for n in program.sources], 0)
    core_ops = [0] * cores
    for node in program.sources:
        reached: list[set[int]] = [set() for _ in range(node.size)]
        number = trace.messages[node.name].reshape(-1).tolist()
        for c in program.out_of(node.name):
            flat = expand(c)
            for i in range(flat.target_size):
                on = int(core_of[c.target][i])
                for k in range(flat.indptr[i], flat.indptr[i + 1]):
                    j = int(flat.indices[k])
                    reached[j].add(on)
                    dense[c.name] += number[j]
                    ops[c.name] += number[j] * bool(flat.weight[k])
                    core_ops[on] += number[j] * bool(flat.weight[k])
        for j in range(node.size):
            own = {int(core_of[node.name][j])} if node.name in core_of else set()
            sent[node.name] += number[j] * len(reached[j] - own)
    assert counts.synaptic_ops == ops
    assert counts.synaptic_ops_dense == dense
    assert counts.messages == sent
    assert counts.per_core is not None
    assert [core.synaptic_ops for core in counts.per_core] == core_ops
    assert sum(core.synaptic_ops_dense for core in counts.per_core) == sum(dense.values())
    own = sum(sent[p.name] for p in program.populations)
    assert sum(core.messages for core in counts.per_core) == own
    updates = sum(counts.neuron_updates.values())
    assert sum(core.neuron_updates for core in counts.per_core) == updates
    assert counts.weight_bytes == {c.name: c.weight.size for c in program.connections}
    macs = 4 * sum(len(expand(c).weight) for c in program.connections)
    assert baseline(program, counts)["operations"]["mac"] == macs


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    neurons=st.integers(10, 60),
    words=st.integers(40, 400),
    input_axons=st.integers(20, 200),
    output_axons=st.integers(10, 200),
    shared=st.integers(0, 1),
    block=st.sampled_from([None, 3]),
)
def test_a_partition_is_legal_and_costed_alike_by_partitioner_and_validator(
    random_program: Make,
    seed: int,
    neurons: int,
    words: int,
    input_axons: int,
    output_axons: int,
    shared: int,
    block: int | None,
) -> None:
    chip = chip_of(
        neurons=neurons,
        synapse_words=words,
        input_axons=input_axons,
        output_axons=output_axons,
        neuron_groups=100,
        shared_kernels=shared,
        synapses_per_block=block,
    )
    program = random_program(seed, kinds="all")
    try:
        mapping = partition(program, chip)
    except CheckFailed:
        mapping = partition(program, chip_of(neurons=neurons, neuron_groups=100))
    else:
        assert validate(program, chip, mapping) == []
    below = replace(chip, **{resource: Limit(0, "a test") for resource in RESOURCES})
    found = {(v.rule, v.where): v.used for v in validate(program, below, mapping)}
    report = core_report(program, chip, mapping)
    ours = {
        (resource, f"core {core['index']}"): used
        for core in report["list"]
        for resource, used in core["used"].items()
        if used
    }
    assert {k: v for k, v in found.items() if k[0] in RESOURCES} == ours


@pytest.mark.parametrize(
    ("population", "bits"),
    [
        (make_ternary("n", (2,), vth_lo=-9), 2),
        (Graded("n", (2,), 0, True, 9), 9),
        (Graded("n", (2,), 0, False, 9), 9),
        (Delta("n", (2,), 5), 16),
        (make_population("n", (2,)), 0),
    ],
)
def test_a_chip_of_bare_spikes_has_no_graded_messages(population: Neurons, bits: int) -> None:
    c = one_to_one("c", "i", "n", 2)
    program = Program((make_input("i", (2,)),), (population,), (c,), ())
    loihi1, loihi2 = load_chip("loihi1"), load_chip("loihi2")
    mapping = partition(program, loihi2)
    assert validate(program, loihi2, mapping) == []
    found = validate(program, loihi1, replace(mapping, chip="loihi1"))
    assert [(v.rule, v.where, v.used, v.limit) for v in found if v.rule == "message_bits"] == (
        [("message_bits", "n", bits, 0)] if bits else []
    )
    if bits:
        with pytest.raises(
            CheckFailed, match=f"'n': graded messages of {bits} bits exceed the 0 of"
        ):
            partition(program, loihi1)


def test_every_kind_is_shown(random_program: Make) -> None:
    """`inspect`: what a population has of registers and rules, and why it is not portable."""
    programs = [random_program(seed, kinds="all") for seed in range(12)]
    text = "\n".join(inspect(program, 4) for program in programs)
    for said in ("vth_lo", "reset_interval", "refractory", "rectified 1", "spike_exp", "cum_error"):
        assert said in text
    assert "' is ternary\n" in text and "' has refractory or reset rules\n" in text


def test_a_core_stores_kernels_once_and_only_those_of_its_channels() -> None:
    chip, c = load_chip("loihi2"), Conv2d("c", "i", "n", np.zeros((4, 3, 3, 3), np.int32), (8, 8))

    def words(chip: Chip, c: Connection, *targets: int) -> int:
        part = np.zeros(len(targets), np.int64)
        return int(connection_words(chip, c, np.array(targets), part, 1)[0])

    # 4 channels · 9 weights · 18 bits + 10 = 658 bits, 11 words for each of 3 input channels.
    assert words(chip, c, *range(c.target_size)) == 3 * 11
    assert words(chip, c, *range(36)) == 3 * 3  # one channel: 9·18 + 10 = 172 bits
    assert words(chip, c, 35, 36) == 3 * 6  # parts of two: 334 bits
    assert words(chip, c, 0, 1, 2, 9, 10, 11) == 3 * 3
    apart = replace(chip, shared_kernels=Limit(0, "a test"))
    # One target: 27 lists of one synapse, 18 + 12 + 10 bits.
    assert words(apart, c, 0) == 27
    listed = Sparse("s", "i", "n", **row([0, 2, 4], 6))
    # Three lists of 1 synapse with an index, 40 bits each; sources without synapses need none.
    assert words(chip, listed, 0) == 3


def row(sources: list[int], size: int) -> dict[str, Any]:
    indices = np.array(sources, np.int32)
    indptr = np.array([0, len(sources)], np.int32)
    weight = np.full(len(sources), 2, np.int32)
    return {"weight": weight, "indices": indices, "indptr": indptr, "source_size": size}


def test_a_convolution_neuron_sends_only_to_the_cores_that_see_it() -> None:
    c = Conv2d("c", "a", "n", np.full((1, 1, 3, 1), 2, np.int32), (6, 1), padding=(1, 0))
    program = Program(
        (make_input("i", (6,)),),
        (make_population("a", (1, 6, 1)), make_population("n", (1, 6, 1))),
        (Dense("d", "i", "a", np.zeros((6, 6), np.int32)), c),
        (),
    )
    cores = (
        Core(0, (Slice("a", 0, 6),)),
        Core(1, (Slice("n", 0, 3),)),
        Core(2, (Slice("n", 3, 6),)),
    )
    sent = {"i": np.zeros(6, int), "a": np.ones((1, 6, 1), int), "n": np.zeros((1, 6, 1), int)}
    counts = count(program, sent, 1, 1, Mapping("loihi2", cores))
    assert counts.messages == {"i": 0, "a": 4 * 1 + 2 * 2, "n": 0}  # rows 2 and 3 reach both
    assert (
        core_report(program, chip_of(), Mapping("loihi2", cores))["list"][0]["used"]["output_axons"]
        == 8
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.zeros((2, 2, 3), np.int32)}, "weight of shape (2, 2, 3), expected [C_out"),
        ({"weight": np.zeros((4, 2, 3, 3))}, "weight has type float64, expected int32"),
        ({"weight": np.full((4, 2, 3, 3), 256, np.int32)}, "weight 256 at index [0, 0, 0, 0]"),
        ({"weight": np.full((4, 2, 3, 3), 7, np.int32)}, "weight 7 at index [0, 0, 0, 0] is odd"),
        ({"stride": (0, 1)}, "stride (0, 1) is not a pair of integers from 1"),
        ({"padding": 1}, "padding is 1, expected a pair (y, x)"),
        ({"dilation": (1, 2.0)}, "dilation (1, 2.0) is not a pair of integers from 1"),
        ({"groups": 3}, "groups 3 do not divide the 4 output channels"),
        ({"groups": 1}, "it reads the shape (2, 5, 6), 'i' has (4, 5, 6)"),
        ({"size": (6, 5)}, "it reads the shape (4, 6, 5), 'i' has (4, 5, 6)"),
        (
            {"dilation": (3, 1)},
            "its kernel is larger than the padded source: output shape (4, -1, 4)",
        ),
        ({"padding": (1, 1)}, "it makes the shape (4, 5, 6), 'n' has (4, 3, 4)"),
        ({"exponent": 8}, "weight exponent 8 is outside -7..7"),
        ({"delay": -1}, "delay -1 is outside 0..62"),
    ],
)
def test_illegal_convolutions_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    good = Conv2d("c", "i", "n", np.zeros((4, 2, 3, 3), np.int32), (5, 6), groups=2)
    ends = (make_input("i", (4, 5, 6)),), (make_population("n", (4, 3, 4)),)
    Program(*ends, (good,), ())
    with pytest.raises(BadInput) as refused:
        Program(*ends, (replace(good, **change),), ())
    assert str(refused.value).startswith(f"node 'c': {message}")


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_size": 4}, "source size 4, 'i' has 3 neurons"),
        ({"indptr": int32(0, 3)}, "indptr of shape (2,), 2 neurons of 'n' need (3,)"),
        ({"indptr": int32(0, 4, 3)}, "indptr does not rise from 0 to the 3 synapses"),
        ({"indptr": int32(1, 2, 3)}, "indptr does not rise from 0 to the 3 synapses"),
        ({"indptr": int32(0, 2, 2)}, "indptr does not rise from 0 to the 3 synapses"),
        ({"indptr": np.array([0, 2, 3])}, "indptr has type int64, expected int32"),
        ({"indices": int32(0, 3, 0)}, "indices 3 at index [1] is outside 0..2"),
        ({"indices": int32(-1, 2, 0)}, "indices -1 at index [0] is outside 0..2"),
        ({"indices": int32(2, 0, 0)}, "indices 0 at index [1] does not rise within row 0"),
        ({"indices": int32(2, 2, 0)}, "indices 2 at index [1] does not rise within row 0"),
        ({"indices": int32(0, 2)}, "indices of shape (2,) beside weights of shape (3,)"),
        ({"weight": int32(2, 2, 255)}, "weight 255 at index [2] is outside -254..254"),
        ({"weight": int32(2, 2, 3)}, "weight 3 at index [2] is odd"),
    ],
)
def test_illegal_sparse_connections_are_refused_by_name(
    change: dict[str, Any], message: str
) -> None:
    good = Sparse("c", "i", "n", int32(2, 4, 6), int32(0, 2, 0), int32(0, 2, 3), 3)
    ends = (make_input("i", (3,)),), (make_population("n", (2,)),)
    Program(*ends, (good,), ())
    with pytest.raises(BadInput) as refused:
        Program(*ends, (replace(good, **change),), ())
    assert str(refused.value).startswith(f"node 'c': {message}")


def test_damaged_connections_in_a_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    c = Conv2d("c", "i", "n", np.zeros((4, 2, 3, 3), np.int32), (5, 6), groups=2)
    ends = (make_input("i", (4, 5, 6)),), (make_population("n", (4, 3, 4)),)
    save_program(path, Program(*ends, (c,), (Output("o", "n", "s"),)))
    arrays = read_npz(path)
    header = arrays["program.json"].tobytes().decode()
    for old, new, message in (
        ('"conv2d"', '"conv3d"', "node 'c': unknown kind of connection 'conv3d', known: dense"),
        ('"groups": 2', '"groups": "2"', "node 'c': key 'groups' is \"2\", expected int"),
        (
            '"stride": [1, 1]',
            '"stride": [1, null]',
            "node 'c': key 'stride[1]' is null, expected int",
        ),
        ('"size": [5, 6], ', "", "node 'c': key 'size' is missing"),
        ('"exponent": 0', '"exponent": "0"', "node 'c': key 'exponent' is \"0\", expected int"),
    ):
        assert old in header
        text = np.frombuffer(header.replace(old, new).encode(), np.uint8)
        write_npz(path, arrays | {"program.json": text})
        with pytest.raises(BadInput) as refused:
            load_program(path)
        assert str(path) in str(refused.value) and message in str(refused.value)


def test_inspect_describes_every_kind() -> None:
    conv = Conv2d(
        "conv", "i", "a", np.full((4, 1, 3, 3), 6, np.int32), (6, 5), (2, 1), (1, 1), groups=2
    )
    pool = sum_pool("pool", "a", "b", (4, 3, 5), (3, 5))
    program = Program(
        (make_input("i", (2, 6, 5)),),
        (make_population("a", (4, 3, 5)), make_population("b", (4, 1, 1))),
        (conv, pool, Sparse("s", "i", "b", **(row([], 60) | {"indptr": int32(0, 0, 0, 0, 0)}))),
        (),
    )
    text = [" ".join(line.split()) for line in inspect(program, 3).splitlines()]
    positions = (3 * 3 - 1) * (3 * 5 - 2)  # one row and two columns of taps fall on the padding
    for line in (
        f"conv i → a conv2d 4 × 1 × 3 × 3, stride 2 × 1, padding 1, groups 2 {4 * positions} 6 0.0 % 0 0",
        "pool a → b conv2d 4 × 1 × 3 × 5, stride 3 × 5, groups 4 60 2 0.0 % 0 0",
        "s i → b sparse 4 × 60 0 none 0.0 % 0 0",
    ):
        assert line in text, text
