"""Skips as a graded stream: every spike and state of the fan-in, at the ends of every range too."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.connections import Connection, Conv2d, Dense
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput, CheckFailed
from deploy.hardware.chip import load_chip
from deploy.map.partition import partition, require_fit
from deploy.map.validate import validate
from deploy.neurons import Graded, Neurons
from deploy.program.program import Output, Program, make_input, make_population
from deploy.program.residual_stream import STREAM_MAX, Reader, as_stream
from deploy.prove.proof import prove
from deploy.report.html import show
from deploy.report.sections import Run, sections
from deploy.report.words import sentences as words
from deploy.report.words.figures import count

LIMIT = 254


def shown_skips(report):
    program = Program((make_input("in", (1,)),), (make_population("n", (1,)),), (), ())
    (section,) = (each for each in sections() if each.identity == "skips")
    return show(section, Run(report, {}, program))


def residual(
    rng: np.random.Generator,
    image: bool,
    blocks: int,
    high: int = 1,
    exponents: tuple[int, ...] = (0,),
) -> tuple[Program, tuple[Reader, ...]]:
    """An input's stream, to which every reader's hidden neurons add a branch; weights at both ends."""
    shape = (3, 4, 5) if image else (12,)
    extreme = np.array([-LIMIT, -2, 0, 2, LIMIT])
    populations: list[Neurons] = []
    connections: list[Connection] = []

    def synapses(name: str, source: str, target: str, like: Connection | None = None) -> Connection:
        if like is not None:
            return replace(like, name=name, source=source, target=target)
        exponent = int(rng.choice(exponents))
        if image:
            weight = rng.choice(extreme, (3, 3, 3, 3)).astype(np.int32)
            return Conv2d(name, source, target, weight, (4, 5), padding=(1, 1), exponent=exponent)
        weight = rng.choice(extreme, (12, 12)).astype(np.int32)
        return Dense(name, source, target, weight, exponent)

    branches = [("b0", "in", synapses("b0", "in", "r1"))]
    readers = []
    for i in range(1, blocks + 2):
        for branch, source, of in branches:
            connections.append(synapses(f"{branch}_r{i}", source, f"r{i}", of))
        readers.append(Reader(f"r{i}", tuple((b, f"{b}_r{i}") for b, _, _ in branches)))
        populations.append(
            make_population(
                f"r{i}", shape, du=int(rng.integers(0, 4096)), dv=int(rng.integers(0, 4096)),
                vth=rng.integers(0, 300, shape), bias=rng.integers(-4096, 4096, shape),
            )
        )  # fmt: skip
        populations.append(make_population(f"h{i}", shape, du=4095, dv=2048, vth=100))
        connections.append(synapses(f"up{i}", f"r{i}", f"h{i}"))
        branches.append((f"b{i}", f"h{i}", synapses(f"b{i}", f"h{i}", "r1")))
    program = Program(
        (make_input("in", shape, -high if high > 1 else 0, high),),
        tuple(populations),
        tuple(connections),
        (Output("out", populations[-1].name, "s"),),
    )
    return program, tuple(readers)


def inputs(program: Program, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The smallest, none and the largest message of each range, three samples of six steps."""
    node = program.inputs[0]
    ends = np.array([node.low.min(), 0, node.high.max()])
    return {"in": rng.choice(ends, (3, 6, *node.shape)).astype(np.int32)}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    image=st.booleans(),
    blocks=st.integers(0, 3),
    high=st.sampled_from([1, 7]),
    exponents=st.sampled_from([(0,), (-3, 0, 2)]),
)
def test_readers_fire_and_hold_what_they_do_by_fan_in(
    seed: int, image: bool, blocks: int, high: int, exponents: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    program, readers = residual(rng, image, blocks, high, exponents)
    stream = as_stream(program, readers)
    sent = inputs(program, rng)
    for run in (emulate, lambda p, x: emulate_fast(prepare(p), x)):
        expected, found = run(program, sent), run(stream, sent)
        for quantity in ("s", "u", "v"):
            for name, values in getattr(expected, quantity).items():
                assert np.array_equal(values, getattr(found, quantity)[name]), (quantity, name)
        assert set(found.s) - set(expected.s) == {f"stream{i}" for i in range(1, blocks + 2)}


def test_a_stage_sends_the_running_sum() -> None:
    program, readers = residual(np.random.default_rng(0), image=False, blocks=1)
    stream = as_stream(program, readers)
    sent = inputs(program, np.random.default_rng(1))
    s = emulate(stream, sent).s
    weights = {c.name: c.weight.astype(np.int64) for c in stream.connections}
    first = sent["in"].astype(np.int64) @ weights["b0_stream1"].T
    assert np.array_equal(s["stream1"], first)
    assert np.array_equal(s["stream2"], first + s["h1"] @ weights["b1_stream2"].T)
    names = {c.name for c in stream.into("stream2")} | {c.name for c in stream.into("r2")}
    assert names == {"stream1_stream2", "b1_stream2", "stream2_r2"}
    assert all(isinstance(p, Graded) for p in stream.populations if p.name.startswith("stream"))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sum_is_relayed_and_one_more_refused(sign: int) -> None:
    """254 · 128 = 32 512 a message: 129 of them are 4 194 048, and STREAM_MAX is 4 194 303."""

    def made(high: int, other: int) -> tuple[Program, tuple[Reader, ...]]:
        weight = np.array([[sign * LIMIT, sign * 2]], np.int32)
        c = Dense("b0_r", "in", "r", weight, 7)
        source = make_input("in", (2,), 0, np.array([high, other]))
        program = Program((source,), (make_population("r", (1,), dv=4095),), (c,), ())
        return program, (Reader("r", (("b0", "b0_r"),)),)

    program, readers = made(129, 0)
    stream = as_stream(program, readers)
    sent = {"in": np.array([[[129, 0], [1, 0]]], np.int32)}
    a, b = emulate(program, sent), emulate(stream, sent)
    assert b.s["stream1"][0, 0, 0] == sign * 129 * LIMIT * 128
    assert np.array_equal(a.u["r"], b.u["r"]) and np.array_equal(a.v["r"], b.v["r"])
    (edge,) = prove(stream, 2).edges["stream1"].values()
    assert edge.verdict == "proven for the stated input range"
    program, readers = made(129, 129)
    with pytest.raises(BadInput, match=rf"node 'stream1': its sum .* beyond the ±{STREAM_MAX}"):
        as_stream(program, readers)


def test_a_stream_is_mapped_and_needs_graded_messages() -> None:
    program, readers = residual(np.random.default_rng(0), image=True, blocks=2)
    stream, chip = as_stream(program, readers), load_chip("loihi2")
    assert validate(stream, chip, partition(stream, chip)) == []
    with pytest.raises(
        CheckFailed, match="layer 'stream1': graded messages of 24 bits exceed the 0"
    ):
        require_fit(stream, load_chip("loihi1"))
    require_fit(program, load_chip("loihi1"))


def other_weight(program: Program) -> Program:
    changed = tuple(
        replace(c, weight=np.where(c.weight == 2, 4, c.weight).astype(np.int32))
        if c.name == "b0_r2"
        else c
        for c in program.connections
    )
    return replace(program, connections=changed)


@pytest.mark.parametrize(
    ("change", "order", "says"),
    [
        (other_weight, slice(None), "'b0_r2': not the same synapses as 'b0_r1'"),
        (lambda p: p, slice(None, None, -1), "'r1': its branches .* do not go on"),
    ],
)
def test_what_is_no_stream_is_refused_by_name(change, order, says) -> None:
    program, readers = residual(np.random.default_rng(0), image=False, blocks=1)
    with pytest.raises(BadInput, match=f"node {says}"):
        as_stream(change(program), readers[order])
    with pytest.raises(BadInput, match="node 'b9': not a connection into 'r1'"):
        as_stream(program, (Reader("r1", (("b0", "b9"),)),))


def test_the_report_sets_both_lowerings_side_by_side() -> None:
    costs = {
        "stream": {"cores": 3, "synaptic_ops": 1000.0, "messages": 40.0, "chips": 1},
        "fan-in": {"cores": 2, "synaptic_ops": 2000.0, "messages": 10.0, "chips": 1},
    }
    report = {"skips": {"lowering": "fan-in", "costs": costs, "refused": {}, "equal": None}}
    ten, forty, many, more = (count(n) for n in (10, 40, 1000, 2000))
    assert words.skips(report) == (
        f"fan-in 2 cores, {more} synaptic operations, {ten} packets; "
        f"stream 3 cores, {many} synaptic operations, {forty} packets"
    )
    shown = shown_skips(report)
    assert shown is not None and "fan-in (exported)" in shown and more in shown
    assert "are equal" not in shown
    none = {"lowering": "fan-in", "costs": {"fan-in": costs["fan-in"], "stream": None}}
    none |= {"refused": {"stream": "node 'stream3': too much"}}
    shown = shown_skips({"skips": none})
    assert shown is not None and "too much" in shown and "not measured" in shown
    for without in ({}, {"skips": None}):
        assert words.skips(without) is None and shown_skips(without) is None
