"""What a run does lies inside what was proven, for every kind and beyond every edge of its registers."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.arithmetic.integers import shifted_sum
from deploy.connections import Connection, Dense, Sparse, one_to_one
from deploy.emulate.edge_counts import observe
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import CheckFailed
from deploy.neurons import (
    BUNDLED,
    Delta,
    Graded,
    Neurons,
    Sigma,
    edges,
    make_population,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.neurons.leaky import Leaky
from deploy.program.program import Output, Program, make_input
from deploy.prove.proof import prove

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (3,)


def population(rng: np.random.Generator, kind: str, name: str) -> Neurons:
    """Any legal registers, the ends of their ranges among them."""

    def drawn(low: int, high: int) -> np.ndarray:
        ends = rng.integers(0, 2, SHAPE).astype(bool)
        return np.where(ends, rng.choice([low, high]), rng.integers(low, high + 1, SHAPE))

    def small() -> int:
        return int(rng.choice([0, 0, 1, 3, 7]))

    exponent = int(rng.choice([0, 4, 7]))
    spiking: dict[str, Any] = {"bias": drawn(-4096, 4095) << exponent}
    decays = {"du": drawn(-1, 4095), "dv": drawn(0, 4095)}
    if rng.random() < 0.4:  # what adds up longest
        decays = {"du": -1, "dv": 0}
    vth = drawn(0, 2**17 - 1)
    encoding = {"spike_exp": small(), "state_exp": small(), "cum_error": bool(rng.integers(2))}
    shift = encoding["spike_exp"] + encoding["state_exp"]
    threshold = int(rng.integers(0, 1 + ((2**23 - 1) >> shift)) >> rng.integers(0, 20))
    bits = int(rng.choice([8, 16, 24]))
    if kind in ("lif", "integrator"):
        if rng.random() < 0.5:
            spiking["refractory"] = int(rng.integers(0, 6))
        if rng.random() < 0.3:
            interval = int(rng.integers(1, 12))
            rule = {"reset_interval": interval, "reset_offset": int(rng.integers(interval))}
            spiking |= rule
        at = {} if kind == "integrator" else {"vth": vth}
        return make_population(name, SHAPE, kind=kind, **at, **decays, **spiking)
    if kind == "ternary":
        low = np.minimum(vth, drawn(-(2**17), 2**17 - 1))
        return make_ternary(name, SHAPE, vth=vth, vth_lo=low, **decays, **spiking)
    if kind == "threshold":
        return make_threshold(name, SHAPE, vth=vth, **spiking)
    if kind == "graded":
        return Graded(name, SHAPE, threshold, bool(rng.integers(2)), bits)
    if kind == "sigma":
        return Sigma(name, SHAPE, bits)
    if kind == "delta":
        return Delta(name, SHAPE, threshold, message_bits=bits, **encoding)
    most = min(2**15 - 1, (2**23 - 1) >> shift)
    return make_sigma_delta(
        name, SHAPE, vth=threshold, bias=drawn(-most - 1, most), message_bits=bits,
        rectified=bool(rng.integers(2)), **encoding,
    )  # fmt: skip


def network(seed: int) -> Program:
    """Two to four populations of any kinds, with skips, loops and delays, weights as large as they go."""
    rng = np.random.default_rng(seed)
    reach = 2 ** int(rng.choice([0, 1, 6, 12, 16, 20]))
    # Without 0 in it too: a delayed message is silent at first.
    low = int(rng.choice([-reach, 0, (3 * reach) // 4, -(3 * reach) // 2]))
    nodes = [make_input("in", SHAPE, low, reach)]
    if low < -reach:
        nodes = [make_input("in", SHAPE, low, -reach)]
    populations = [
        population(rng, str(rng.choice(sorted(BUNDLED))), f"n{i}")
        for i in range(rng.integers(2, 5))
    ]
    connections: list[Connection] = []

    def connect(source: str, target: str, delay: int) -> None:
        name, exponent = f"c{len(connections)}", int(rng.integers(-7, 8))
        if rng.random() < 0.5:  # small ones, so that not every edge is reached
            exponent = -7
        weight = (2 * rng.integers(-127, 128, (3, 3))).astype(np.int32)
        if rng.random() < 0.4:
            weight = np.full((3, 3), 254 * rng.choice([-1, 1]), np.int32)
        made: Connection = Dense(name, source, target, weight, exponent, delay)
        if rng.random() < 0.3:
            made = one_to_one(name, source, target, 3, 254, exponent=exponent, delay=delay)
        elif rng.random() < 0.3:
            rows, lists = np.array([0, 2, 2, 5]), np.array([0, 2, 0, 1, 2])
            flat = weight.reshape(-1)[:5]
            made = Sparse(
                name, source, target, flat, lists.astype(np.int32), rows.astype(np.int32), 3,
                exponent, delay,
            )  # fmt: skip
        connections.append(made)

    names = [n.name for n in (*nodes, *populations)]
    for i, target in enumerate(names[1:]):
        connect(names[i], target, int(rng.choice([0, 0, 0, 2])))
        if rng.random() < 0.3:
            connect(names[int(rng.integers(0, i + 1))], target, int(rng.integers(0, 4)))
        if rng.random() < 0.3:
            connect(names[int(rng.integers(i + 1, len(names)))], target, int(rng.integers(1, 4)))
    return Program(tuple(nodes), tuple(populations), tuple(connections), (Output("o", "n0", "s"),))


def messages(program: Program, seed: int, timesteps: int) -> dict[str, np.ndarray]:
    """Anything in the stated range; the ends of it, held or in turns."""
    node, rng = program.inputs[0], np.random.default_rng(seed)
    x = rng.integers(node.low, node.high + 1, (6, timesteps, *SHAPE))
    x[0], x[1] = node.low, node.high
    x[2] = np.where(rng.integers(0, 2, x[2].shape), node.low, node.high)
    x[3] = np.where(np.arange(timesteps)[:, None] % 6 < 3, node.low, node.high)
    return {node.name: x}


class Step(NamedTuple):
    population: Neurons
    held: dict[str, np.ndarray]
    after: dict[str, np.ndarray]


def steps(program: Program, x: dict[str, np.ndarray], timesteps: int) -> Iterator[Step]:
    """A plain run, with what each step holds against each edge."""
    sums = {c.name: c.sums() for c in program.connections}
    state = {p.name: p.cleared(6) for p in program.populations}
    sent: dict[tuple[str, int], np.ndarray] = {}
    for t in range(timesteps):
        sent["in", t] = x["in"][:, t]
        for name in program.order:
            p, a = program.population(name), np.zeros((6, *SHAPE), np.int64)
            for c in program.into(name):
                if t >= c.delay:
                    a += shifted_sum(sums[c.name](sent[c.source, t - c.delay]), c.exponent)
            held = p.held(state[name], a, t)
            state[name], sent[name, t] = p.step(state[name], a, t)
            yield Step(p, {**held, edges.SYNAPTIC_SUM: a}, p.recording(state[name]))


def check(seed: int, timesteps: int) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Hold a run against the proof; how often each edge of each kind was crossed, and proven."""
    program = network(seed)
    x = messages(program, seed, timesteps)
    crossed: Counter[tuple[str, str]] = Counter()
    proven: Counter[tuple[str, str]] = Counter()
    try:
        trace = emulate(program, x, observe=True)
    except CheckFailed:  # a message beyond 32 bits: nothing runs
        return crossed, proven
    counts = trace.observed
    fast = emulate_fast(program, x, "all", 1, "numpy" if seed % 2 else "numba")
    for name, quantity, array in trace.recorded():
        assert np.array_equal(array, getattr(fast, quantity)[name]), (name, quantity)
    assert observe(program, x, fast) == counts
    proof = prove(program, timesteps)
    found = proof.edges
    recounted = {p.name: dict.fromkeys(p.limits(), 0) for p in program.populations}
    for p, held, after in steps(program, x, timesteps):
        low, high = proof.sums[p.name]
        assert low <= held[edges.SYNAPTIC_SUM].min() and held[edges.SYNAPTIC_SUM].max() <= high
        for edge, verdict in found[p.name].items():
            assert verdict.range is not None
            (low, high), values = verdict.range, held[edge]
            assert low <= values.min() and values.max() <= high, (p.kind, edge)
            beyond = (values < verdict.limit[0]) | (values > verdict.limit[1])
            recounted[p.name][edge] += int(beyond.sum())
            assert not (verdict.proven and beyond.any()), (p.kind, edge)
        if isinstance(p, Leaky):
            low, high = found[p.name][edges.DRIVE].range or (0, 0)
            assert low <= (after["u"] + p.bias).min() and (after["u"] + p.bias).max() <= high
            low, high = found[p.name][edges.POTENTIAL].range or (0, 0)
            assert low <= after["v"].min() and after["v"].max() <= high
    assert recounted == counts
    for p in program.populations:
        if p.is_readout:
            assert counts[p.name][edges.FIRES] == trace.s[p.name].sum()
        for edge, verdict in found[p.name].items():
            crossed[p.kind, edge] += counts[p.name][edge]
            proven[p.kind, edge] += verdict.proven
    return crossed, proven


