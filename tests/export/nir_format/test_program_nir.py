"""Programs written as NIR graphs that lower to them again, register by register."""

from dataclasses import replace

import numpy as np
import pytest

from deploy.compare.parity import compare, compare_registers
from deploy.connections import Conv2d, Dense, Sparse
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import (
    Output,
    Program,
    equal,
    make_input,
    make_population,
    registers,
)
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.program import program_graph


def weights(rng, *shape):
    return (2 * rng.integers(-60, 61, shape)).astype(np.int32)


def network(seed):
    """A convolution, a delayed dense layer, a loop, and one integrator, with every kind of neuron."""
    rng = np.random.default_rng(seed)

    def neurons(name, shape, spread, **more):
        dv, biased = rng.integers(1, 4096, spread), rng.random() < 0.5
        held = {"du": rng.integers(0, 4095, spread), "dv": dv} if rng.random() < 0.5 else {"dv": dv}
        if rng.random() < 0.3:
            held["dv"] = np.zeros(spread, np.int64)
            held["du"] = np.full(spread, 4095)
        bias = 64 * rng.integers(-9, 9, spread) if biased else np.zeros(spread, np.int64)
        registers = {k: np.broadcast_to(v, shape) for k, v in held.items()}
        return make_population(name, shape, bias=np.broadcast_to(bias, shape), **registers, **more)

    image = make_input("image", (2, 5, 4), 0, 1)
    kernel = Conv2d("k", "image", "a", weights(rng, 3, 2, 2, 2), (5, 4), (2, 2), (1, 1))
    shape = kernel.target_shape
    size = int(np.prod(shape))
    a = neurons("a", shape, (3, 1, 1), vth=int(rng.integers(20, 200)))
    b = neurons("b", (4,), (4,), vth=rng.integers(20, 200, 4))
    c = neurons("c", (3,), (3,), kind="integrator")
    return Program(
        (image,),
        (a, b, c),
        (
            kernel,
            Dense("fc", "a", "b", weights(rng, 4, size), 0, int(rng.integers(0, 3))),
            Dense("loop", "b", "b", weights(rng, 4, 4), 0, 1),
            Dense("out", "b", "c", weights(rng, 3, 4)),
        ),
        (Output("scores", "c", "v"),),
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_program_comes_back_from_its_graph(tmp_path, seed):
    program = network(seed)
    write_nir(tmp_path / "a.nir", program_graph(program))
    again = lower(read_nir(tmp_path / "a.nir"))
    assert compare_registers(registers(program), registers(again)) is None
    assert again.outputs == program.outputs


def one_layer(synapses, **registers):
    population = make_population("n", (2,), **({"vth": 9} | registers))
    return Program((make_input("in", (2,)),), (population,), (synapses,), (Output("o", "n", "s"),))


EYE = 2 * np.eye(2, dtype=np.int32)


@pytest.mark.parametrize("held", [{"du": -1, "dv": 5}, {"du": 7, "dv": 0}, {"du": -1, "dv": 0},
                                  {"du": [-1, 4095], "dv": [0, 4095]}, {"dv": [0, 7]}])  # fmt: skip
def test_neurons_without_a_leak_come_back(tmp_path, held):
    """Of all neurons or of some, in the current and in the potential, with a bias or none."""
    for bias in (0, [64, -128]):
        program = one_layer(Dense("c", "in", "n", EYE), bias=bias, **held)
        write_nir(tmp_path / "a.nir", program_graph(program))
        assert equal(lower(read_nir(tmp_path / "a.nir")), program)


def test_listed_synapses_become_a_dense_layer():
    listed = Sparse(
        "c", "in", "n", np.array([2, 4], np.int32), np.array([1, 1], np.int32),
        np.arange(3, dtype=np.int32), 2,
    )  # fmt: skip
    found = lower(program_graph(one_layer(listed))).connections[0]
    assert isinstance(found, Dense) and found.weight.tolist() == [[0, 2], [0, 4]]
    diagonal = replace(listed, indices=np.arange(2, dtype=np.int32))
    assert equal(lower(program_graph(one_layer(diagonal))), one_layer(diagonal))


@pytest.mark.parametrize("seed", range(24))
def test_random_programs_compute_the_same_from_their_files(tmp_path, random_program, seed):
    """Every connection, delays, skips and loops; those of NIR's own layers come back as they were."""
    program = random_program(seed)
    program = replace(
        program, connections=tuple(replace(c, exponent=0) for c in program.connections)
    )
    write_nir(tmp_path / "a.nir", program_graph(program))
    ranges = {n.name: (n.low, n.high) for n in program.inputs}
    again = lower(read_nir(tmp_path / "a.nir"), input_ranges=ranges)
    image = program.inputs[0]
    x = np.random.default_rng(seed).integers(image.low.min(), image.high.max() + 1,
                                             (2, 9, *image.shape))  # fmt: skip
    assert compare(
        "a", {}, emulate(program, {"image": x}), "b", {}, emulate(again, {"image": x})
    ).ok
    found = {c.name: c for c in again.connections}
    for c in program.connections:
        if not isinstance(c, Sparse):
            assert type(found[c.name]) is type(c) and np.array_equal(found[c.name].weight, c.weight)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (one_layer(Dense("c", "in", "n", EYE, 1)), "'c': NIR's weights have no exponent"),
        (
            one_layer(Dense("c", "in", "n", EYE), refractory=2),
            "'n': NIR has no neurons that compute",
        ),
        (
            replace(one_layer(Dense("c", "in", "n", EYE)), outputs=(Output("n", "n", "s"),)),
            "'n': NIR needs another name",
        ),
        (
            replace(one_layer(Dense("c", "in", "n", EYE)), outputs=(Output("o", "n", "v"),)),
            "'o': NIR's outputs read the spikes of neurons that fire",
        ),
    ],
)
def test_what_nir_cannot_hold_is_refused_by_name(program, says):
    with pytest.raises(BadInput, match=says):
        program_graph(program)
