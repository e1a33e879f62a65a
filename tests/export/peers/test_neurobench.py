"""Our metrics against NeuroBench's own harness on the same torch model, hooks and all."""

import json
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
pytest.importorskip("neurobench", reason="neurobench is not installed (extra 'oracles')")

from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
from neurobench.metrics.workload import (
    ActivationSparsity,
    ClassificationAccuracy,
    SynapticOperations,
)
from neurobench.models import TorchModel
from torch.utils.data import DataLoader, TensorDataset

import neuroclip as nc
from deploy.count.ann_baseline import baseline
from deploy.count.neurobench import metrics
from deploy.count.operations import count
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from export.peers.neurobench import Stepped, footprint
from neuroclip.adapter.checkpoint import load_checkpoint
from neuroclip.chip.network import ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipRelay
from neuroclip.chip.synapses import ChipConv2d, ChipLinear, ChipSumPool2d

STEPS, SAMPLES = 6, 5


def harness(network: Any, messages: np.ndarray, labels: Any = None) -> dict[str, Any]:
    """What the package says of a network over one batch [samples, time, *shape]."""
    model = TorchModel(Stepped(network))
    model.add_activation_module(snn.SpikingNeuron)
    truth = torch.zeros(len(messages)) if labels is None else torch.as_tensor(labels)
    data = TensorDataset(torch.from_numpy(messages.astype(np.float64)), truth)
    workload = [ClassificationAccuracy, ActivationSparsity, SynapticOperations]
    run = Benchmark(
        model,
        DataLoader(data, batch_size=len(messages)),
        [],
        [lambda out: out.sum(dim=1).argmax(dim=1)],
        [[Footprint, ParameterCount, ConnectionSparsity], workload],
    )
    with torch.no_grad():
        return run.run(quiet=True)


def check(network: Any, messages: np.ndarray) -> dict[str, Any]:
    """The same figures from counts and shapes alone."""
    low, high = min(0, int(messages.min())), max(1, int(messages.max()))
    program = lower(to_nir(network, 1e-4), input_ranges={"input": (low, high)})
    trace = emulate(program, {"input": messages}, "all", per_step=True)
    assert all(trace.messages[p.name].any() for p in program.populations if not p.is_readout)
    counts = count(program, trace.messages, len(messages), messages.shape[1])
    ours = footprint(network) | metrics(program, counts, {"input": messages}, trace.per_step, None)
    theirs = harness(network, messages)
    assert ours.keys() == theirs.keys()
    assert {n: x for n, x in ours.items() if n != "ClassificationAccuracy"} == {
        n: pytest.approx(x, rel=1e-12) if isinstance(x, float) else x
        for n, x in theirs.items()
        if n != "ClassificationAccuracy"
    }
    return ours | {"macs": baseline(program, counts)["operations"]["mac"]}


def weights(rng: np.random.Generator, *shape: int) -> Any:
    values = np.where(rng.random(shape) < 0.3, 0, 2 * rng.integers(-60, 90, shape))
    return torch.from_numpy(values.astype(np.float32))


def neurons(*shape: int, **registers: Any) -> ChipNeuron:
    return ChipNeuron(torch.zeros(shape), unit=1.0, **registers)


@pytest.mark.parametrize("seed", range(3))
def test_convolutions_pools_loops_and_dense_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = {
        "c1": ChipConv2d(weights(rng, 4, 2, 3, 3), 0, (1, 1), (1, 1)),
        "n1": neurons(4, 7, 9, dv=300, vth=200),
        "pool": ChipSumPool2d(4, (2, 2)),
        "n2": neurons(4, 3, 4, dv=300, vth=2),
        "down": ChipLinear(weights(rng, 20, 48), 0),
        "n3": neurons(20, dv=300, vth=100),
        "back": ChipLinear(weights(rng, 20, 20), 0),
        "fc": ChipLinear(weights(rng, 5, 20), 0),
        "out": neurons(5, kind="integrator"),
    }
    wires = (
        Wire("c1", "input", "n1"), Wire("pool", "n1", "n2"), Wire("down", "n2", "n3"),
        Wire("back", "n3", "n3", 1), Wire("fc", "n3", "out"),
    )  # fmt: skip
    if seed == 2:  # without the loop, whose first step meets nothing
        wires = tuple(w for w in wires if w.name != "back")
        del parts["back"]
    network = ChipNetwork({"input": (2, 7, 9)}, parts, wires, ("out",))
    messages = (rng.random((SAMPLES, STEPS, 2, 7, 9)) < 0.3).astype(np.int64)
    ours = check(network, messages)
    assert 0 < ours["ActivationSparsity"] < 1 and ours["SynapticOperations"]["Effective_MACs"] == 0
    assert (ours["SynapticOperations"]["Dense"] == ours["macs"]) == (seed == 2)


def test_the_adapter_and_a_step_whose_messages_are_all_binary() -> None:
    network = load_checkpoint("neuroclip-digits").chip_adapter.network
    rng = np.random.default_rng(0)
    messages = rng.integers(-15, 16, (SAMPLES, STEPS, 64))
    messages[rng.random(messages.shape) < 0.4] = 0
    messages[:, 2] = np.sign(messages[:, 2])
    found = check(network, messages)["SynapticOperations"]
    binary = np.count_nonzero(messages[:, 2]) * 32 / SAMPLES
    # The graded step counts as the harness has it: additions where all messages are −1, 0 or 1.
    assert found["Effective_ACs"] > binary * 0.9 and found["Effective_MACs"] > 0


def test_the_command_writes_what_the_harness_says(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    parts = {"fc": ChipLinear(weights(rng, 3, 4), 0), "out": neurons(3, kind="integrator")}
    network = ChipNetwork({"input": (4,)}, parts, (Wire("fc", "input", "out"),), ("out",))
    spikes = rng.integers(0, 2, (6, 5, 4))
    file = tmp_path / "bench.json"
    report = nc.export(
        network, spikes, rng.integers(0, 3, 6), out=tmp_path / "run", neurobench=file
    )
    written = json.loads(file.read_text())
    theirs = harness(network, spikes)
    assert written == report.json["neurobench"]
    assert written["ClassificationAccuracy"] == report.accuracy["emulator"]["value"]
    for name in theirs.keys() - {"ClassificationAccuracy"}:
        assert written[name] == pytest.approx(theirs[name]), name
    # What is there and is no such file is left alone, before any work.
    foreign = tmp_path / "mine.json"
    foreign.write_text("{}")
    for path in (foreign, tmp_path / "none" / "x.json"):
        with pytest.raises(BadInput, match="--neurobench"):
            nc.export(network, spikes, out=tmp_path / "run", neurobench=path)
    assert foreign.read_text() == "{}"


def test_graded_relays_are_refused_by_name() -> None:
    relay = ChipRelay((2,))
    with pytest.raises(BadInput, match="relays graded messages"):
        Stepped(torch.nn.Sequential(relay))
