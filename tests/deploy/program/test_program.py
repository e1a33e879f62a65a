"""Program: construction refuses what no chip can hold; the file loads back equal."""

import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deploy.errors import BadInput
from deploy.files import read_npz, write_npz
from deploy.program.file import load_program, save_program
from deploy.program.program import (
    Dense,
    Output,
    Program,
    bias_registers,
    make_input,
    make_population,
)


def weights(rng: np.random.Generator, targets: int, sources: int) -> np.ndarray:
    return (2 * rng.integers(-127, 128, (targets, sources))).astype(np.int32)


def two_layers(seed: int = 0) -> Program:
    rng = np.random.default_rng(seed)
    return Program(
        (make_input("input", (6,), -15, 15),),
        (
            make_population("lif", (2, 4), dv=3072, vth=900, bias=64 * rng.integers(-9, 9, (2, 4))),
            make_population("scores", (3,), kind="integrator"),
        ),
        (
            Dense("fc1", "input", "lif", weights(rng, 8, 6)),
            Dense("fc2", "lif", "scores", weights(rng, 3, 8), exponent=1, delay=2),
        ),
        (Output("output", "scores", "v"),),
    )


def test_the_same_program_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_program(tmp_path / name, two_layers())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ({"du": 4096}, "node 'n': du 4096 at index [0] is outside -1..4095"),
        ({"dv": np.array([0, -1])}, "node 'n': dv -1 at index [1] is outside 0..4095"),
        ({"vth": 2**17}, "node 'n': vth 131072 at index [0] is outside 0..131071"),
        ({"bias": 2**20 + 1}, "node 'n': bias 1048577 has no exact mantissa"),
        ({"dv": 0.5}, "node 'n': dv has type float64, expected integers"),
        ({"dv": np.zeros(3, int)}, "node 'n': dv of shape (3,) does not fit the node's shape (2,)"),
        ({"kind": "relu"}, "node 'n': unknown kind of population 'relu'"),
    ],
)
def test_illegal_registers_are_refused_by_name(registers: dict, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        Program((make_input("i", (2,)),), (make_population("n", (2,), **registers),), (), ())
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"weight": np.full((2, 2), 3, np.int32)}, "node 'c': weight 3 at index [0, 0] is odd"),
        ({"weight": np.full((2, 2), 256, np.int32)}, "node 'c': weight 256 at index [0, 0]"),
        ({"weight": np.zeros((3, 2), np.int32)}, "node 'c': weight of shape (3, 2)"),
        ({"delay": 63}, "node 'c': delay 63 is outside 0..62"),
        ({"exponent": 8}, "node 'c': weight exponent 8 is outside -7..7"),
        ({"target": "i"}, "node 'i': no population of this name"),
        ({"name": "n"}, "node 'n': the name is used twice"),
        ({"source": "n"}, "nodes ['n']: a cycle of connections without any delay"),
    ],
)
def test_illegal_connections_are_refused_by_name(connection: dict, message: str) -> None:
    good = {"name": "c", "source": "i", "target": "n", "weight": np.zeros((2, 2), np.int32)}
    with pytest.raises(BadInput) as refused:
        Program(
            (make_input("i", (2,)),),
            (make_population("n", (2,)),),
            (Dense(**(good | connection)),),
            (),
        )
    assert str(refused.value).startswith(message)


def test_bias_registers_take_the_smallest_exact_exponent() -> None:
    assert bias_registers("n", 4095) == (4095, 0)
    mantissa, exponent = bias_registers("n", np.array([-8192, 4096 * 64]))
    assert exponent == 7 and (mantissa << exponent).tolist() == [-8192, 4096 * 64]


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    save_program(path, two_layers())
    whole = path.read_bytes()

    def refused() -> str:
        with pytest.raises(BadInput) as caught:
            load_program(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        return str(caught.value)

    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable .npz" in refused()
    path.write_bytes(whole)
    arrays = read_npz(path)
    write_npz(path, {n: a for n, a in arrays.items() if n != "fc1/weight"})
    assert "'fc1/weight' is missing" in refused()
    header = json.loads(arrays["program.json"].tobytes())
    header["version"] = 99
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    write_npz(path, arrays | {"program.json": text})
    assert "version 99" in refused()
    write_npz(path, arrays | {"lif/dv": np.full((2, 4), 9999)})
    assert "node 'lif': dv 9999" in refused()
    path.unlink()
    assert "cannot read" in refused()


def test_a_small_file_that_declares_a_huge_array_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (3000000000,), }"
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program.json.npy", body)
    with pytest.raises(
        BadInput, match=r"array 'program\.json' declares 12000000000 bytes, the file holds 128"
    ):
        load_program(path)


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "pickle.npz"
    np.savez(path, program=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="never loaded"):
        load_program(path)


def test_a_chain_of_thousands_of_populations_is_ordered_as_it_lies() -> None:
    """Reversed, so that each waits for the one defined after it: a step for each and no search."""
    names = [f"n{i}" for i in range(4000)]
    weight = np.full((1, 1), 2, np.int32)
    program = Program(
        (make_input("i", (1,)),),
        tuple(make_population(name, (1,)) for name in reversed(names)),
        (
            Dense("c", "i", "n0", weight),
            *(Dense(f"c{b}", a, b, weight) for a, b in pairwise(names)),
        ),
        (),
    )
    assert program.order == tuple(names)
    assert program.population("n7").name == program.source("n7").name == "n7"
    assert [c.name for c in program.into("n7")] == ["cn7"]
    assert [c.name for c in program.out_of("n7")] == ["cn8"]
    with pytest.raises(BadInput, match="'i': no population"):
        program.population("i")
