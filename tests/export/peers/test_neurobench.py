"""Our synaptic operations against NeuroBench's metric on the same torch model, hooks and all."""

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")
pytest.importorskip("neurobench", reason="neurobench is not installed (extra 'oracles')")

from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel

from deploy.connections import Conv2d
from deploy.count.ann_baseline import baseline
from deploy.count.operations import Counts, count
from deploy.emulate.reference import emulate
from deploy.program.program import Dense, Program, make_input, make_population
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from neuroclip.adapter.checkpoint import load_checkpoint
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.synapses import ChipLinear

STEPS, SAMPLES = 6, 5


class Steps(torch.nn.Module):
    """A network run step by step over a batch [samples, time, *shape], from cleared state."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Any) -> Any:
        for module in self.network.modules():
            if isinstance(module, ChipNeuron):
                module.reset_mem()
        return torch.stack([self.network(batch[:, t]) for t in range(batch.shape[1])], dim=1)


def neurobench(network: Any, messages: np.ndarray) -> dict[str, float]:
    """NeuroBench's metric over one batch [samples, time, *shape], per sample."""
    model = TorchModel(Steps(network))
    model.register_hooks()
    data = torch.from_numpy(messages.astype(np.float64)), torch.zeros(len(messages))
    with torch.no_grad():
        predictions = model(data[0])
    found = SynapticOperations()(model, predictions, data)
    model.cleanup_hooks()
    return found


def linear(weight: Any) -> Any:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data = torch.as_tensor(weight, dtype=torch.float64)
    return layer


def check(program: Program, counts: Counts, found: dict[str, float]) -> None:
    """Effective operations of both kinds, and the dense ones of an ANN at every step."""
    assert found["Effective_ACs"] == sum(counts.acs.values()) / counts.samples
    assert found["Effective_MACs"] == sum(counts.macs.values()) / counts.samples
    assert found["Dense"] == baseline(program, counts)["operations"]["mac"]


def even(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.where(rng.random(shape) < 0.3, 0, 2 * rng.integers(-60, 90, shape)).astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
def test_convolutions_and_dense_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = even(rng, 4, 2, 3, 3), even(rng, 6, 2, 2, 2), even(rng, 5, 6 * 3 * 4)
    first = Conv2d("c1", "x", "n1", weights[0], (7, 9), (1, 1), (1, 1))
    second = Conv2d("c2", "n1", "n2", weights[1], (7, 9), (2, 2), (0, 0), (1, 1), 2)
    vth = 200
    program = Program(
        (make_input("x", (2, 7, 9)),),
        (
            make_population("n1", (4, 7, 9), dv=300, vth=vth),
            make_population("n2", (6, 3, 4), dv=300, vth=vth),
            make_population("out", (5,), kind="integrator"),
        ),
        (first, second, Dense("fc", "n2", "out", weights[2])),
        (),
    )

    def conv(c: Conv2d) -> Any:
        channels = c.weight.shape[1] * c.groups, c.weight.shape[0]
        layer = torch.nn.Conv2d(
            *channels, c.weight.shape[2:], c.stride, c.padding, c.dilation, c.groups, False,
            dtype=torch.float64,
        )  # fmt: skip
        layer.weight.data = torch.as_tensor(c.weight, dtype=torch.float64)
        return layer

    def neuron(kind: Any = "lif", **registers: int) -> Any:
        return ChipNeuron(torch.zeros(()), unit=1.0, kind=kind, **registers)

    network = torch.nn.Sequential(
        OrderedDict(
            c1=conv(first),
            n1=neuron(dv=300, vth=vth),
            c2=conv(second),
            n2=neuron(dv=300, vth=vth),
            flat=torch.nn.Flatten(),
            fc=linear(weights[2]),
            out=neuron("integrator"),
        )
    )
    messages = (rng.random((SAMPLES, STEPS, 2, 7, 9)) < 0.3).astype(np.int64)
    trace = emulate(program, {"x": messages})
    assert trace.messages["n1"].any() and trace.messages["n2"].any()
    counts = count(program, trace.messages, SAMPLES, STEPS)
    check(program, counts, neurobench(network, messages))


def test_the_adapter_as_it_is_deployed(checkpoint_folder: Any) -> None:
    adapter = load_checkpoint(str(checkpoint_folder)).chip_adapter
    twin = copy.deepcopy(adapter.network)
    for name, module in list(twin.named_modules()):
        # NeuroBench knows torch's own layers alone; these hold the integers that the chip gets.
        if isinstance(module, ChipLinear):
            setattr(twin, name, linear(module.integer_weight().detach()))
    limit = adapter.config.message_max
    program = lower(to_nir(adapter.network, 1e-4), input_ranges={"input": (-limit, limit)})
    size = program.inputs[0].size
    rng = np.random.default_rng(0)
    messages = rng.integers(-limit, limit + 1, (SAMPLES, STEPS, size))
    messages[rng.random(messages.shape) < 0.4] = 0
    trace = emulate(program, {"input": messages})
    assert any(trace.messages[p.name].any() for p in program.populations)
    check(program, count(program, trace.messages, SAMPLES, STEPS), neurobench(twin, messages))