def test_every_edge_of_every_kind_is_crossed_and_proven() -> None:
    """The networks really reach what they are to reach, and the proof really excludes something."""
    crossed: Counter[tuple[str, str]] = Counter()
    proven: Counter[tuple[str, str]] = Counter()
    for seed in range(150):
        for total, more in zip((crossed, proven), check(seed, 1 + seed % 30), strict=True):
            total.update(more)
    rng = np.random.default_rng(0)
    every = {(kind, edge) for kind in BUNDLED for edge in population(rng, kind, "n").limits()}
    assert {key for key, times in crossed.items() if times} == every
    assert {key for key, times in proven.items() if times} == every


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 40))
def test_no_run_leaves_what_is_proven(seed: int, timesteps: int) -> None:
    check(seed, timesteps)


def test_behind_a_wrap_everything_is_within_reach() -> None:
    """A current that wraps turns a positive drive into a negative one, and clips v at the other end."""
    program = Program(
        (make_input("in", (1,), 0, 2**10),),
        (make_population("n", (1,), du=-1, bias=0),),
        (Dense("w", "in", "n", np.array([[254]], np.int32)),),
        (Output("o", "n", "v"),),
    )
    found = prove(program, 10).edges["n"]
    reached = {name for name, edge in found.items() if not edge.proven}
    assert reached == {edges.SYNAPTIC_SUM, edges.CURRENT, edges.DRIVE, edges.POTENTIAL}
    assert found[edges.DRIVE].range == (-(2**23) + 1, 2**23)
    assert found[edges.POTENTIAL].range == (-(2**24) + 2, 2**23 + ((2**17 - 1) << 6))


def test_sums_that_leave_64_bits_bound_nothing() -> None:
    """The emulator's own integers wrap there, so any value may be seen."""
    program = Program(
        (make_input("in", (1,), 0, 2**23 - 1),),
        (Graded("g", (1,)), Graded("h", (1,)), make_population("n", (1,), du=-1)),
        (
            Dense("v", "in", "g", np.array([[254]], np.int32)),
            Dense("w", "g", "h", np.array([[254]], np.int32), 7),
            Dense("x", "h", "n", np.full((1, 1), 254, np.int32), 7),
        ),
        (Output("o", "n", "v"),),
    )
    found = prove(program, 300).edges["n"]
    assert found[edges.SYNAPTIC_SUM].range == (0, (2**31 - 1) * 254 << 7)
    low, high = found[edges.CURRENT].range or (0, 0)
    assert low <= -(2**51) and high >= 2**51
