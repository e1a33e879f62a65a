"""SpikeCLIP's encoder: the paper's sizes, the chip's modules, and the network wired from them."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from neuroclip.chip.neurons import ChipNeuron, recorded, run
from neuroclip.chip.synapses import ChipConv2d
from neuroclip.spikeclip.chip import quantized
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import PaperAttention, float_encoder, neurons
from neuroclip.spikeclip.wiring import encoder_wiring

SMALL = SpikeClipConfig(
    image_size=8, channels=2, width=8, convolutions=3, halvings=1, blocks=2, heads=2, ratio=2,
    steps=4, features=6, message_max=15,
)  # fmt: skip


def pixels(config, samples=5, seed=1):
    size = (config.channels, config.image_size, config.image_size)
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, config.message_max + 1, (samples, 1, *size), generator=generator)
    return image.float().expand(-1, config.steps, -1, -1, -1)


@pytest.mark.parametrize("variant", ["paper", "deployable"])
def test_the_papers_sizes(variant):
    config = SpikeClipConfig(variant=variant)
    assert config.tokenizer_channels == (48, 96, 192, 384, 384) and config.side == 8
    count = sum(p.numel() for p in float_encoder(config).parameters())
    # 9.5 M with the projection of 384 → 512.
    assert 9.2e6 < count + 384 * 512 < 9.7e6


def test_a_neuron_is_the_papers():
    """v ← v + (x − v)/2, a spike at v ≥ 1, exactly 1 included."""
    x = torch.tensor([1.0, 1.5, 2.0, 0.0, 1.999])[None, :, None]
    v, spikes = 0.0, []
    for value in x.flatten().tolist():
        v += (value - v) / 2
        spikes.append(float(v >= 1))
        v = 0.0 if v >= 1 else v
    assert run(neurons(1.0), x).flatten().tolist() == spikes == [0.0, 1.0, 1.0, 0.0, 0.0]


def test_the_papers_attention_is_its_formula(make_encoder):
    config = replace(SMALL, variant="paper", attention_threshold=0.06)
    attention = make_encoder(config, 0).blocks[0].attention
    assert isinstance(attention, PaperAttention)
    x = (torch.rand(2, 3, 8, 4, 4) < 0.5).float()
    seen = {}
    for name in ("fires_q", "fires_k", "fires_v"):
        module = getattr(attention, name)
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    out = run(attention, x)
    # As the paper writes it: tokens × tokens, per head.
    q, k, v = (seen[f"fires_{n}"].reshape(2, 3, 2, 4, 16).transpose(-1, -2) for n in "qkv")
    scores = q @ k.transpose(-1, -2) @ v * 0.125
    expected = run(neurons(0.06), scores.transpose(-1, -2).reshape(2, 3, 8, 4, 4))
    assert torch.equal(out, expected) and 0 < out.mean() < 1


@pytest.mark.parametrize("skips", ["fan-in", "stream"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_is_the_modules(make_encoder, seed, skips):
    chip, _ = quantized(SMALL, make_encoder(SMALL, seed))
    side = SMALL.side
    synapses = ChipConv2d(torch.randn(3, 8, side, side), 4)
    integrators = ChipNeuron(torch.zeros(3, 1, 1), unit=64 * 16, kind="integrator", dv=1024)
    wiring = encoder_wiring(chip, (2, 8, 8), (synapses, integrators), skips)
    network = wiring.network(("readout",))
    sent = pixels(SMALL)
    with torch.no_grad():
        spikes = run(chip, sent)
        expected = run(integrators, synapses(spikes))
        assert torch.equal(recorded(network, sent)["last"][2].float(), spikes)
        assert torch.equal(run(network, sent), expected)
    assert 0.02 < spikes.mean() < 0.98


def test_the_chip_is_nearly_the_float_model(make_encoder):
    """Folding is exact and rounding fine; differences grow through the layers, so each is judged
    on what the float model's layer before it sends, and the whole against other images."""
    encoder = make_encoder(SMALL, 2)
    chip, _ = quantized(SMALL, encoder)
    sent = pixels(SMALL, samples=16)
    x, y = sent / SMALL.message_max, sent
    with torch.no_grad():
        for i, fires in enumerate(encoder.tokenizer.fires):
            a = run(fires, encoder.tokenizer.synapses[i](x))
            b = run(chip.tokenizer.fires[i], chip.tokenizer.synapses[i](y))
            assert (a != b).float().mean() < 0.02 < a.mean()
            x = y = a
        x = (torch.rand(16, 4, 8, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.7).float()
        a, b = (
            run(e.blocks[0].attention.fires_q, e.blocks[0].attention.q(x)) for e in (encoder, chip)
        )
        assert (a != b).float().mean() < 0.02 < a.mean()
        a, b = run(encoder, sent / SMALL.message_max), run(chip, sent)
    assert (a != b).float().mean() < 0.5 * (a != b.roll(1, 0)).float().mean()


def test_sums_stay_within_the_portable_range(make_encoder):
    """Every reader of the stream together with all its branches, after training moved weights."""
    chip, _ = quantized(SMALL, make_encoder(SMALL, 3))
    from neuroclip.spikeclip.chip import constrain_, layers

    with torch.no_grad():
        for module in chip.modules():
            if isinstance(module, ChipConv2d) and module.weight.requires_grad:
                module.weight.mul_(1000)
    constrain_(SMALL, chip)
    total = 0.0
    for layer in layers(SMALL):
        rows = chip.get_submodule(layer.synapses).integer_weight().abs().flatten(1).sum(1).max()
        if layer.stream == layers(SMALL)[-1].stream:
            total += float(rows)
        elif layer.synapses == "tokenizer.synapses.0":
            assert rows * SMALL.message_max <= SYNAPTIC_SUM_MAX
        else:
            assert rows <= SYNAPTIC_SUM_MAX
    assert 0 < total <= SYNAPTIC_SUM_MAX


def test_the_papers_variant_is_refused_by_name(make_encoder):
    config = replace(SMALL, variant="paper")
    with pytest.raises(BadInput, match=r"'blocks\.0\.attention' multiplies .* q·kᵀ·v"):
        quantized(config, make_encoder(config, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width 0"),
        ({"width": 12, "heads": 8}, "width 12 is no multiple"),
        ({"image_size": 9}, "image_size 9 is no multiple of 2"),
        ({"halvings": 3}, "3 halvings"),
        ({"time_ratio": 0.0}, "time_ratio 0.0"),
        ({"message_max": 256}, "message_max 256"),
        ({"variant": "other"}, "variant 'other'"),
        ({"threshold": -1.0}, "threshold -1.0"),
    ],
)
def test_sizes_are_checked(change, message):
    with pytest.raises(BadInput, match=message):
        replace(SMALL, **change)


def test_weights_that_round_to_nothing_are_refused_by_name():
    """At the paper's width the proof of every sum leaves 8-bit weights no room."""
    config = SpikeClipConfig(blocks=4)
    encoder = float_encoder(config).eval()
    with pytest.raises(BadInput, match=r"layer '.*': that no sum .* larger sum_factor"):
        quantized(config, encoder)
    chip, _ = quantized(replace(config, sum_factor=8), encoder)
    assert float(chip.blocks[3].contract.integer_weight().abs().max()) >= 8
