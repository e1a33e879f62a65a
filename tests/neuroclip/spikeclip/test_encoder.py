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


@pytest.mark.parametrize("variant", ["paper", "paper-attention"])
def test_the_papers_attention_is_its_formula(make_encoder, variant):
    config = replace(SMALL, variant=variant, attention_threshold=0.06)
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


# Stages that begin at the image's size, or at half of it; each with a stream, or one without.
STAGES = replace(SMALL, convolutions=4, halvings=1, depths=(1, 1))
HALVED = replace(SMALL, convolutions=4, halvings=2, depths=(0, 2), blocks=1)


def test_the_papers_attention_alone_stands_in_the_deployable_encoder(make_encoder):
    """Stages and all: but for the attention every module is the deployable variant's."""
    other, own = (
        make_encoder(replace(STAGES, variant=v), 0) for v in ("paper-attention", "deployable")
    )
    kinds = [
        {name: type(m) for name, m in e.named_modules() if "attention" not in name}
        for e in (other, own)
    ]
    assert kinds[0] == kinds[1] and other.last is not None
    assert all(isinstance(block.attention, PaperAttention) for block in other.blocks)
    with pytest.raises(BadInput, match=r"'blocks.0.attention' multiplies.*no synapse does; train"):
        quantized(replace(STAGES, variant="paper-attention"), other)


@pytest.mark.parametrize("skips", ["fan-in", "stream"])
@pytest.mark.parametrize("config", [SMALL, STAGES, HALVED])
def test_the_network_is_the_modules(make_encoder, config, skips):
    chip, _ = quantized(config, make_encoder(config, config.halvings))
    side = config.side
    synapses = ChipConv2d(torch.randn(3, 8, side, side), 4)
    integrators = ChipNeuron(torch.zeros(3, 1, 1), unit=64 * 16, kind="integrator", dv=1024)
    wiring = encoder_wiring(chip, (2, 8, 8), (synapses, integrators), skips)
    network = wiring.network(("readout",))
    sent = pixels(config)
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


@pytest.mark.parametrize("config", [SMALL, STAGES, HALVED])
def test_sums_stay_within_the_portable_range(make_encoder, config):
    """Every reader of a stream together with all its branches, after training moved weights."""
    chip, _ = quantized(config, make_encoder(config, 3))
    from neuroclip.spikeclip.chip import constrain_, layers

    with torch.no_grad():
        for module in chip.modules():
            if isinstance(module, ChipConv2d) and module.weight.requires_grad:
                module.weight.mul_(1000)
    constrain_(config, chip)
    totals = {}
    for layer in layers(config):
        rows = chip.get_submodule(layer.synapses).integer_weight().abs().flatten(1).sum(1).max()
        sent = config.message_max if layer.synapses == "tokenizer.synapses.0" else 1
        totals[layer.stream] = totals.get(layer.stream, 0.0) + float(rows) * sent
    assert all(0 < total <= SYNAPTIC_SUM_MAX for total in totals.values())


def test_stages_add_to_streams_of_their_own():
    """Twice as wide and half as long from stage to stage; what begins one adds to none."""
    config = SpikeClipConfig(width=64, convolutions=6, halvings=2, depths=(0, 1, 2))
    assert config.tokenizer_channels == (16, 32, 32, 64, 64, 64) and config.side == 8
    assert [config.strides(i) for i in range(6)] == [False, True, False, True, False, False]
    assert [config.adds(i) for i in range(6)] == [False, False, True, False, True, True]
    early = replace(config, halvings=3)
    assert early.strides(0) and early.side == 4


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
        ({"depths": (1, 1)}, "convolutions 3, those of depths"),
        ({"depths": (0, 1), "halvings": 3}, "2 stages .* halve 1 or 2 times"),
        ({"depths": (0, -1)}, "up to 8 of 0 to 64"),
        ({"depths": (0, 1), "variant": "paper"}, "not of the variant 'paper'"),
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


def test_a_layers_power_of_two_moves_its_weights_least(make_encoder):
    """A few large weights among many small ones are clipped; without them, none is."""
    encoder = make_encoder(SMALL, 4)
    with torch.no_grad():
        encoder.blocks[0].expand.conv.weight.mul_(0.1)
        encoder.blocks[0].expand.conv.weight[0, 0] = 0.5
    config = replace(SMALL, sum_factor=32)
    chip, scales = quantized(config, encoder)
    synapses = chip.blocks[0].expand
    weight, _ = encoder.blocks[0].expand.folded()
    errors = []
    for exponent in range(scales["blocks.0.expand"] - 3, scales["blocks.0.expand"] + 4):
        synapses.exponent = exponent
        made = synapses.integer_weight() * 2.0**-exponent
        errors.append(float((made - weight).square().sum()))
    assert errors[3] == min(errors)
