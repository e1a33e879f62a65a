"""Composed operators compute what their parts compute one after the other."""

from typing import Any

import numpy as np
import pytest

from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program, make_input, make_population
from neuroclip.linear.compose import compose
from neuroclip.linear.maps import (
    Convolution,
    Dense,
    Listed,
    Operator,
    apply,
    diagonal,
    listed,
    scaled,
    to_connection,
)

Shape = tuple[int, ...]


def random_operator(rng: np.random.Generator, shape: Shape) -> tuple[Operator, Shape]:
    """An operator on a source of `shape`, with small even weights, and the shape after it."""
    kind = rng.choice(["conv", "conv", "pool", "pool", "dense", "listed", "channels", "each"])
    size = int(np.prod(shape))

    def weights(of: Any) -> np.ndarray:
        return 2.0 * rng.integers(-3, 4, of)

    if kind in ("conv", "pool") and len(shape) == 3:
        channels, *image = shape
        for _ in range(20):
            kernel, stride, padding, dilation = (
                tuple(int(n) for n in rng.integers(low, high, 2))
                for low, high in ((1, 4), (1, 4), (0, 3), (1, 3))
            )
            groups = channels if kind == "pool" else int(rng.choice([1, channels]))
            out = channels if kind == "pool" else groups * int(rng.integers(1, 3))
            made = Convolution(
                np.ones((out, channels // groups, *kernel))
                if kind == "pool"
                else weights((out, channels // groups, *kernel)),
                (image[0], image[1]),
                stride,  # type: ignore[arg-type]
                padding,  # type: ignore[arg-type]
                dilation,  # type: ignore[arg-type]
                groups,
            )
            if min(made.target_shape) > 0:
                return made, made.target_shape
    if kind == "listed":
        mask = rng.random((9, size)) < 0.4
        indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
        indices = np.nonzero(mask)[1].astype(np.int32)
        return Listed(weights(len(indices)), indices, indptr, size), (9,)
    if kind == "channels":
        each = weights(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        return diagonal(np.broadcast_to(each, shape)), shape
    if kind == "each":
        return diagonal(weights(shape)), shape
    return Dense(weights((8, size))), (8,)


@pytest.mark.parametrize("seed", range(150))
def test_a_chain_is_one_operator(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape: Shape = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(3, 10, 2)))
    x = rng.integers(-5, 6, (2, 3, int(np.prod(shape)))).astype(float)
    op, shape = random_operator(rng, shape)
    y = apply(op, x)
    for _ in range(int(rng.integers(1, 4))):
        following, shape = random_operator(rng, shape)
        y = apply(following, y)
        op = compose("x", following, op)
    assert y.shape == (2, 3, int(np.prod(shape)))
    assert np.array_equal(apply(op, x), y)
    assert np.array_equal(apply(listed(op), x), y)
    gain = rng.integers(1, 5, op.target_size).astype(float)
    other = scaled(op, gain)
    if other is not None:
        assert np.array_equal(apply(other, x), y * gain)


@pytest.mark.parametrize("seed", range(40))
def test_an_operator_is_the_connection_of_its_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape: Shape = (2, *(int(n) for n in rng.integers(3, 7, 2)))
    op, target = random_operator(rng, shape)
    weight = 2 * np.rint(op.weight).astype(np.int32)
    program = Program(
        (make_input("x", shape, -3, 3),),
        (make_population("y", target, du=4095, dv=0, kind="integrator"),),
        (to_connection(op, weight, "c", "x", "y"),),
        (),
    )
    x = rng.integers(-3, 4, (4, 1, *shape))
    v = emulate(program, {"x": x}).readout["y"]
    y = apply(op, x.reshape(4, -1).astype(float))
    assert np.array_equal(v.reshape(4, -1), 2 * 64 * y)


def test_pooling_before_a_convolution_stays_a_convolution() -> None:
    """Also with padding, since a window beyond the edge of an even image holds nothing."""
    rng = np.random.default_rng(0)
    pool = Convolution(np.ones((4, 1, 2, 2)), (8, 6), (2, 2), groups=4)
    conv = Convolution(rng.normal(size=(5, 4, 3, 3)), (4, 3), padding=(1, 1))
    both = compose("conv", conv, pool)
    assert isinstance(both, Convolution)
    assert both.weight.shape == (5, 4, 6, 6)
    assert (both.stride, both.padding, both.dilation, both.groups) == ((2, 2), (2, 2), (1, 1), 1)
    # Of an odd image the pool leaves a row out, which one convolution would read at its padding.
    pool, conv = (
        Convolution(np.ones((4, 1, 2, 2)), (9, 6), (2, 2), groups=4),
        Convolution(rng.normal(size=(5, 4, 3, 3)), (4, 3), padding=(1, 1)),
    )
    assert isinstance(compose("conv", conv, pool), Listed)


def test_products_that_no_memory_holds_are_refused() -> None:
    pool = Convolution(np.ones((64, 1, 64, 64)), (4096, 4096), (64, 64), groups=64)
    wide = Dense(np.broadcast_to(1.0, (10, 64 * 64 * 64)))
    with pytest.raises(BadInput, match="node 'fc': 10737418240 weights with what is before it"):
        compose("fc", wide, pool)
    with pytest.raises(BadInput, match="node 'fc': it reads 5 values, 262144 come before it"):
        compose("fc", Dense(np.ones((2, 5))), pool)
