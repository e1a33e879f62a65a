"""Random chains of NIR's layers over lines and images, flattened anywhere, against torch.

Each graph → program → both emulators equals an integer reference whose sums torch takes; the float
simulation equals a float64 one; and what is written, from graph and from program, reads back.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import nir
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deploy.connections import Sparse
from deploy.emulate.fast import emulate_fast
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import Program, equal
from export.graph.graph import Graph
from export.graph.simulate import simulate
from export.lowering.exact import lower
from export.nir_format.normal.normalise import normalise
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.graph import graph_to_nir
from export.nir_format.write.program import program_graph
from export.quantization.quantize import quantize
from export.quantization.wrong_spikes import Calibration

DT = 1e-4
F = torch.nn.functional


@dataclass
class Stage:
    """Layers as functions of torch tensors [N, *shape], then neurons: decays in 1/4096, threshold."""

    shape: tuple[int, ...]
    layers: list[Any] = field(default_factory=list)
    du: Any = 4096
    dv: Any = 0
    vth: Any = np.inf
    bias: Any = 0.0

    def sums(self, x: np.ndarray) -> np.ndarray:
        y = torch.as_tensor(x, dtype=torch.float64)
        for layer in self.layers:
            y = layer(y)
        return y.numpy().reshape(len(x), *self.shape)


class Chain:
    """A random graph of NIR and the same in torch."""

    def __init__(self, seed: int, integers: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.integers = integers
        rank = int(self.rng.integers(1, 3))
        self.input = (int(self.rng.choice([1, 2, 4])), *map(int, self.rng.integers(4, 8, rank)))
        self.nodes: dict[str, Any] = {"in": nir.Input(np.array(self.input))}
        self.stages: list[Stage] = []
        shape = self.input
        for last in (False, True):
            stage = Stage(shape)
            self.weighted = 0
            for _ in range(int(self.rng.integers(1, 4))):
                self.layer(stage)
            self.neurons(stage, last)
            self.stages.append(stage)
            shape = stage.shape
        self.nodes["out"] = nir.Output(np.array(shape))
        self.graph = nir.NIRGraph(self.nodes, list(pairwise(self.nodes)), type_check=False)
        self.messages = self.rng.integers(0, 2, (3, 5, *self.input))

    def weights(self, *shape: int) -> np.ndarray:
        if not self.integers:
            return self.rng.normal(size=shape)
        # The first layer's are even; the product of all must stay within eight bits.
        self.weighted += 1
        return self.rng.integers(-9, 10, shape) * 2.0 if self.weighted == 1 else (
            self.rng.integers(-1, 2, shape).astype(float)
        )  # fmt: skip

    def layer(self, stage: Stage) -> None:
        name = f"l{len(self.nodes)}"
        rank = len(stage.shape)
        kinds = ["scale", "linear"] + ["flatten"] * (rank > 1) + ["conv"] * 3 * (rank in (2, 3))
        kind = str(self.rng.choice([*kinds, *["pool"] * (rank == 3)]))
        if kind == "flatten":
            start, end = sorted(self.rng.choice(rank, 2, replace=False).tolist())
            self.nodes[name] = nir.Flatten({"input": None}, start, end - rank)
            stage.layers.append(lambda y: y.flatten(1 + start, 1 + end))
            merged = prod(stage.shape[start : end + 1])
            stage.shape = (*stage.shape[:start], merged, *stage.shape[end + 1 :])
        elif kind == "scale":
            shape = stage.shape if self.rng.random() < 0.5 else (stage.shape[0], *[1] * (rank - 1))
            scale = 2.0 ** self.rng.integers(0, 2, shape)
            self.nodes[name] = nir.Scale(scale)
            stage.layers.append(lambda y: y * torch.as_tensor(scale))
        elif kind == "linear":
            if rank > 1:
                self.nodes[f"{name}f"] = nir.Flatten({"input": None}, 0, -1)
            weight = self.weights(5, prod(stage.shape))
            bias = self.bias(5)
            self.nodes[name] = nir.Affine(weight, bias)
            stage.layers.append(
                lambda y: F.linear(y.flatten(1), torch.as_tensor(weight), torch.as_tensor(bias))
            )
            stage.shape = (5,)
        elif kind == "pool":
            kernel, stride = self.rng.integers(1, 3, (2, 2)).tolist()
            kernel = [min(k, n) for k, n in zip(kernel, stage.shape[1:], strict=True)]
            padding = [int(self.rng.integers(0, k // 2 + 1)) for k in kernel]
            total = bool(self.rng.integers(2))
            made = nir.SumPool2d if total else nir.AvgPool2d
            self.nodes[name] = made(*(np.array(x) for x in (kernel, stride, padding)))
            pool = {"divisor_override": 1} if total else {}
            stage.layers.append(lambda y: F.avg_pool2d(y, kernel, stride, padding, **pool))
            self.shaped(stage)
        else:
            self.convolution(name, stage)

    def bias(self, size: int) -> np.ndarray:
        return self.rng.integers(-3, 4, size) * 1.0

    def convolution(self, name: str, stage: Stage) -> None:
        channels, *size = stage.shape
        axes = len(size)
        groups = int(self.rng.choice([g for g in (1, 2, 4) if channels % g == 0]))
        kernel = [int(self.rng.integers(1, min(n, 3) + 1)) for n in size]
        dilation = [int(self.rng.integers(1, 3)) if 2 * (k - 1) < n else 1
                    for k, n in zip(kernel, size, strict=True)]  # fmt: skip
        stride = self.rng.integers(1, 3, axes).tolist()
        padding: Any = self.rng.integers(0, 2, axes).tolist()
        words = self.rng.random()
        if words < 0.2:
            padding = "valid"
        elif words < 0.4 and all(
            d * (k - 1) % 2 == 0 for d, k in zip(dilation, kernel, strict=True)
        ):
            padding, stride = "same", [1] * axes
        weight = self.weights(groups * int(self.rng.integers(1, 3)), channels // groups, *kernel)
        bias = self.bias(len(weight))
        made = nir.Conv1d if axes == 1 else nir.Conv2d
        first = {k: v if isinstance(v, str) else tuple(v) if axes == 2 else v[0]
                 for k, v in (("stride", stride), ("padding", padding), ("dilation", dilation))}  # fmt: skip
        self.nodes[name] = made(None, weight, groups=groups, bias=bias, **first)
        convolve = F.conv1d if axes == 1 else F.conv2d
        given = torch.as_tensor(weight), torch.as_tensor(bias), stride, padding, dilation, groups
        stage.layers.append(lambda y: convolve(y, *given))
        self.shaped(stage)

    def shaped(self, stage: Stage) -> None:
        y = torch.zeros(1, *(self.stages[-1].shape if self.stages else self.input)).double()
        for layer in stage.layers:
            y = layer(y)
        stage.shape = tuple(y.shape[1:])

    def neurons(self, stage: Stage, last: bool) -> None:
        shape = stage.shape
        channel = (shape[0], *[1] * (len(shape) - 1))
        each = shape if self.rng.random() < 0.5 else channel
        stage.vth = self.rng.integers(2, 20, each).astype(float)
        # Of a leak in quarters float64 keeps every bit for a few steps; 0 is no leak.
        shares = self.rng.integers(0, 4, (2, *each)) * 1024
        kind = str(self.rng.choice(["li", "i", "cubali", "lif"] if last else ["if", "lif", "cuba"]))
        with np.errstate(divide="ignore"):
            tau = 4096 * DT / shares
        ones, zero = np.ones(each), np.zeros(each)
        fires = {"v_threshold": stage.vth, "v_reset": zero}
        if kind in ("if", "i"):
            r = ones / DT
            node = nir.IF(r, **fires) if kind == "if" else nir.I(r)
        elif kind in ("li", "lif"):
            stage.dv, leak = shares[1], {"tau": tau[1], "r": tau[1] / DT, "v_leak": zero}
            node = nir.LIF(**leak, **fires) if kind == "lif" else nir.LI(**leak)
        else:
            stage.du, stage.dv = shares
            leak = {"tau_syn": tau[0], "tau_mem": tau[1], "r": tau[1] / DT, "w_in": tau[0] / DT}
            leak["v_leak"] = zero
            node = nir.CubaLIF(**leak, **fires) if kind == "cuba" else nir.CubaLI(**leak)
        if kind in ("i", "li", "cubali"):
            stage.vth = np.full(shape, np.inf)
        self.nodes[f"n{len(self.stages)}"] = node

    def run(self, scales: list[float] | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """(spikes of each stage, last potentials): float64 without rounding, or the registers of
        stages whose sums are so many times the graph's."""
        x, found = self.messages, []
        for i, stage in enumerate(self.stages):
            unit = 64 * scales[i] if scales else 1.0
            u = np.zeros((len(x), *stage.shape), np.int64 if scales else np.float64)
            v, spikes = u.copy(), []
            for t in range(x.shape[1]):
                a = stage.sums(x[:, t]) * unit
                u = decayed(u, stage.du) + (a.astype(np.int64) if scales else a)
                v = decayed(v, stage.dv) + u
                s = v > stage.vth * unit
                v = np.where(s, 0, v)
                spikes.append(s)
            x = np.stack(spikes, axis=1).astype(np.int64)
            found.append(x)
        return found, v


