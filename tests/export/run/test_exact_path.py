"""The exact path: a random torch network → NIR file → Program → emulator, bit for bit."""

from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

import nir
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.compare.parity import compare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import registers
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.module import to_nir
from export.run.torch_run import run_torch, torch_registers
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.synapses import ChipLinear

RANGE = 15


def random_network(seed: int) -> torch.nn.Sequential:
    """Two layers with random decays, thresholds and biases: an LIF or CUBA LIF, then integrators."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    sizes = [int(n) for n in rng.integers(1, 12, 3)]
    cuba = bool(rng.integers(2))
    unit = 64 * 2.0**6
    return torch.nn.Sequential(
        OrderedDict(
            fc1=ChipLinear(torch.randn(sizes[1], sizes[0], generator=generator), 6),
            lif1=ChipNeuron(
                torch.randn(sizes[1], generator=generator) * float(rng.integers(0, 3)),
                unit=unit,
                du=int(rng.integers(0, 4095)) if cuba else 4095,
                dv=int(rng.integers(1 if cuba else 0, 4096)),
                vth=int(rng.integers(0, 2000)),
            ),
            fc2=ChipLinear(torch.randn(sizes[2], sizes[1], generator=generator), 6),
            scores=ChipNeuron(
                torch.randn(sizes[2], generator=generator),
                unit=unit,
                dv=int(rng.choice([0, 700, 4095])),
                kind="integrator",
            ),
        )
    )


def messages(network: torch.nn.Sequential, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = network[0].weight.shape[1]
    return {"input": rng.integers(-RANGE, RANGE + 1, (4, 9, size)).astype(np.int8)}


def stripped(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The graph without any metadata, which the standard allows every tool to drop."""
    for node in graph.nodes.values():
        node.metadata = {}
    graph.metadata = {}
    return graph


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_torch_nir_program_emulator_are_one(seed: int) -> None:
    network = random_network(seed)
    graph = stripped(to_nir(network))
    program = lower(graph, input_ranges={"input": (-RANGE, RANGE)})
    inputs = messages(network, seed)
    parity = compare(
        "torch",
        torch_registers(network),
        run_torch(network, inputs),
        "emulator",
        registers(program),
        emulate(program, inputs),
    )
    assert parity.ok, parity.describe()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_file_keeps_every_register(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    network = random_network(seed)
    write_nir(path, to_nir(network))
    held = registers(lower(stripped(read_nir(path))))
    expected = torch_registers(network)
    assert held.keys() == expected.keys()
    assert all(np.array_equal(held[name], expected[name]) for name in held)


def test_every_decay_survives_the_time_constant() -> None:
    dv = np.arange(1, 4096)
    node = nir.LIF(
        tau=4096 * 1e-4 / dv,
        r=4096 / dv,
        v_leak=0.0 * dv,
        v_threshold=0.0 * dv + 9,
        v_reset=0.0 * dv,
    )
    graph = nir.NIRGraph(
        {
            "input": nir.Input(np.array([1])),
            "w": nir.Linear(np.full((4095, 1), 2.0)),
            "n": node,
            "output": nir.Output(np.array([4095])),
        },
        [("input", "w"), ("w", "n"), ("n", "output")],
    )
    assert np.array_equal(lower(graph).population("n").dv, dv)


def test_power_of_two_weights_of_another_tool_are_exact() -> None:
    """Half-integer weights with a matching threshold: the lowering finds the scale by itself."""
    graph = single(weight=[[0.25, -1.5]], bias=[0.5], threshold=2.0)
    program = lower(graph)
    assert program.connections[0].weight.tolist() == [[2, -12]]
    population = program.populations[0]
    assert population.vth.tolist() == [16] and population.bias.tolist() == [256]


def single(weight: object, bias: object, threshold: float, **changes: object) -> nir.NIRGraph:
    n = len(np.asarray(weight))
    parameters = {
        "tau": np.full(n, 2e-4),
        "r": np.full(n, 2.0),
        "v_leak": np.zeros(n),
        "v_threshold": np.full(n, threshold),
        "v_reset": np.zeros(n),
    } | {k: np.full(n, v) for k, v in changes.items()}
    return nir.NIRGraph(
        {
            "input": nir.Input(np.array([np.shape(weight)[1]])),
            "fc": nir.Affine(np.asarray(weight, float), np.asarray(bias, float)),
            "lif": nir.LIF(**parameters),
            "output": nir.Output(np.array([n])),
        },
        [("input", "fc"), ("fc", "lif"), ("lif", "output")],
    )


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (single([[0.1]], [0.0], 1.0), "node 'lif': its weights"),
        (single([[2.0]], [0.0], 0.3), "node 'lif': its weights"),
        (single([[2.0]], [0.0], 1.0, r=3.0), "node 'lif': its gain"),
        (single([[2.0]], [0.0], 1.0, tau=-1.0, r=-1e4), "node 'lif': tau -1.0 is not positive"),
        (single([[2.0]], [0.0], 1.0, tau=3.0e-4 * 1.01, r=3.03), "node 'lif': its membrane decay"),
    ],
)
def test_what_no_register_holds_is_refused_by_name(graph: nir.NIRGraph, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        lower(graph)
    assert str(refused.value).startswith(message)


def test_unsupported_nodes_are_refused_by_name() -> None:
    graph = single([[2.0]], [0.0], 1.0)
    graph.nodes["fc"] = nir.ir.graph.Identity(input_type={"input": np.array([1])})
    with pytest.raises(BadInput, match="node 'fc': Identity is not supported"):
        lower(graph)
