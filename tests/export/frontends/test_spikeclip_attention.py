"""Spike-driven attention and a whole encoder block with its skips: torch = emulator = Lava."""

import nir
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.compare.parity import compare
from deploy.emulate.reference import emulate
from deploy.errors import BadInput
from deploy.program.program import registers
from deploy.program.residual_stream import as_stream
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from export.nir_format.write.program import program_graph
from export.run.torch_run import run_torch, torch_registers
from neuroclip.chip.network import INPUT
from neuroclip.chip.synapses import ChipConv2d
from neuroclip.spikeclip.chip import quantized
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import PaperAttention, float_attention
from neuroclip.spikeclip.wiring import (
    Wiring,
    start_stream,
    wire_attention,
    wire_block,
    wire_reader,
)

SMALL = SpikeClipConfig(
    image_size=8, channels=2, width=8, convolutions=2, halvings=1, blocks=2, heads=2, ratio=2,
    steps=4, features=6,
)  # fmt: skip


@pytest.fixture(scope="module", params=[0, 1])
def encoder(request, make_encoder):
    chip, _ = quantized(SMALL, make_encoder(SMALL, request.param))
    return chip


def attention_network(encoder):
    """The attention of a block alone, on spikes [8, 4, 4]."""
    wiring = Wiring((8, 4, 4))
    return wiring.network((wire_attention(wiring, "block", encoder.blocks[0].attention, INPUT),))


def block_wiring(encoder, skips="fan-in"):
    """The second block between spikes that drive the stream and neurons that read it."""
    wiring = Wiring((8, 4, 4), skips)
    stream = start_stream(("tokens", INPUT, encoder.tokenizer.synapses[-1]))
    wire_block(wiring, "block", encoder.blocks[1], stream)
    wire_reader(wiring, "last", encoder.last, stream)
    return wiring


def block_network(encoder):
    return block_wiring(encoder).network(("last",))


NETWORKS = {"attention": attention_network, "block": block_network}


def spikes(network, seed=3, samples=4, steps=6):
    rng = np.random.default_rng(seed)
    return {INPUT: (rng.random((samples, steps, *network.inputs[INPUT])) < 0.4).astype(np.int8)}


def lowered(network):
    graph = to_nir(network)
    for node in graph.nodes.values():
        node.metadata = {}
    return graph, lower(graph)


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_is_the_emulator(encoder, name):
    network = NETWORKS[name](encoder)
    graph, program = lowered(network)
    inputs = spikes(network)
    trace = emulate(program, inputs)
    parity = compare(
        "torch", torch_registers(network), run_torch(network, inputs), "emulator",
        registers(program), trace,
    )  # fmt: skip
    assert parity.ok, parity.describe()
    # Silence, or neurons that always fire, would prove nothing.
    rates = {name: float(s.mean()) for name, s in trace.s.items()}
    assert all(0.01 < rate < 0.99 for rate in rates.values()), rates
    standard = {nir.Input, nir.Output, nir.LIF, nir.Conv2d}
    assert {type(node) for node in graph.nodes.values()} <= standard


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_emulator_is_lava(encoder, name):
    from export.targets.lava.client import run_lava

    network = NETWORKS[name](encoder)
    _, program = lowered(network)
    inputs = spikes(network, samples=2)
    expected, run = emulate(program, inputs), run_lava(program, inputs, progress=False)
    parity = compare("emulator", registers(program), expected, "lava", run.registers, run.trace)
    assert parity.ok, parity.describe()


def stream_of(encoder):
    """(torch network, program, the fan-in's program) of the block with its skips as a stream."""
    wiring = block_wiring(encoder)
    _, fan_in = lowered(wiring.network(("last",)))
    network = block_wiring(encoder, "stream").network(("last",))
    return network, as_stream(fan_in, wiring.readers), fan_in


def test_a_stream_is_the_fan_in_and_torch_is_the_emulator(encoder):
    network, program, fan_in = stream_of(encoder)
    inputs = spikes(network)
    trace, expected = emulate(program, inputs), emulate(fan_in, inputs)
    parity = compare(
        "torch", torch_registers(network), run_torch(network, inputs), "emulator",
        registers(program), trace,
    )  # fmt: skip
    assert parity.ok, parity.describe()
    for quantity in ("s", "u", "v"):
        for name, values in getattr(expected, quantity).items():
            assert np.array_equal(values, getattr(trace, quantity)[name]), (quantity, name)
    assert {"stream1", "stream2", "stream3"} == set(trace.s) - set(expected.s)
    assert all(np.abs(trace.s[f"stream{i}"]).max() > 1 for i in (1, 2, 3))
    # Every branch once, where the fan-in has six synapses for its three branches.
    assert len(program.connections) == len(fan_in.connections) - 6 + 3 + 2 + 3
    messages = run_torch(network, inputs).messages
    assert all(np.array_equal(messages[name], n) for name, n in trace.messages.items())


@pytest.mark.usefixtures("lava")
def test_a_stream_on_lava(encoder):
    from export.targets.lava.client import run_lava

    network, program, _ = stream_of(encoder)
    inputs = spikes(network, samples=2)
    expected, run = emulate(program, inputs), run_lava(program, inputs, progress=False)
    parity = compare("emulator", registers(program), expected, "lava", run.registers, run.trace)
    assert parity.ok, parity.describe()
    assert "stream3" in run.trace.s


def test_a_stream_is_not_in_nir(encoder):
    network, program, _ = stream_of(encoder)
    with pytest.raises(BadInput, match="module 'stream1': NIR has no neurons that relay"):
        to_nir(network)
    with pytest.raises(BadInput, match="node 'stream1': NIR has no neurons that compute a graded"):
        program_graph(program)


def test_other_attention_is_refused_by_name():
    wiring = Wiring((8, 4, 4))
    with pytest.raises(BadInput, match=r"module 'block': PaperAttention .* q·kᵀ·v"):
        wire_attention(wiring, "block", PaperAttention(SMALL), INPUT)
    with pytest.raises(BadInput, match="module 'r': FloatNeuron is in floating point"):
        stream = start_stream(("tokens", INPUT, torch.nn.Identity()))
        wire_reader(Wiring((8, 4, 4), "stream"), "r", float_attention(SMALL).fires, stream)
    with pytest.raises(BadInput, match="module 'block_q': FloatNeuron is in floating point"):
        wire_attention(wiring, "block", float_attention(SMALL), INPUT)


def test_and_fires_where_both_do(encoder):
    network = attention_network(encoder)
    inputs = spikes(network)
    s = run_torch(network, inputs).s
    assert np.array_equal(s["block_kv"], s["block_k"] & s["block_v"])
    assert np.array_equal(s["block_mask"], s["block_q"] & s["block_sum"])
    ones = [m for m in network.modules() if isinstance(m, ChipConv2d) and m.groups == 8]
    assert all((m.integer_weight() == 2).all() for m in ones)