def decayed(x: np.ndarray, share: Any) -> np.ndarray:
    """What is left of a state after a step in which so many 4096ths are lost."""
    product = x * (4096 - np.asarray(share, np.int64))
    if x.dtype == np.float64:
        return product / 4096
    return np.sign(product) * (np.abs(product) >> 12)


def scales_of(graph: Graph, program: Program) -> list[float]:
    """How many times the graph's weights a program's are, of each population."""
    found = []
    for n in graph.neurons:
        operators = {p.name: p.operator for p in graph.into(n.name)}
        ratios = [
            np.abs(c.weight).max() / np.abs(operators[c.name].weight).max()
            for c in program.into(n.name)
            if c.weight.any()
        ]
        found.append(float(ratios[0]) if ratios else 1.0)
    return found


def lowered(seed: int) -> tuple[Chain, Graph, Program]:
    """A random chain, and its program where the products of its weights have eight bits."""
    chain = Chain(seed)
    graph = normalise(chain.graph)
    try:
        return chain, graph, lower(chain.graph)
    except BadInput as error:
        assert "are not integers of the chip" in str(error)
        assume(False)
        raise


def written_and_read(graph: nir.NIRGraph, path: Any) -> nir.NIRGraph:
    write_nir(path, graph)
    return read_nir(path)


