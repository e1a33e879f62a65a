"""A program in the steps of a chip, against a simulation that knows nothing but matrices and steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deploy.compare.parity import compare_recordings, recordings
from deploy.connections import Dense, expand
from deploy.emulate.chip_steps import emulate_timed
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.pipeline_latency import latency_steps
from deploy.program.program import Output, Program, make_input, make_population
from deploy.program.timed import timed


def matrices(program: Program) -> dict[str, np.ndarray]:
    found = {}
    for c in program.connections:
        rows = expand(c)
        matrix = np.zeros((rows.target_size, rows.source_size), np.int64)
        for target in range(rows.target_size):
            for k in range(rows.indptr[target], rows.indptr[target + 1]):
                matrix[target, rows.indices[k]] += rows.weight[k]
        found[c.name] = matrix
    return found


def on_a_chip(of: Any, inputs: dict[str, np.ndarray], timesteps: int) -> dict[str, np.ndarray]:
    """Samples one after another through a chip: a wire of `delay` places for every synapse group.

    Everything runs at every step; a population is cleared when its next sample reaches it, and so are
    the wires whose messages the program's own delay would carry over from the sample before.
    """
    program = of.program
    weight = matrices(program)
    samples = len(next(iter(inputs.values())))
    last = max(of.latency.values())
    wires = {c.name: [None] * c.delay for c in program.connections}
    state = {p.name: p.cleared(1) for p in program.populations}
    own = {c.name: c.delay for c in of.in_sample_time.connections}
    found = {
        p.name: np.zeros((samples, timesteps, *p.shape), np.int64) for p in program.populations
    }
    for step in range(samples * timesteps + last):
        arrived = {name: wire.pop(0) for name, wire in wires.items()}
        sent = {}
        for node in program.inputs:
            sample, t = divmod(step, timesteps)
            silent = np.zeros(node.shape, np.int64)
            sent[node.name] = inputs[node.name][sample, t] if sample < samples else silent
        for p in program.populations:
            sample, t = divmod(step - of.latency[p.name], timesteps)
            a = np.zeros(p.size, np.int64)
            for c in program.into(p.name):
                message = arrived[c.name]
                if message is not None and t >= own[c.name]:
                    total = weight[c.name] @ message
                    a += total << c.exponent if c.exponent > 0 else total >> -c.exponent
            if t == 0:
                state[p.name] = p.cleared(1)
            state[p.name], s = p.step(state[p.name], a.reshape(1, *p.shape), t)
            sent[p.name] = s[0]
            if 0 <= sample < samples:
                found[p.name][sample, t] = s[0]
        for c in program.connections:
            wires[c.name].append(np.asarray(sent[c.source], np.int64).reshape(-1))
    return found


def messages(program: Program, seed: int, samples: int, timesteps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.integers(node.low, node.high + 1, (samples, timesteps, *node.shape))
        for node in program.inputs
    }


def skipping(rng: np.random.Generator) -> Program:
    """Layers in a row with undelayed and delayed skips from everything before, and loops."""

    def dense(name: str, source: Any, target: Any, delay: int = 0) -> Dense:
        weight = 2 * rng.integers(-60, 90, (target.size, source.size))
        return Dense(name, source.name, target.name, weight.astype(np.int32), delay=delay)

    graded = rng.random() < 0.3
    image = make_input("x", (2, 2, 3), *((-7, 9) if graded else (0, 1)))
    layers = [
        make_population(
            f"n{i}", (1, 2, 2) if rng.random() < 0.5 else (4,), dv=int(rng.integers(0, 900)),
            vth=int(rng.integers(1, 200)), bias=rng.integers(0, 3000),
        )
        for i in range(int(rng.integers(2, 6)))
    ]  # fmt: skip
    nodes = [image, *layers]
    connections = []
    for j, target in enumerate(layers, start=1):
        for i, source in enumerate(nodes[:j]):
            if i == j - 1 or rng.random() < 0.4:
                delay = int(rng.integers(0, 4)) if rng.random() < 0.4 else 0
                connections.append(dense(f"c{i}-{j}", source, target, delay))
        if rng.random() < 0.4:
            connections.append(dense(f"own{j}", target, target, int(rng.integers(1, 4))))
    outputs = (Output("out", layers[-1].name, "s"),)
    return Program((image,), tuple(layers), tuple(connections), outputs)


def draw(random_program: Callable[..., Program], seed: int) -> Program:
    rng = np.random.default_rng(seed)
    return skipping(rng) if seed % 3 else random_program(seed, kinds="all")


@pytest.mark.parametrize(
    "seeds", [range(15), pytest.param(range(15, 400), marks=pytest.mark.long)], ids=["some", "many"]
)
def test_a_chip_that_delays_each_layer_gives_the_same_spikes(
    random_program: Callable[..., Program], seeds: range
) -> None:
    waiting = 0
    for seed in seeds:
        program, timesteps = draw(random_program, seed), 1 + seed % 7
        inputs = messages(program, seed, 3, timesteps)
        expected = emulate(program, inputs)
        rng = np.random.default_rng(seed)
        some = [n.name for n in program.sources if rng.random() < 0.5]
        for relayed in (None, (), some):
            of = timed(program, relayed)
            waiting += len(of.held)
            found = on_a_chip(of, inputs, timesteps)
            for p in program.populations:
                assert np.array_equal(found[p.name], expected.s[p.name]), (seed, relayed, p.name)
            for relay, source in of.relays.items():
                sent = inputs.get(source, expected.s.get(source))
                assert np.array_equal(found[relay], sent), (seed, relayed, relay)
            parity = compare_recordings(
                "untimed", recordings(expected), "timed", emulate_timed(of, inputs)
            )
            assert parity.ok, (seed, relayed, parity.describe())
            # In sample time relays take no time.
            plain = emulate(of.in_sample_time, inputs)
            for p in program.populations:
                assert np.array_equal(plain.s[p.name], expected.s[p.name])
    assert waiting > len(seeds)


def test_messages_wait_as_long_as_the_longer_branch_takes(
    random_program: Callable[..., Program],
) -> None:
    for seed in range(40):
        program = draw(random_program, seed)
        for relayed, longest in ((None, 62), ((), 62), ((), 2), ((), 1)):
            of = timed(program, relayed, longest)
            assert all(1 <= c.delay <= max(longest, 1) for c in of.program.connections)
            if relayed is None or longest == 1:
                assert all(c.delay == 1 for c in of.program.connections)
            elif longest == 62:
                assert not of.relays and of.program.populations == program.populations
            assert [p for p in of.program.populations if p.name not in of.relays] == list(
                program.populations
            )
            # Every connection of the program, in its order, and each way as long as its branch.
            mine = [c for c in of.program.connections if c.target not in of.relays]
            assert [c.name for c in mine] == [c.name for c in program.connections]
            start = {n.name: 0 for n in program.inputs} | dict(of.latency)
            for c, was in zip(mine, program.connections, strict=True):
                assert of.relays.get(c.source, c.source) == was.source
                assert start[c.source] + c.delay == start[c.target] + was.delay
            assert {p.name: of.latency[p.name] for p in program.populations} == latency_steps(
                program
            )


def test_a_skip_by_hand() -> None:
    one = np.array([[2]], np.int32)
    program = Program(
        (make_input("in", (1,)),),
        (make_population("a", (1,)), make_population("b", (1,)), make_population("c", (1,))),
        (
            Dense("ia", "in", "a", one),
            Dense("ab", "a", "b", one),
            Dense("bc", "b", "c", one),
            Dense("ac", "a", "c", one),
            Dense("ic", "in", "c", one),
        ),
        (Output("o", "b", "s"),),
    )
    relays, delays = timed(program), timed(program, ())
    assert relays.relays == {"a.relay1": "a", "in.relay1": "in", "in.relay2": "in"}
    assert relays.latency == {"a": 1, "b": 2, "c": 3, "a.relay1": 2, "in.relay1": 1, "in.relay2": 2}
    assert {c.name: c.delay for c in delays.program.connections} == {
        "ia": 1, "ab": 1, "bc": 1, "ac": 2, "ic": 3,
    }  # fmt: skip
    assert (delays.depth, delays.fill, delays.held) == (3, 2, {"ac": 1, "ic": 2})
    assert delays.with_relays({"a": one})["a"] is one
    assert relays.with_relays({"a": one, "in": one})["in.relay2"] is one


def test_a_loop_longer_than_its_delay_is_refused() -> None:
    one = np.array([[2]], np.int32)
    program = Program(
        (make_input("in", (1,)),),
        (make_population("a", (1,)), make_population("b", (1,))),
        (
            Dense("ia", "in", "a", one),
            Dense("ab", "a", "b", one),
            Dense("ba", "b", "a", one, delay=1),
        ),
        (),
    )
    with pytest.raises(BadInput, match=r"nodes \['a', 'b'\]"):
        timed(program)
