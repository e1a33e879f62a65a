"""Every narrow sum and counter of the fast emulator, just below and just above where it would overflow."""

import importlib.util

import numpy as np
import pytest

from deploy.connections import Connection, Dense, Sparse
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.reference import emulate
from deploy.neurons import Sigma
from deploy.program.program import VTH_MAX, Output, Program, make_input, make_population

KERNELS = [
    pytest.param(
        "numba",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("numba") is None, reason="numba is not installed"
        ),
    ),
    "numpy",
]


def line(name: str, source: str, weight: np.ndarray, **more: int) -> Sparse:
    """Every source to the one target, as listed synapses."""
    size = len(weight)
    rows = np.array([0, size], np.int32)
    held = weight.astype(np.int32)
    return Sparse(name, source, "n", held, np.arange(size, dtype=np.int32), rows, size, **more)


def behind(*connections: Connection, low: int = 0, high: int = 1) -> Program:
    """One neuron that forgets nothing, so that every step's sum shows in all later states."""
    return Program(
        (make_input("i", (connections[0].source_size,), low, high),),
        (make_population("n", (1,), du=-1, dv=0, vth=VTH_MAX),),
        connections,
        (Output("o", "n", "v"),),
    )


def assert_equal(program: Program, inputs: dict[str, np.ndarray], kernel: str) -> None:
    expected, found = emulate(program, inputs), emulate_fast(program, inputs, kernel=kernel)
    for quantity in ("s", "u", "v", "messages", "readout"):
        for name, array in getattr(expected, quantity).items():
            np.testing.assert_array_equal(getattr(found, quantity)[name], array, quantity)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("weight", [254, -254])
@pytest.mark.parametrize("spikes", [255, 256, 257, 264, 512, 513])
def test_groups_of_256_rows_fit_sixteen_bits(kernel: str, weight: int, spikes: int) -> None:
    dense = Dense("c", "i", "n", np.full((1, 600), weight, np.int32), -7)
    data = np.zeros((2, 3, 600), np.int8)
    data[0, :, :spikes] = 1
    data[1, :, 600 - spikes :] = 1
    assert_equal(behind(dense), {"i": data}, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("more", "narrow"), [(0, True), (2, False)])
@pytest.mark.parametrize("kind", ["dense", "listed"])
def test_sums_up_to_2_18_are_narrow(
    kernel: str, sign: int, more: int, narrow: bool, kind: str
) -> None:
    """16 weights of 2^7, shifted by 7, are 2^18; the neurons' own 32 bits rest on it."""
    weight = sign * np.array([128] * 16)
    one = np.array([sign * more]) if more else np.array([0])
    if kind == "dense":
        parts: tuple[Connection, ...] = (
            Dense("c", "i", "n", weight[None].astype(np.int32), 7),
            Dense("d", "i", "n", np.pad(one, (0, 15))[None].astype(np.int32)),
        )
    else:
        parts = line("c", "i", weight, exponent=7), line("d", "i", np.pad(one, (0, 15)))
    program = behind(*parts)
    assert prepare(program).blocks[0].narrow is narrow
    assert_equal(program, {"i": np.ones((2, 40, 16), np.int8)}, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("weight", "sources"), [(254, 8_454_660), (254, 8_454_661), (-254, 8_454_661)]
)
def test_a_sum_of_32_bits_before_its_shift(kernel: str, weight: int, sources: int) -> None:
    """254 · 8 454 660 is 2^31 − 8. A negative exponent shifts the whole sum, of whatever width."""
    program = behind(line("c", "i", np.full(sources, weight), exponent=-7))
    inputs = {"i": np.ones((1, 1, sources), np.int8)}
    found = emulate_fast(program, inputs, kernel=kernel)
    current = (weight * sources >> 7) << 6
    # One wrap at 24 bits; v then clips.
    wrapped = current - 2**24 if current > 2**23 else current + 2**24
    assert found.u["n"].tolist() == [[[wrapped]]]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("high", "weights", "exact"),
    [
        (1, [254] * 129 + [0], "int16"),  # 32 766
        (1, [254] * 129 + [2], "float32"),  # 32 768
        (2**15, [128, 128, 254, 2], "float32"),  # 2^24
        (2**15, [128, 128, 254, 4], "float64"),
        (2**23 - 1, [254] * 9, "float64"),
    ],
)
def test_products_are_as_wide_as_their_sums(
    kernel: str, high: int, weights: list[int], exact: str
) -> None:
    rng = np.random.default_rng(0)
    for sign in (1, -1):
        program = behind(line("c", "i", sign * np.array(weights), exponent=-5), low=0, high=high)
        assert prepare(program).blocks[0].outside[0].exact == exact
        data = np.full((3, 9, len(weights)), high)
        data[1:] -= rng.integers(0, 2, data[1:].shape)
        assert_equal(program, {"i": data}, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("neurons", "exact"), [(1 << 15, "float64"), ((1 << 15) + 1, "int64")])
def test_products_of_messages_that_nothing_bounds(kernel: str, neurons: int, exact: str) -> None:
    """2^15 messages of up to 2^31 times weights of 2^7 are 2^53: the emulator stops at larger ones."""
    program = Program(
        (make_input("i", (1,), -(2**23), 2**23 - 1),),
        (
            Sigma("sigma", (neurons,)),
            make_population("n", (1,), du=-1, dv=0, vth=VTH_MAX),
        ),
        (
            Dense("up", "i", "sigma", np.full((neurons, 1), 254, np.int32)),
            line("c", "sigma", np.where(np.arange(neurons) % 3, 128, -126), exponent=-7),
        ),
        (Output("o", "n", "v"),),
    )
    block = next(b for b in prepare(program).blocks if b.populations[0].name == "n")
    assert block.outside[0].exact == exact and not block.narrow
    assert_equal(program, {"i": np.full((1, 1, 1), 2**23 - 1)}, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("samples", "steps"),
    [
        *((n, steps) for n in (1, 2) for steps in (254, 255, 256, 510, 511)),
        (255, 1),
        (256, 2),
        (700, 1),
    ],
)
def test_counters_of_bytes_are_widened_in_time(kernel: str, samples: int, steps: int) -> None:
    """Spikes are counted 255 at a time in 8 bits, across samples too."""
    program = Program(
        (make_input("i", (3,)), make_input("g", (2,), -1, 1)),
        (make_population("n", (70,), vth=0, bias=64), make_population("m", (1,), vth=0, bias=64)),
        (Dense("c", "i", "n", np.full((70, 3), 2, np.int32)),
         Dense("d", "g", "m", np.zeros((1, 2), np.int32))),
        (Output("o", "n", "s"),),
    )  # fmt: skip
    inputs = {n.name: np.ones((samples, steps, *n.shape), np.int8) for n in program.inputs}
    found = emulate_fast(program, inputs, "none", kernel=kernel, per_step=True)
    for name, count in found.messages.items():
        assert (count == samples * steps).all(), name
        assert (found.per_step[name] == samples).all(), name