def without_lists(program: Program) -> bool:
    """Whether every connection comes back as the kind that it was.

    NIR has no lists but those from one to one. A constant that differs within a channel (here a
    population that always fires) is the bias of a dense layer, which the convolution then becomes.
    """
    return not any(p.name.endswith(".one") for p in program.populations) and not any(
        isinstance(c, Sparse)
        and not (
            c.source_size == c.target_size and np.array_equal(c.indices, np.arange(c.target_size))
        )
        for c in program.connections
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_chain_runs_as_torch_says_and_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chain, graph, program = lowered(seed)
    names = [n.name for n in graph.neurons]
    assert [n.shape for n in graph.neurons] == [stage.shape for stage in chain.stages]
    inputs = {"in": chain.messages}

    spikes, v = chain.run()
    floats = simulate(graph, inputs)
    for name, expected in zip(names, spikes, strict=True):
        assert np.array_equal(floats.s.get(name, expected), expected)
    if names[-1] in floats.readout:
        unit = graph.neurons[-1].unit
        assert np.array_equal(floats.readout[names[-1]] * unit, v)

    spikes, v = chain.run(scales_of(graph, program))
    for emulated in (emulate(program, inputs), emulate_fast(program, inputs)):
        for name, expected in zip(names, spikes, strict=True):
            assert np.array_equal(emulated.s[name], expected)
        if names[-1] in emulated.readout:
            assert np.array_equal(emulated.readout[names[-1]], v)

    path = tmp_path_factory.mktemp("nir") / "chain.nir"
    for made in (graph_to_nir(graph), program_graph(program)):
        again = lower(written_and_read(made, path))
        trace = emulate(again, inputs)
        assert all(np.array_equal(trace.s[n], x) for n, x in zip(names, spikes, strict=True))
        if without_lists(program):
            assert equal(again, lower(written_and_read(chain.graph, path)))


def test_float_chains_are_quantized_to_what_their_files_hold() -> None:
    differ = []
    for seed in range(20):
        chain = Chain(seed, integers=False)
        graph = normalise(chain.graph)
        inputs = {"in": chain.messages}
        trace = simulate(graph, inputs)
        spikes, v = chain.run()
        first, last = graph.neurons
        if last.name in trace.readout:
            np.testing.assert_allclose(trace.readout[last.name] * last.unit, v, atol=1e-9)
        for calibration in (None, Calibration(inputs, trace)):
            try:
                integers, _ = quantize(graph, {"in": (0, 1)}, calibration)
            except BadInput as error:
                assert "no registers hold both" in str(error)
                continue
            program = lower(graph_to_nir(integers))
            emulated, fast = emulate(program, inputs), emulate_fast(program, inputs)
            assert all(np.array_equal(emulated.s[n.name], fast.s[n.name]) for n in graph.neurons)
            # The first layer hears the same messages; few potentials are near a threshold.
            differ.append(float((emulated.s[first.name] != spikes[0]).mean()))
    assert len(differ) > 30
    assert np.mean(differ) < 0.02


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_lava_runs_chains_too(seed: int) -> None:
    pytest.importorskip("lava.magma", reason="lava-nc is not installed")
    from deploy.compare.parity import compare
    from deploy.program.program import registers
    from export.targets.lava.client import run_lava

    chain = Chain(seed)
    program = lower(chain.graph)
    inputs = {"in": chain.messages}
    run = run_lava(program, inputs, progress=False)
    expected = emulate(program, inputs)
    parity = compare("emulator", registers(program), expected, "lava", run.registers, run.trace)
    assert parity.ok, parity.describe()
