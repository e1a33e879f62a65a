"""Dense, sparse and convolution synapses against plain loops, torch, and each other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deploy.connections.exact_sums
from deploy.connections import Connection, Conv2d, Dense, expand, one_to_one, sum_pool
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program

SEEDS = st.integers(0, 2**32 - 1)


def listed(c: Connection) -> list[tuple[int, int, int]]:
    """(target, source, weight) of every synapse, by the definition of each kind, one at a time."""
    if isinstance(c, Dense):
        return [(i, j, int(w)) for (i, j), w in np.ndenumerate(c.weight)]
    if not isinstance(c, Conv2d):
        return [
            (i, int(c.indices[k]), int(c.weight[k]))
            for i in range(c.target_size)
            for k in range(c.indptr[i], c.indptr[i + 1])
        ]
    found = []
    channels, inputs, ky, kx = c.weight.shape
    for i, (co, y, x) in enumerate(np.ndindex(*c.target_shape)):
        for ci, dy, dx in np.ndindex(inputs, ky, kx):
            sy = y * c.stride[0] - c.padding[0] + dy * c.dilation[0]
            sx = x * c.stride[1] - c.padding[1] + dx * c.dilation[1]
            if 0 <= sy < c.size[0] and 0 <= sx < c.size[1]:
                channel = co // (channels // c.groups) * inputs + ci
                j = (channel * c.size[0] + sy) * c.size[1] + sx
                found.append((i, j, int(c.weight[co, ci, dy, dx])))
    return found


def matrix(c: Connection) -> np.ndarray:
    made = np.zeros((c.target_size, c.source_size), np.int64)
    for i, j, w in listed(c):
        made[i, j] = w
    return made


@pytest.fixture(scope="session")
def some_connection(random_conv2d, random_sparse):
    def made(seed: int) -> Connection:
        rng = np.random.default_rng(seed)
        ends = ("a", "b")
        sizes = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        kind = seed % 4
        if kind == 0:
            return Dense("c", *ends, (2 * rng.integers(-127, 128, sizes)).astype(np.int32))
        if kind == 1:
            return random_sparse(rng, "c", ends, sizes)
        shape = tuple(int(n) for n in (rng.integers(1, 5), *rng.integers(1, 7, 2)))
        return random_conv2d(rng, "c", ends, shape)

    return made


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_every_kind_does_what_its_synapses_do_one_by_one(some_connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, synapse_list = some_connection(seed), listed(some_connection(seed))
    w = matrix(c)
    m = rng.integers(-(2**23), 2**23, (3, c.source_size))
    assert np.array_equal(c.sums()(m), m @ w.T)

    low = rng.integers(-9, 5, c.source_size)
    high = low + rng.integers(0, 9, c.source_size)
    least, most = c.sum_bounds(low, high)
    assert np.array_equal(least, np.minimum(w * low, w * high).sum(axis=1))
    assert np.array_equal(most, np.maximum(w * low, w * high).sum(axis=1))

    start = int(rng.integers(0, c.target_size))
    stop = int(rng.integers(start + 1, c.target_size + 1))
    inside = [(j, weight) for i, j, weight in synapse_list if start <= i < stop]
    count = np.bincount([j for j, _ in inside], minlength=c.source_size)
    used = np.bincount([j for j, weight in inside if weight], minlength=c.source_size)
    sources, effective, every = c.heard(np.arange(start, stop))
    assert np.array_equal(sources, np.flatnonzero(count))
    assert np.array_equal(effective, used[sources]) and np.array_equal(every, count[sources])
    assert np.array_equal(
        c.fan_out(), np.bincount([j for _, j, _ in synapse_list], None, c.source_size)
    )
    assert np.array_equal(c.fan_out(zeros=False), (w != 0).sum(axis=0))
    assert c.synapse_count() == len(synapse_list)
    per_target = np.bincount([i for i, _, _ in synapse_list], minlength=c.target_size)
    assert c.fan_in() == per_target.max()
    assert np.array_equal(c.target_fans(), per_target)

    flat = expand(c)
    assert listed(flat) == sorted(synapse_list)
    assert (flat.source_size, flat.target_size) == (c.source_size, c.target_size)


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_convolution_is_torchs(random_conv2d, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (rng.integers(1, 7), *rng.integers(1, 12, 2)))
    c = random_conv2d(rng, "c", ("a", "b"), shape)
    m = rng.integers(-255, 256, (2, *shape))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(m.astype(np.float64)),
        torch.from_numpy(c.weight.astype(np.float64)),
        stride=c.stride,
        padding=c.padding,
        dilation=c.dilation,
        groups=c.groups,
    ).numpy()
    assert expected.shape[1:] == c.target_shape
    sums = c.sums()(m.reshape(2, -1)).reshape(expected.shape)
    assert np.array_equal(sums, expected)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_sums_beyond_float64_and_in_many_blocks_are_exact(
    some_connection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    c = some_connection(seed)
    m = np.random.default_rng(0).integers(-(2**50), 2**50, (7, c.source_size))
    expected = m.astype(object) @ matrix(c).T.astype(object)
    monkeypatch.setattr(deploy.connections.exact_sums, "_BLOCK", 1)
    found = c.sums()(m)
    assert np.array_equal(found, expected.astype(np.int64))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_networks_of_all_kinds_equal_their_expansion(random_program, seed: int) -> None:
    program: Program = random_program(seed)
    rng = np.random.default_rng(seed)
    node = program.inputs[0]
    x = rng.integers(node.low, node.high + 1, (3, 6, *node.shape))
    flat = replace(program, connections=tuple(expand(c) for c in program.connections))
    a, b = emulate(program, {"image": x}), emulate(flat, {"image": x})
    for (name, quantity, first), (_, _, second) in zip(a.recorded(), b.recorded(), strict=True):
        assert np.array_equal(first, second), (name, quantity)


def test_pooling_and_one_to_one_by_hand() -> None:
    pool = sum_pool("p", "a", "b", (2, 4, 4), (2, 2))
    assert pool.target_shape == (2, 2, 2) and pool.groups == 2
    x = np.arange(32)[None]
    expected = 2 * np.arange(32).reshape(2, 2, 2, 2, 2).sum(axis=(2, 4))
    assert np.array_equal(pool.sums()(x).reshape(2, 2, 2), expected)
    overlapping = sum_pool("p", "a", "b", (1, 5, 5), (3, 3), (1, 1), (1, 1), weight=4, delay=2)
    assert (overlapping.target_shape, overlapping.delay) == ((1, 5, 5), 2)
    assert overlapping.sums()(np.ones((1, 25), np.int64))[0, [0, 1, 6]].tolist() == [
        16,
        24,
        36,
    ]
    same = one_to_one("o", "a", "b", 5, -6, exponent=1)
    assert np.array_equal(same.sums()(np.arange(5)[None]), [-6 * np.arange(5)])
    assert same.exponent == 1


def test_what_is_too_large_to_list_is_refused_before_memory_is_taken() -> None:
    c = Conv2d("big", "a", "b", np.zeros((64, 64, 3, 3), np.int32), (512, 512), (1, 1), (1, 1))
    assert c.synapse_count() == 64 * 64 * (3 * 512 - 2) ** 2
    with pytest.raises(BadInput, match=r"'big': \d+ synapses exceed"):
        expand(c)
