"""What tests of several packages share: random programs of every kind of connection."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deploy.connections import Connection, Conv2d, Dense, Sparse, one_to_one, sum_pool
from deploy.program import VTH_MAX, Output, Program, make_input, make_population

Shape = tuple[int, ...]


def even(rng: np.random.Generator, shape: Any, zeros: float = 0.2) -> np.ndarray:
    weight = 2 * rng.integers(-127, 128, shape)
    return np.where(rng.random(shape) < zeros, 0, weight).astype(np.int32)


def sparse(
    rng: np.random.Generator, name: str, ends: tuple[str, str], sizes: tuple[int, int], **more: int
) -> Sparse:
    """A sparse connection of random density, empty rows and columns and stored zeros included."""
    targets, sources = sizes
    mask = rng.random((targets, sources)) < rng.uniform(0, 1)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    return Sparse(name, *ends, even(rng, len(indices)), indices, indptr, sources, **more)


def conv2d(
    rng: np.random.Generator, name: str, ends: tuple[str, str], shape: Shape, **more: int
) -> Conv2d:
    """A random convolution over (C, H, W): stride, padding, dilation, groups, any kernel."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))

    groups = int(rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    while True:
        weight = even(rng, (groups * rng.integers(1, 4), shape[0] // groups, *pair(1, 4)))
        made = Conv2d(
            name, *ends, weight, (shape[1], shape[2]), pair(1, 3), pair(0, 2), pair(1, 2), groups,
            **more,
        )  # fmt: skip
        if min(made.target_shape) > 0:
            return made


def program(seed: int, *, recurrent: bool = True, graded: bool | None = None) -> Program:
    """A random program over all kinds: 2 to 4 layers, with delayed skips and loops."""
    rng = np.random.default_rng(seed)
    shape: Shape = tuple(int(n) for n in (rng.integers(1, 5), *rng.integers(1, 8, 2)))
    graded = bool(rng.integers(0, 2)) if graded is None else graded
    image = make_input("image", shape, *((-15, 15) if graded else (0, 1)))
    layers = int(rng.integers(2, 5))
    populations, connections, source = [], [], image
    for i in range(layers):
        name, ends = f"c{i}", (source.name, f"n{i}")
        more = {"exponent": int(rng.integers(-2, 3))}
        spatial = ["conv2d", "conv2d", "conv2d", "pool"] if len(source.shape) == 3 else []
        pick = rng.choice([*spatial, "sparse", "dense", "one"])
        c: Connection
        if pick == "conv2d":
            c = conv2d(rng, name, ends, source.shape, **more)
            shape = c.target_shape
        elif pick == "pool":
            kernel = tuple(int(rng.integers(1, min(n, 3) + 1)) for n in source.shape[1:])
            c = sum_pool(name, *ends, source.shape, kernel, weight=20, **more)
            shape = c.target_shape
        elif pick == "one":
            c, shape = one_to_one(name, *ends, source.size, 40, **more), source.shape
        else:
            spatial_shape = (rng.integers(1, 4), *rng.integers(1, 6, 2))
            shape = tuple(int(n) for n in spatial_shape) if rng.random() < 0.6 else (7,)
            sizes = int(np.prod(shape)), source.size
            dense = Dense(name, *ends, even(rng, sizes), **more)
            c = sparse(rng, name, ends, sizes, **more) if pick == "sparse" else dense
        connections.append(c)
        last = i == layers - 1
        population = make_population(
            f"n{i}",
            shape,
            du=rng.integers(-1, 4096, shape),
            dv=rng.integers(0, 4096, shape),
            vth=VTH_MAX if last else rng.integers(0, 600 if graded and not i else 90, shape),
            bias=rng.integers(-1024, 4096, shape),
            kind="integrator" if last else "lif",
        )
        if recurrent and not last and rng.random() < 0.4:
            own = (population.name, population.name)
            delay = int(rng.integers(1, 4))
            if len(shape) == 3 and rng.random() < 0.5:
                weight = even(rng, (shape[0], 1, 3, 1))
                loop: Connection = Conv2d(
                    f"loop{i}", *own, weight, shape[1:], (1, 1), (1, 0), (1, 1), shape[0], 0, delay
                )
            else:
                loop = sparse(rng, f"loop{i}", own, (population.size, population.size), delay=delay)
            connections.append(loop)
        populations.append(population)
        source = population
    if recurrent and rng.random() < 0.4:
        ends = ("image", source.name)
        connections.append(sparse(rng, "skip", ends, (source.size, image.size), delay=layers))
    outputs = (Output("spikes", "n0", "s"), Output("scores", source.name, "v"))
    return Program((image,), tuple(populations), tuple(connections), outputs)


@pytest.fixture(scope="session")
def random_program() -> Callable[..., Program]:
    """`program(seed, recurrent=…, graded=…)`, see there."""
    return program


@pytest.fixture(scope="session")
def random_conv2d() -> Callable[..., Conv2d]:
    """`conv2d(rng, name, (source, target), shape)`, see there."""
    return conv2d


@pytest.fixture(scope="session")
def random_sparse() -> Callable[..., Sparse]:
    """`sparse(rng, name, (source, target), (targets, sources))`, see there."""
    return sparse
