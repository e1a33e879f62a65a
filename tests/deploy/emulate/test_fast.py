"""The fast emulator against the reference: every array of the trace equal, on either kernel."""

import importlib
import itertools
import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulate.fast import emulate_fast, numpy_block, prepare, products, schedule
from deploy.emulate.fast.spikes import Spikes
from deploy.emulate.reference import emulate
from deploy.emulate.trace import Trace
from deploy.errors import BadInput, CheckFailed
from deploy.neurons import (
    BUNDLED,
    Delta,
    Graded,
    Neurons,
    Sigma,
    make_sigma_delta,
    make_ternary,
    make_threshold,
)
from deploy.program.program import Conv2d, Dense, Program, Sparse, make_input, make_population

# The package's function of the same name hides the module.
front = importlib.import_module("deploy.emulate.fast.emulate")

try:
    import numba  # noqa: F401

    KERNELS = ["numba", "numpy"]
except ImportError:
    KERNELS = ["numpy"]


def assert_equal(expected: Trace, found: Trace) -> None:
    assert (expected.samples, expected.timesteps) == (found.samples, found.timesteps)
    for part in ("s", "u", "v", "messages", "readout"):
        first, second = getattr(expected, part), getattr(found, part)
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.dtype == second[name].dtype and np.array_equal(array, second[name]), (
                part,
                name,
            )


def weights(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    scale = rng.choice([2, 20, 127])
    return (2 * rng.integers(-scale, scale + 1, shape)).astype(np.int32)


def random_program(rng: np.random.Generator) -> tuple[Program, dict[str, Any]]:
    """1–2 inputs, 1–4 populations, forward, recurrent and delayed connections, and messages."""
    samples, timesteps = (
        int(rng.choice([1, 2, 5])),
        int(rng.choice([1, 2, 9, 70, 300], p=[0.1, 0.2, 0.3, 0.3, 0.1])),
    )
    inputs, data = [], {}
    for i in range(rng.integers(1, 3)):
        shape = tuple(rng.integers(1, 6, rng.integers(1, 3)).tolist())
        top = int(rng.choice([1, 1, 1, 255, 2**23 - 1]))
        low = 0 if top == 1 else int(rng.choice([-top, 0]))
        inputs.append(make_input(f"i{i}", shape, low, top))
        dtype = rng.choice([np.int64, np.int32] if top > 1 else [np.int64, np.uint8, np.int8])
        x = rng.integers(low, top + 1, (samples, timesteps, *shape))
        sparse = rng.random(x.shape) < rng.choice([0.1, 0.5, 1.0])
        data[f"i{i}"] = np.where(sparse, x, 0).astype(dtype).clip(low, top)
    populations = []
    for i in range(rng.integers(1, 5)):
        shape = tuple(rng.integers(1, 7, rng.integers(1, 3)).tolist())
        per_neuron = shape if rng.random() < 0.5 else ()
        du = int(rng.choice([-1, 0, 4095, 1500]))
        populations.append(
            make_population(
                f"p{i}",
                shape,
                du=rng.integers(-1, 4096, shape) if per_neuron else du,
                dv=rng.integers(0, 4096, per_neuron)
                if rng.random() < 0.7
                else int(rng.choice([0, 4095])),
                vth=131071 if (last := rng.random() < 0.25) else rng.integers(0, 300, per_neuron),
                bias=rng.integers(-2000, 2000, per_neuron),
                kind="integrator" if last else "lif",
            )
        )
    connections: list[Dense] = []
    for source in inputs + populations:
        for target in populations:
            if rng.random() > 0.6:
                continue
            # Undelayed connections point forward, so that every cycle has a delay.
            back = source in populations and populations.index(source) >= populations.index(target)
            delay = int(rng.choice([0, 0, 1, 2, 5, 62]))
            connections.append(
                Dense(
                    f"c{len(connections)}",
                    source.name,
                    target.name,
                    weights(rng, (target.size, source.size)),
                    int(rng.choice([0, 0, 0, -7, -2, -1, 1, 3, 7])),
                    max(delay, 1) if back else delay,
                )
            )
    order = rng.permutation(len(populations))
    program = Program(tuple(inputs), tuple(populations[i] for i in order), tuple(connections), ())
    return program, data


def check(program: Program, data: dict[str, Any], kernel: Any, record: Any = "all") -> Trace:
    """The reference's trace, equal to the fast one with one thread and with two."""
    expected, plan = emulate(program, data, record), prepare(program)
    for threads in (1, 2):
        assert_equal(expected, emulate_fast(plan, data, record, threads, kernel))
    return expected


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "spikes", "all"]))
def test_random_programs_equal_the_reference(kernel: Any, seed: int, record: Any) -> None:
    check(*random_program(np.random.default_rng(seed)), kernel, record)


