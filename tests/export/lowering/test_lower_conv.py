"""Convolution, pooling and flattening in NIR → the same integers in a Program, or a refusal."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from deploy.connections import Conv2d, Dense, sum_pool
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Output, Program, equal, make_input, make_population
from export.lowering.exact import lower
from export.nir_format.normal.neurons import DEFAULT_DT
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir

RNG = np.random.default_rng(0)
FIRST = (2 * RNG.integers(-20, 40, (4, 2, 3, 3))).astype(np.int32)
LAST = (2 * RNG.integers(-20, 40, (3, 16))).astype(np.int32)


def fire(shape: tuple[int, ...], vth: float) -> nir.IF:
    return nir.IF(np.full(shape, 1 / DEFAULT_DT), np.full(shape, vth), np.zeros(shape))


def graph(scale: float = 1.0, **conv: Any) -> nir.NIRGraph:
    """2 × 9 × 8 → conv, stride 2 → sum pool → average pool → flatten → linear."""
    options = {
        "input_shape": None,
        "stride": (2, 1),
        "padding": (1, 1),
        "dilation": 1,
        "groups": 1,
    } | conv
    nodes = {
        "input": nir.Input(np.array([2, 9, 8])),
        "conv": nir.Conv2d(
            weight=FIRST * scale,
            bias=np.array([1, 0, -2, 3.0]) * scale,
            **options,
        ),
        "n1": fire((4, 5, 8), 60 * scale),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 0])),
        "n2": fire((4, 4, 4), 2),
        "mean": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "n3": fire((4, 2, 2), 0.25),
        "flat": nir.Flatten(np.array([4, 2, 2]), 0),
        "fc": nir.Linear(LAST * scale),
        "scores": nir.I(np.full(3, 1 / DEFAULT_DT)),
        "output": nir.Output(np.array([3])),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def by_hand() -> Program:
    return Program(
        (make_input("input", (2, 9, 8)),),
        (
            make_population(
                "n1", (4, 5, 8), vth=60, bias=64 * np.array([1, 0, -2, 3])[:, None, None]
            ),
            make_population("n2", (4, 4, 4), vth=4),
            make_population("n3", (4, 2, 2), vth=2),
            make_population("scores", (3,), kind="integrator"),
        ),
        (
            Conv2d("conv", "input", "n1", FIRST, (9, 8), (2, 1), (1, 1)),
            sum_pool("sum", "n1", "n2", (4, 5, 8), (2, 2), (1, 2)),
            sum_pool("mean", "n2", "n3", (4, 4, 4), (2, 2)),
            Dense("fc", "n3", "scores", LAST),
        ),
        (Output("output", "scores", "v"),),
    )


@pytest.mark.parametrize("scale", [1.0, 2.0**-7])
def test_a_convolutional_graph_lowers_to_the_program_by_hand(scale: float) -> None:
    """A pool of ones takes weights of 2, one of quarters too, with the thresholds to match."""
    program = lower(graph(scale))
    assert equal(program, by_hand())
    x = RNG.integers(0, 2, (4, 6, 2, 9, 8))
    trace = emulate(program, {"input": x})
    assert all(0.02 < trace.s[name].mean() < 0.98 for name in ("n1", "n2", "n3"))


def test_it_survives_the_file(tmp_path: Path) -> None:
    write_nir(tmp_path / "model.nir", graph(input_shape=(9, 8)))
    assert equal(lower(read_nir(tmp_path / "model.nir")), by_hand())


def test_padding_in_words() -> None:
    g = graph(stride=(1, 1), padding="same")
    g.nodes["n1"] = fire((4, 9, 8), 60)
    g.nodes["sum"] = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    first = lower(g).connections[0]
    assert isinstance(first, Conv2d) and first.padding == (1, 1)


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        ({"stride": (1, 1)}, "node 'n1': its parameters have 160 values for 288 neurons"),
        ({"padding": "same"}, "node 'conv': padding 'same' needs stride 1"),
        ({"padding": (0, 0), "dilation": 9}, "node 'conv': its kernel is larger than the padded"),
        ({"dilation": (1.5, 1)}, r"node 'conv': dilation is \(1.5, 1\), expected one or two int"),
        ({"input_shape": (8, 9)}, r"node 'conv': input_shape \(8, 9\), the node before it has"),
        ({"groups": 2}, r"node 'conv': it reads 4 channels, the shape before it is \(2, 9, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(conv: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        lower(graph(**conv))


def test_an_average_that_no_register_holds_is_refused() -> None:
    g = graph()
    g.nodes["mean"] = nir.AvgPool2d(np.array([3, 3]), np.array([3, 3]), np.array([1, 1]))
    with pytest.raises(BadInput, match=r"node 'n3': its weights .* are not integers of the chip"):
        lower(g)


def test_a_pool_without_an_image_before_it_is_refused() -> None:
    nodes = {
        "input": nir.Input(np.array([8])),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "n": fire((2,), 1),
        "output": nir.Output(np.array([2])),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    with pytest.raises(
        BadInput, match=r"'sum': the shape before it is \(8,\), expected \(C, H, W\)"
    ):
        lower(nir.NIRGraph(nodes, edges, type_check=False))
