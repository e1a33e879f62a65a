"""Programs written as NIR graphs that lower to them again, register by register."""

import numpy as np
import pytest

from deploy.compare.parity import compare_registers
from deploy.connections import Conv2d, Dense, Sparse
from deploy.errors import BadInput
from deploy.program.program import Output, Program, make_input, make_population, registers
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
LISTED = Sparse(
    "c", "in", "n", np.full(2, 2, np.int32), np.arange(2, dtype=np.int32),
    np.arange(3, dtype=np.int32), 2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (one_layer(Dense("c", "in", "n", EYE, 1)), "'c': NIR's weights have no exponent"),
        (one_layer(LISTED), "'c': NIR has no sparse connections"),
        (
            one_layer(Dense("c", "in", "n", EYE), du=-1, dv=5),
            "'n': no synaptic decay, beside",
        ),
        (one_layer(Dense("c", "in", "n", EYE), du=7, dv=0), "'n': no membrane decay, beside"),
    ],
)
def test_what_nir_cannot_hold_is_refused_by_name(program, says):
    with pytest.raises(BadInput, match=says):
        program_graph(program)
