"""Our convolution for Lava: equal to Lava's Conv, to the listed synapses, and to the emulator on Lava."""

import numpy as np
import pytest

from deploy.connections import Conv2d, Dense, expand
from deploy.neurons import Graded, make_ternary
from deploy.program.program import Output, Program, make_input, make_population
from export.targets.lava.parts.convolution import convolution, convolve
from export.targets.lava.parts.synapses import recorded


def test_it_gives_the_sums_of_the_listed_synapses(random_conv2d):
    """Any stride, padding, dilation, groups and weight exponent, binary and graded messages."""
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = tuple(int(n) for n in (rng.integers(1, 7), *rng.integers(1, 12, 2)))
        c = random_conv2d(rng, "c", ("a", "b"), shape, exponent=int(rng.integers(-7, 8)))
        listed = expand(c)
        matrix = sparse.csr_matrix(
            (listed.weight.astype(np.int64), listed.indices, listed.indptr),
            (c.target_size, c.source_size),
        )
        for messages in (
            rng.integers(0, 2, c.source_size).astype(bool),
            rng.integers(-(2**8), 2**8, c.source_size).astype(np.int32),
        ):
            sums = matrix @ messages.astype(np.int64)
            shifted = sums << c.exponent if c.exponent > 0 else sums >> -c.exponent
            found = convolve(convolution(c), messages)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, shifted)


@pytest.mark.usefixtures("lava")
def test_it_gives_the_sums_of_lavas_own_convolution(random_conv2d):
    """Lava's takes flipped kernels in width-height-channel order, and knows no weight exponent."""
    from lava.proc.conv import utils

    rng = np.random.default_rng(1)
    for _ in range(100):
        shape = tuple(int(n) for n in (rng.integers(1, 7), *rng.integers(1, 12, 2)))
        c = random_conv2d(rng, "c", ("a", "b"), shape)
        messages = rng.integers(-(2**12), 2**12, c.source_size).astype(np.int32)
        weight = c.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
        theirs = utils.conv(
            messages.reshape(shape).transpose(2, 1, 0),
            weight,
            weight.shape[1:3],
            *(np.array(pair[::-1]) for pair in (c.stride, c.padding, c.dilation)),
            c.groups,
        )
        ours = convolve(convolution(c), messages).reshape(c.target_shape)
        np.testing.assert_array_equal(ours, theirs.transpose(2, 1, 0))


def test_many_synapses_a_neuron_are_summed_in_integers():
    """2^21 synapses of 254 and messages near 2^31: partial sums that no float64 holds exactly."""
    rng, half = np.random.default_rng(3), 2**20
    weight = np.full((1, 2 * half, 1, 1), 254, np.int32)
    c = Conv2d("c", "a", "b", weight, (1, 1), exponent=-7)
    large = rng.integers(2**30, 2**31 - 4, half)
    messages = np.concatenate([large, -large + rng.integers(-3, 4, half)]).astype(np.int32)
    exact = sum(254 * int(m) for m in messages) >> 7
    assert convolve(convolution(c), messages).tolist() == [exact]
    # One after the other: a library that sums in blocks of its own may happen to be exact.
    floats = np.cumsum(weight.reshape(-1) * messages.astype(np.float64))[-1]
    assert int(floats) >> 7 != exact


def test_it_runs_on_lava_with_delays_and_loops(equal_on_lava):

    rng = np.random.default_rng(2)
    shape = (16, 24, 24)

    def kernels(*sizes):
        return (2 * rng.integers(-100, 101, sizes)).astype(np.int32)

    size = {"size": (24, 24), "padding": (1, 1)}
    program = Program(
        (make_input("in", shape),),
        (
            make_ternary("a", shape, vth=400, vth_lo=-300, dv=200, du=1000, bias=64),
            make_population("b", shape, vth=900, dv=100),
            Graded("g", shape, 5, message_bits=16),
            make_population("sum", (3,), kind="integrator"),
        ),
        (
            Conv2d("in-a", "in", "a", kernels(16, 16, 3, 3), **size, exponent=-2),
            Conv2d("a-a", "a", "a", kernels(16, 16, 3, 3), **size, delay=2, exponent=-3),
            Conv2d("a-b", "a", "b", kernels(16, 16, 3, 3), **size, exponent=1),
            Conv2d("b-g", "b", "g", kernels(16, 16, 3, 3), **size, exponent=-1),
            Conv2d("in-b", "in", "b", kernels(16, 16, 3, 3), **size, delay=3),
            Dense("g-sum", "g", "sum", kernels(3, 9216), exponent=-7),
        ),
        (Output("o", "sum", "v"),),
    )
    ours = [c.name for c in program.connections if recorded(c).by == "our convolution"]
    assert ours == ["in-a", "a-a", "a-b", "b-g", "in-b"]
    inputs = {"in": (rng.random((4, 5, *shape)) < 0.1).astype(np.uint8)}
    expected, run = equal_on_lava(program, inputs)
    assert all(0.01 < (s != 0).mean() < 0.9 for n, s in expected.s.items() if n != "sum")
    # Every convolution was held against Lava's own on the messages of the run, and nothing else was.
    steps = 4 * 5 + 3
    for c in program.connections:
        sums = run.checked[c.name]
        assert sums % c.target_size == 0
        assert 0 < sums <= steps * c.target_size if c.name in ours else sums == 0


@pytest.mark.parametrize("seed", range(2))
def test_lavas_own_convolution_alone_gives_the_same(equal_on_lava, random_conv2d, seed):
    """Large and small ones, exponents, delays, graded messages: none is listed and none is ours."""
    rng = np.random.default_rng(seed)
    first = random_conv2d(rng, "xa", ("x", "a"), (3, 9, 8), exponent=-2)
    second = random_conv2d(rng, "ab", ("a", "b"), first.target_shape, delay=2)
    shapes = first.target_shape, second.target_shape
    program = Program(
        (make_input("x", (3, 9, 8), -5, 9),),
        (
            make_population("a", shapes[0], vth=20, dv=300, bias=100),
            make_population("b", shapes[1], vth=100, dv=50),
        ),
        (first, second),
        (Output("o", "b", "s"),),
    )
    inputs = {"x": rng.integers(-5, 10, (3, 6, 3, 9, 8)).astype(np.int32)}
    expected, run = equal_on_lava(program, inputs, stock=True)
    assert expected.s["a"].any() and not any(run.checked.values())


def test_whose_arithmetic_a_connection_is():
    small = Conv2d("c", "a", "b", np.full((1, 1, 1, 1), 2, np.int32), (2, 2))
    large = Conv2d("c", "a", "b", np.full((64, 64, 3, 3), 2, np.int32), (32, 32), padding=(1, 1))
    dense = Dense("d", "a", "b", np.full((1, 1), 2, np.int32))
    assert [recorded(c, False).by for c in (small, large, dense)] == [
        "Lava's Sparse, listed", "our convolution", "Lava's Dense",
    ]  # fmt: skip
    assert [recorded(c, True).by for c in (small, large, dense)] == [
        "Lava's Conv", "Lava's Conv", "Lava's Dense",
    ]  # fmt: skip
