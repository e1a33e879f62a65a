"""Spikingformer of the paper's shape, small and as large, from random weights to one image."""

import resource

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.emulate.fast import emulate_fast
from deploy.errors import CheckFailed
from deploy.hardware.chip import load_chip
from deploy.map.partition import partition, require_fit
from deploy.map.validate import validate
from deploy.program.residual_stream import as_stream
from deploy.prove.proof import prove
from export.lowering.exact import lower
from export.nir_format.write.module import to_nir
from export.run.torch_run import run_torch
from neuroclip.chip.network import INPUT
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import SpikeClip, messages, quantized_model, repeated

# Five convolutions that halve twice, four blocks, an MLP four times as wide, as the paper's.
SMALL = SpikeClipConfig(image_size=16, width=16, heads=2, features=32)
FULL = SpikeClipConfig(sum_factor=8)


@torch.no_grad()
def random_model(make_encoder, config):
    """(the chip's model, pixels of one image at every step)."""
    model = SpikeClip(config)
    model.encoder = make_encoder(config, 0)
    text = torch.nn.functional.normalize(torch.randn(10, config.features), dim=1)
    size = (1, config.channels, config.image_size, config.image_size)
    image = torch.randint(0, 256, size, generator=torch.Generator().manual_seed(0))
    sent = repeated(config, messages(config, image.to(torch.uint8)))
    return quantized_model(model.eval(), text).eval(), sent.numpy().astype(np.int16)


def lowered(chip, config, skips):
    wiring = chip.wiring()
    graph = to_nir(wiring.network(("readout",)))
    program = lower(graph, input_ranges={INPUT: (0, config.message_max)})
    return as_stream(program, wiring.readers) if skips == "stream" else program


def on_a_chip(program, sent, system, steps):
    """Proof, mapping without a violation, and one image; returns the mapping and the trace."""
    proof = prove(program, steps)
    assert proof.edges.keys() == {p.name for p in program.populations}
    mapping = partition(program, load_chip(system))
    assert validate(program, load_chip(system), mapping) == []
    return mapping, emulate_fast(program, {INPUT: sent})


@pytest.mark.parametrize("skips", ["fan-in", "stream"])
def test_a_small_one_of_the_same_shape(make_encoder, skips):
    chip, sent = random_model(make_encoder, SMALL)
    program = lowered(chip, SMALL, skips)
    mapping, trace = on_a_chip(program, sent, "loihi2", SMALL.steps)
    assert len(mapping.cores) < 60
    expected = run_torch(chip.network(skips), {INPUT: sent})
    for quantity in ("s", "u", "v"):
        for name, values in getattr(expected, quantity).items():
            assert np.array_equal(values, getattr(trace, quantity)[name]), (quantity, name)
    rates = {n: float((s != 0).mean()) for n, s in trace.s.items() if n != "readout"}
    assert all(rate > 0 for rate in rates.values()), rates


@pytest.mark.long
@pytest.mark.parametrize("skips", ["stream", "fan-in"])
def test_spikingformer_4_384(make_encoder, skips):
    chip, sent = random_model(make_encoder, FULL)
    program = lowered(chip, FULL, skips)
    neurons = sum(p.size for p in program.populations)
    relays = 9 * 384 * 64 if skips == "stream" else 0
    assert neurons == 1_328_800 + relays
    # Of one Loihi 2 its neurons are too many, of a board of 8 the cores that its synapses need.
    for system in ("loihi2", "kapoho-point"):
        with pytest.raises(CheckFailed, match=f"cores exceed the .* of '{system}'"):
            require_fit(program, load_chip(system))
    mapping, trace = on_a_chip(program, sent, "hala-point", FULL.steps)
    # Which of the two needs how many is in the README; a change by a few is none.
    low, high = (1_000, 2_400) if skips == "stream" else (40_000, 90_000)
    assert low < len(mapping.cores) < high
    expected = run_torch(chip.network(skips), {INPUT: sent}, "spikes")
    for name, values in expected.s.items():
        assert np.array_equal(values, trace.s[name]), name
    assert np.array_equal(expected.readout["readout"], trace.readout["readout"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 24 * 2**20
