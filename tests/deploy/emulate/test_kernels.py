"""What the numba kernels rest on, each where it could go wrong: rounding, words, bytes."""

import numpy as np
import pytest

from deploy.connections import Conv2d, Dense
from deploy.emulate.fast import emulate_fast, prepare
from deploy.emulate.fast.spikes import packed
from deploy.emulate.reference import emulate
from deploy.program.program import Program, make_input, make_population

pytest.importorskip("numba")


def assert_equal(program: Program, inputs: dict[str, np.ndarray], record: str = "all") -> None:
    expected = emulate(program, inputs, record)  # type: ignore[arg-type]
    for threads in (1, 2):
        found = emulate_fast(program, inputs, record, threads, "numba")  # type: ignore[arg-type]
        for quantity in ("s", "u", "v", "messages"):
            for name, array in getattr(expected, quantity).items():
                np.testing.assert_array_equal(getattr(found, quantity)[name], array, quantity)


@pytest.mark.parametrize("alike", [True, False])
def test_decays_in_floats_are_those_in_whole_numbers(alike: bool) -> None:
    """States up to their ends under any decay: 250 000 products of both signs, of 24 by 13 bits."""
    for seed in range(8 if alike else 2):
        rng = np.random.default_rng(seed)
        neurons, of = 500, None if alike else 500
        du, dv = rng.integers(-1, 4096, of), rng.integers(0, 4097, of)
        bias = rng.integers(-4000, 4001, of)
        program = Program(
            (make_input("i", (1,), -1032, 1032),),
            (make_population("n", (neurons,), du=du, dv=dv, bias=bias, vth=131071),),
            (Dense("c", "i", "n", (2 * rng.integers(-127, 128, (neurons, 1))).astype(np.int32)),),
            (),
        )
        block = prepare(program).blocks[0]
        assert block.narrow and block.settings[0, 0] == alike
        assert_equal(program, {"i": rng.integers(-1032, 1033, (2, 60, 1))})


def test_how_floats_are_rounded_is_put_back() -> None:
    test_decays_in_floats_are_those_in_whole_numbers(True)
    # 2^24 + 1 lies halfway and is rounded to the even one; 2^24 + 3 too, and not toward zero.
    assert np.float32(2**24 + 3) == 2**24 + 4 and float(np.float32(0.1)) > 0.1


@pytest.mark.parametrize("shape", [(2, 3, 3), (16, 17, 17), (64, 9, 8)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_only_words_that_were_touched_are_stepped_and_all_of_them(
    shape: tuple[int, int, int], stride: int
) -> None:
    """More words than one look takes in, taps far apart, and layers of all neurons beside them."""
    rng = np.random.default_rng(stride)
    channels, *size = shape

    def weight(out: int) -> np.ndarray:
        return (2 * rng.integers(-127, 128, (out, channels, 3, 3))).astype(np.int32)

    geometry = {"stride": (stride, stride), "padding": (2, 2), "dilation": (1, 2)}
    first = Conv2d("a", "i", "n", weight(channels), tuple(size), **geometry)  # type: ignore[arg-type]
    second = Conv2d("b", "j", "n", weight(channels), tuple(size), **geometry)  # type: ignore[arg-type]
    n = make_population("n", first.target_shape, du=4095, dv=0, vth=150)
    after = make_population("m", (70,), du=4095, dv=0, vth=90)
    dense = (2 * rng.integers(-127, 128, (70, n.size))).astype(np.int32)
    back = (2 * rng.integers(-9, 10, (n.size, 70))).astype(np.int32)
    loop = Dense("back", "m", "n", back, 0, 2)
    inputs = make_input("i", shape), make_input("j", shape)
    for more in ((), (loop,)):
        program = Program(
            inputs, (n, after), (first, second, Dense("c", "n", "m", dense), *more), ()
        )
        spans = np.concatenate([block.spans for block in prepare(program).blocks])
        assert spans[:, 4].tolist() == [not more, False]
        x = {k: (rng.random((2, 10, *shape)) < 0.01).astype(np.uint8) for k in "ij"}
        assert_equal(program, x, "none")
        assert_equal(program, x, "spikes")


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 200, 512])
@pytest.mark.parametrize("rows", [1, 254, 255, 256, 511])
def test_bytes_become_bits_and_counts(size: int, rows: int) -> None:
    from deploy.emulate.fast.numba_block import pack_numba

    rng = np.random.default_rng(rows)
    for rate in (0.0, 0.1, 1.0):
        flat = (rng.random((rows, 2, size)) < rate).astype(np.uint8)
        (bits, counts, seen), expected = pack_numba(flat), packed(flat)
        np.testing.assert_array_equal(bits, expected[0])
        np.testing.assert_array_equal(counts, expected[1])
        assert seen == expected[2]
        flat[rows // 2, 1, size - 1] = 130
        assert pack_numba(flat)[2] > 1 and packed(flat)[2] > 1