def test_the_random_programs_reach_what_they_are_meant_to_compare() -> None:
    """Of 60 programs, several of each kind: otherwise the comparison would prove little."""
    found = dict.fromkeys(("spikes", "wraps", "clips", "narrow", "wide", "cycles", "beyond"), 0)
    for seed in range(60):
        program, data = random_program(np.random.default_rng(seed))
        trace, plan = emulate(program, data), prepare(program)
        found["spikes"] += any(0 < s.mean() < 1 for s in trace.s.values())
        jumps = [np.abs(np.diff(u.astype(np.int64), axis=1)) for u in trace.u.values()]
        found["wraps"] += any((jump > 2**23).any() for jump in jumps)
        found["clips"] += any((np.abs(v) == 2**23 - 1).any() for v in trace.v.values())
        found["beyond"] += any((np.abs(u.astype(np.int64)) > 2**23).any() for u in trace.u.values())
        for block in plan.blocks:
            found["narrow" if block.narrow else "wide"] += 1
            found["cycles"] += len(block.populations) > 1
    assert min(found.values()) >= 5, found


def layer(sources: int, weight: Any, top: int = 1, exponent: int = 0, **registers: Any) -> Program:
    weight = np.broadcast_to(np.asarray(weight, np.int32), (3, sources)).copy()
    return Program(
        (make_input("i", (sources,), -top if top > 1 else 0, top),),
        (make_population("n", (3,), **registers),),
        (Dense("w", "i", "n", weight, exponent),),
        (),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("exponent", [-7, -1, 0, 7])
@pytest.mark.parametrize("spikes", [255, 256, 257, 512, 1100])
def test_more_spikes_than_sixteen_bits_hold(kernel: Any, exponent: int, spikes: int) -> None:
    x = np.zeros((2, 3, 1100), np.uint8)
    x[0, :, :spikes] = 1
    x[1, 0, -spikes:] = 1
    program = layer(1100, [[254], [-254], [2]], exponent=exponent, vth=3000)
    trace = check(program, {"i": x}, kernel)
    expected = (spikes * 254 * 2**7 >> 7 - exponent) * 64
    assert expected > 2**23 or trace.u["n"][0, 0, 0] == expected


@pytest.mark.parametrize("kernel", KERNELS)
def test_registers_at_their_edges(kernel: Any) -> None:
    """u exactly at ±2^23 and one beyond, and v at the clip, reached in one step."""
    for total in (2**17, 2**17 + 2, 2**17 - 2, 2**18):
        x = np.full((1, 4, 1), total // 2)
        x[0, 1] *= -1
        for sign in (1, -1):
            for du in (-1, 0, 4095):
                # Proven below 2^18 and so in 32 bits; and the same in 64.
                for top in (total // 2, 2**23 - 1):
                    program = layer(1, 2 * sign, top=top, du=du, dv=0, vth=131071)
                    assert prepare(program).blocks[0].narrow == (top < 2**18)
                    trace = check(program, {"i": x}, kernel)
                    assert (np.abs(trace.v["n"]) <= 2**23 - 1).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("total", [2**18, 2**18 + 2, 2**20])
def test_a_current_that_one_wrap_does_not_hold_needs_64_bits(kernel: Any, total: int) -> None:
    """Without decay, u grows each step by what |a| > 2^18 leaves after the wrap."""
    program = layer(1, [[2], [-2], [2]], top=total // 2, du=[-1, -1, 0], vth=131071)
    assert prepare(program).blocks[0].narrow == (total == 2**18)
    trace = check(program, {"i": np.full((1, 200, 1), total // 2)}, kernel)
    assert (np.abs(trace.u["n"].astype(np.int64)) > 2**24).any() == (total == 2**20)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("top", [1000, 2**23 - 1])
def test_only_above_the_threshold_a_neuron_fires(kernel: Any, top: int) -> None:
    program = layer(1, 2, top=top, vth=[100, 98, 102])
    trace = check(program, {"i": np.full((2, 1, 1), 50)}, kernel)
    assert prepare(program).blocks[0].narrow == (top == 1000)
    assert trace.v["n"][0, 0].tolist() == [6400, 0, 6400]


@pytest.mark.parametrize("kernel", KERNELS)
def test_products_beyond_64_bits_wrap_alike(kernel: Any) -> None:
    top = 2**23 - 1
    program = layer(300, 254, top=top, exponent=7, du=[-1, 0, 300], vth=10)
    x = np.full((1, 9, 300), top)
    x[0, 3:6] *= -1
    check(program, {"i": x}, kernel)

    # u = −2^51 exactly: without decay its product is −2^63, whose magnitude overflows.
    total, x = 2**31 + 2**4, np.zeros((1, 2, 300), np.int64)
    for i in range(300):
        x[0, 0, i] = min(top, total - x.sum())
    program = layer(300, -128, top=top, exponent=7, du=-1, vth=10)
    trace = check(program, {"i": x}, kernel)
    assert trace.u["n"][0, :, 0].tolist() == [0, -(2**24)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_few_bytes_and_odd_arrays_change_nothing(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(products, "_PIECE_BYTES", 1)
    monkeypatch.setattr(schedule, "_DRIVE_BYTES", 1)
    rng = np.random.default_rng(5)
    graded = layer(4, weights(rng, (3, 4)), top=300, vth=50)
    x = rng.integers(-300, 301, (5, 8, 4))
    spiking = layer(4, weights(rng, (3, 4)), vth=50)
    for program, messages in ((graded, x), (spiking, x > 0), (spiking, (x > 0).astype(np.int8))):
        fixed = messages.copy()
        fixed.setflags(write=False)
        for data in (messages, fixed, np.asfortranarray(messages), messages[::-1, ::-2]):
            check(program, {"i": data}, kernel)
    check(graded, {"i": x.astype(">i4")}, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_the_reference_refuses_is_refused_in_the_same_words(kernel: Any) -> None:
    program = layer(2, 2, top=9)
    good = np.zeros((1, 2, 2), np.int64)
    two = Program(
        (*program.inputs, make_input("j", (1,))), program.populations, program.connections, ()
    )
    wide = Program((make_input("i", (1,)),), (make_population("n", (30_000,)),), (), ())
    for refused, data in [
        (program, {}),
        (program, {"i": good, "x": good}),
        (program, {"i": good[..., :1]}),
        (program, {"i": good[0]}),
        (program, {"i": good[:0]}),
        (program, {"i": good + 10}),
        (program, {"i": good - 10}),
        (program, {"i": good.astype(float)}),
        (two, {"i": good, "j": np.zeros((1, 3, 1), np.uint8)}),
        (wide, {"i": np.zeros((1, 10_000, 1), np.uint8)}),  # a recording of more than 2 GiB
    ]:
        with pytest.raises(BadInput) as expected:
            emulate(refused, data)
        with pytest.raises(BadInput) as found:
            emulate_fast(refused, data, kernel=kernel)
        assert str(found.value) == str(expected.value)


def test_without_numba_numpy_runs_and_a_wish_for_numba_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_has_numba", lambda: False)
    ran: list[str] = []
    run = numpy_block.run_numpy

    def noted(*arguments: Any) -> None:
        ran.append("numpy")
        run(*arguments)

    monkeypatch.setattr(numpy_block, "run_numpy", noted)
    program, x = layer(2, 2), {"i": np.ones((1, 2, 2), np.uint8)}
    assert_equal(emulate(program, x), emulate_fast(program, x))
    assert ran == ["numpy"]
    with pytest.raises(BadInput, match="numba is not installed"):
        emulate_fast(program, x, kernel="numba")


def test_little_work_does_not_wait_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_has_numba", lambda: True)
    monkeypatch.delitem(sys.modules, "deploy.emulate.fast.kernels", raising=False)
    plan = prepare(layer(1000, 2))
    assert front._choose(plan, 1, 1) == "numpy"
    assert front._choose(plan, 100_000, 1000) == "numba"
    monkeypatch.setitem(sys.modules, "deploy.emulate.fast.kernels", front)
    assert front._choose(plan, 1, 1) == "numba"


def messages_for(program: Program, rng: np.random.Generator) -> dict[str, Any]:
    """Three samples of nine steps, of any activity from none to all."""
    image, activity = program.inputs[0], rng.choice([0.0, 0.02, 0.2, 0.6, 1.0])
    x = rng.integers(image.low, image.high + 1, (3, 9, *image.shape))
    return {"image": np.where(rng.random(x.shape) < activity, np.where(x == 0, image.high, x), 0)}


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "spikes", "all"]))
def test_every_kind_of_connection_equals_the_reference(
    kernel: Any, random_program: Any, seed: int, record: Any
) -> None:
    """Sparse and Conv2d of any geometry, in loops too, graded and binary, at any activity."""
    program = random_program(seed)
    check(program, messages_for(program, np.random.default_rng(seed)), kernel, record)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("few_bytes", [False, True])
@pytest.mark.parametrize("product_from", [0.0, 2.0])
def test_products_and_events_are_one(
    kernel: Any, few_bytes: bool, product_from: float, random_program: Any, monkeypatch: Any
) -> None:
    """Both ways of summing, whatever the activity, and in pieces as small as can be."""
    monkeypatch.setattr(schedule, "DENSE_PRODUCT_FROM", product_from)
    monkeypatch.setattr(schedule, "DENSE_TARGETS", 1e9)
    monkeypatch.setattr(schedule, "KERNEL_PRODUCT_FROM", product_from)
    monkeypatch.setattr(schedule, "GRADED_PRODUCT_FROM", product_from)
    if few_bytes:
        monkeypatch.setattr(front, "_CHUNK_BYTES", 1)
        monkeypatch.setattr(products, "_PIECE_BYTES", 1)
        monkeypatch.setattr(schedule, "_DRIVE_BYTES", 1)
    for seed in range(25):
        program = random_program(seed)
        check(program, messages_for(program, np.random.default_rng(seed)), kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("graded", [False, True])
def test_rows_of_any_width_and_number_are_summed(
    kernel: Any, graded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 256 and of 64 targets and what is left, weights at their ends, in 32 and 64 bits."""
    monkeypatch.setattr(schedule, "DENSE_PRODUCT_FROM", 2.0)
    monkeypatch.setattr(schedule, "GRADED_PRODUCT_FROM", 2.0)
    rng = np.random.default_rng(graded)
    widths = [1, 63, 64, 65, 255, 257, 320, 600]
    for targets, exponent in zip(widths, [0, 7, -7, -1, 1, 0, -3, 2], strict=True):
        sources = int(rng.choice([3, 300, 700]))
        top = int(rng.choice([3, 2**23 - 1])) if graded else 1
        ends = rng.choice([-254, -2, 0, 2, 254], (targets, sources)).astype(np.int32)
        program = Program(
            (make_input("i", (sources,), -top * graded, top),),
            (make_population("n", (targets,), du=-1, dv=7, vth=rng.integers(0, 131072, targets)),),
            (Dense("w", "i", "n", ends, exponent, int(rng.integers(0, 2))),),
            (),
        )
        x = rng.integers(-top * graded, top + 1, (2, 4, sources))
        x[0] = top  # all at once
        check(program, {"i": x}, kernel, rng.choice(["all", "none"]))


@pytest.mark.parametrize("kernel", KERNELS)
def test_neurons_that_are_left_as_they_are_miss_nothing(kernel: Any, random_sparse: Any) -> None:
    """Of neurons that neither decay nor have a bias, only those that hear something are stepped."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        c = random_sparse(rng, "c", ("i", "n"), (400, 30))
        bias = rng.integers(0, 2, 400) * int(rng.integers(0, 2))
        population = make_population("n", (400,), vth=rng.integers(0, 9, 400), bias=bias)
        loop = random_sparse(rng, "l", ("n", "n"), (400, 400), exponent=-3, delay=2)
        program = Program((make_input("i", (30,)),), (population,), (c, loop)[: 1 + seed % 2], ())
        assert prepare(program).blocks[0].forms[0].still == (not bias.any())
        x = (rng.random((3, 30, 30)) < 0.02).astype(np.uint8)
        trace = check(program, {"i": x}, kernel, "spikes")
        assert 0 < trace.s["n"].mean() < 1


def any_population(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Neurons:
    """A population of a random kind, with random registers."""
    du, dv = rng.integers(-1, 4096, shape), rng.integers(0, 4096, shape)
    vth, bias = rng.integers(0, 300, shape), rng.integers(-1000, 2000, shape)
    leaky = {"du": du, "dv": dv, "vth": vth, "bias": bias}
    shifts = {"spike_exp": int(rng.integers(0, 4)), "state_exp": int(rng.integers(0, 4))}
    small, cum = int(rng.integers(0, 60)), bool(rng.integers(0, 2))
    interval = int(rng.integers(1, 7))
    return [
        lambda: make_population(name, shape, **leaky),
        lambda: make_population(name, shape, **leaky, refractory=int(rng.integers(1, 5))),
        lambda: make_population(
            name, shape, **leaky, refractory=int(rng.integers(0, 3)), reset_interval=interval,
            reset_offset=int(rng.integers(0, interval)),
        ),
        lambda: make_ternary(name, shape, **leaky, vth_lo=vth - rng.integers(1, 500, shape)),
        lambda: make_threshold(name, shape, vth=vth, bias=bias),
        lambda: Graded(name, shape, small, bool(rng.integers(0, 2)), 24),
        lambda: Delta(name, shape, small, **shifts, cum_error=cum),
        lambda: Sigma(name, shape),
        lambda: make_sigma_delta(
            name, shape, vth=small, bias=bias, **shifts, cum_error=cum,
            rectified=bool(rng.integers(0, 2)),
        ),
        lambda: make_population(name, shape, du=du, dv=dv, bias=bias, kind="integrator"),
    ][rng.integers(10)]()  # fmt: skip


def program_of_any_kinds(rng: np.random.Generator, random_conv2d: Any, random_sparse: Any) -> Any:
    """Two to five populations of any kind behind any connection, some with a loop of their own or over
    several of them, in which a population hears those before it in the same step."""
    top = int(rng.choice([1, 15]))
    image = make_input("image", (2, int(rng.integers(2, 6)), 4), -top if top > 1 else 0, top)
    populations: list[Any] = []
    connections: list[Any] = []
    source: Any = image
    for i in range(rng.integers(2, 6)):
        ends, shape = (source.name, f"n{i}"), (3, 2, 2)
        # Sums of graded messages are scaled down, or they would grow from layer to layer.
        exponent = int(rng.integers(-7, -4)) if source is not image else 0
        pick = rng.integers(3)
        if pick == 0:
            c = random_conv2d(rng, f"c{i}", ends, source.shape, exponent=exponent)
            shape = c.target_shape
        elif pick == 1:
            c = random_sparse(rng, f"c{i}", ends, (12, source.size), exponent=exponent)
        else:
            c = Dense(f"c{i}", *ends, weights(rng, (12, source.size)), exponent)
        connections.append(c)
        p = any_population(rng, f"n{i}", shape)
        if rng.random() < 0.3 and not isinstance(p, Sigma):
            loop = random_sparse(
                rng, f"loop{i}", (p.name, p.name), (p.size, p.size), exponent=-7,
                delay=int(rng.integers(1, 4)),
            )  # fmt: skip
            connections.append(loop)
        populations.append(p)
        source = p
    if rng.random() < 0.5:
        back = populations[rng.integers(len(populations) - 1)]
        connections.append(
            random_sparse(
                rng,
                "back",
                (source.name, back.name),
                (back.size, source.size),
                exponent=-7,
                delay=int(rng.integers(1, 4)),
            )
        )
    return Program((image,), tuple(populations), tuple(connections), ())


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kind_of_population_equals_the_reference(
    kernel: Any, random_conv2d: Any, random_sparse: Any
) -> None:
    seen, loops, stopped = dict.fromkeys(BUNDLED, 0), dict.fromkeys(BUNDLED, 0), 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        program = program_of_any_kinds(rng, random_conv2d, random_sparse)
        data = messages_for(program, rng)
        try:
            trace = check(program, data, kernel)
        except CheckFailed as error:
            # A graded loop that grows: both stop, in the same words.
            with pytest.raises(CheckFailed, match=re.escape(str(error))):
                emulate_fast(program, data, kernel=kernel)
            stopped += 1
            continue
        for block in prepare(program).blocks:
            for p in block.populations:
                sends = bool((trace.s[p.name] != 0).any())
                seen[p.kind] += sends
                loops[p.kind] += sends and len(block.populations) > 1
    assert stopped < 20
    assert min(n for kind, n in loops.items() if kind != "integrator") >= 5, loops
    assert min(n for kind, n in seen.items() if kind != "integrator") >= 10, seen


def test_the_programs_hold_every_kind_inside_and_outside_of_loops(random_program: Any) -> None:
    found = {(kind, inside): 0 for kind in (Dense, Sparse, Conv2d) for inside in (False, True)}
    for seed in range(200):
        for block in prepare(random_program(seed)).blocks:
            for s in block.outside:
                found[type(s.connection), False] += 1
            for s in block.inside:
                found[type(s.connection), True] += 1
    assert min(n for key, n in found.items() if key != (Dense, True)) >= 5, found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("exponent", [-7, -1, 0, 7])
def test_kernels_at_the_edges_of_their_geometry(kernel: Any, exponent: int) -> None:
    """Strides, paddings and dilations that skip, overhang and step over one another."""
    rng = np.random.default_rng(exponent + 7)
    geometries = itertools.product([(1, 1), (5, 2)], [(1, 1), (3, 2)], [(0, 0), (2, 5)], [1, 3])
    for stride, dilation, padding, groups in geometries:
        weight = (2 * rng.integers(-127, 128, (6, 3 // groups, 2, 3))).astype(np.int32)
        c = Conv2d(
            "w", "i", "n", weight, (7, 9), stride, padding, dilation, groups, exponent, delay=1
        )
        population = make_population("n", c.target_shape, dv=100, vth=500)
        program = Program((make_input("i", (3, 7, 9)),), (population,), (c,), ())
        x = (rng.random((2, 5, 3, 7, 9)) < rng.choice([0.05, 0.9])).astype(np.uint8)
        check(program, {"i": x}, kernel)


def test_activity_chooses_the_kernel(random_conv2d: Any) -> None:
    """Products where much is active, events elsewhere."""
    c = random_conv2d(np.random.default_rng(0), "w", ("i", "n"), (2, 8, 8))
    program = Program(
        (make_input("i", (2, 8, 8)),), (make_population("n", c.target_shape),), (c,), ()
    )
    synapses = prepare(program).blocks[0].outside[0]
    for active, product in ((0, False), (10, False), (100, True)):
        bits, values = np.zeros((1, 1, 2), np.uint64), np.zeros((1, 1, 128), np.int32)
        assert schedule.by_product(synapses, Spikes(bits, 128, active)) == product
        assert schedule.by_product(synapses, Spikes(bits, 128, active, values)) == product
