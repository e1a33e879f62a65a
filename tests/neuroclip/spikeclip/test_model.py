"""SpikeCLIP's two sides together: read-out, labels, text encoder, and what a checkpoint keeps."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)

from safetensors.torch import load_file, save_file

from deploy.errors import BadInput
from deploy.program.program import VTH_MAX
from neuroclip.chip.neurons import recorded, run
from neuroclip.clip.model import load_clip
from neuroclip.data.images.vocabulary import expanded, replaced
from neuroclip.spikeclip.checkpoint import (
    SpikeCheckpoint,
    load_spikeclip,
    save_spikeclip,
)
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import (
    SpikeClip,
    chip_in_steps,
    firing_rates,
    in_steps,
    messages,
    quantized_model,
    readout_sum_max,
    relabelled,
    repeated,
)
from neuroclip.spikeclip.text import encode_labels, token_ids
from neuroclip.spikeclip.training.texts import teacher_text, text_encoder
from neuroclip.storage.checkpoint_files import SPIKECLIP, format_of

SMALL = SpikeClipConfig(
    image_size=8, channels=1, width=8, convolutions=3, halvings=1, blocks=1, heads=2, ratio=2,
    steps=4, features=64,
)  # fmt: skip
LABELS = ("zero", "one", "two")


@pytest.fixture(scope="module")
def checkpoint(make_encoder):
    torch.manual_seed(0)
    model = SpikeClip(SMALL)
    model.encoder = make_encoder(SMALL, 4)
    encoder = text_encoder(load_clip(), 12, 16, SMALL)
    with torch.no_grad():
        encoder.first.weight.mul_(20)  # untrained, its hidden neurons would be silent
    text = encode_labels(encoder, LABELS, ["a {}"])
    chip = quantized_model(model.eval(), text).eval()
    return SpikeCheckpoint(
        model, encoder.eval(), chip, LABELS, "a {}", {"digest": "x"}, {"data": "none"}
    )


@pytest.fixture(scope="module")
def sent():
    images = torch.randint(0, 256, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    return messages(SMALL, images.to(torch.uint8))


def test_messages_are_few_bits_of_any_size():
    images = torch.full((2, 1, 20, 20), 255, dtype=torch.uint8)
    images[1] = 128
    made = messages(SMALL, images)
    assert made.shape == (2, 1, 8, 8)
    assert made[0].unique().tolist() == [15] and made[1].unique().tolist() == [8]


@torch.no_grad()
def test_the_network_is_the_model(checkpoint, sent):
    """The whole encoder and its read-out as populations give the potentials of the modules."""
    chip = checkpoint.chip
    network = chip.network()
    v = recorded(network, repeated(SMALL, sent))["readout"][1][:, -1]
    assert torch.equal(v.sum(dim=(-2, -1)) / chip.integrators.unit, chip(sent).double())
    # Cosines have the same order: the length of an image's features is the same for every label.
    assert torch.equal(chip.scores(sent).argmax(1), chip(sent).argmax(1))
    assert chip.scores(sent).abs().max() <= 1.02


@torch.no_grad()
def test_the_leak_is_the_geometric_sequence(checkpoint, sent):
    """The integrators hold Σ ratio^(T−1−t)·W·s_t, up to one unit of truncation at each step."""
    chip = checkpoint.chip
    spikes = run(chip.encoder, sent[:, None])
    sums = chip.readout(spikes).double()
    weights = SMALL.time_ratio ** torch.arange(3, -1, -1.0, dtype=torch.float64)
    expected = 64 * torch.einsum("t,ntkhw->nkhw", weights, sums)
    assert (run(chip.integrators, sums)[:, -1] - expected).abs().max() <= SMALL.steps
    assert spikes.mean() > 0.02


@torch.no_grad()
def test_fewer_or_more_steps_of_the_same_model(checkpoint, sent):
    """Its own number changes nothing; another one is the network shown the image so many times."""
    chip, model = checkpoint.chip, checkpoint.model
    assert torch.equal(chip_in_steps(chip, SMALL.steps)(sent), chip(sent))
    assert torch.equal(in_steps(model, SMALL.steps)(sent), model(sent))
    for steps in (1, 7):
        other = chip_in_steps(chip, steps)
        v = recorded(other.network(), repeated(other.config, sent))["readout"][1]
        assert v.shape[1] == steps
        assert torch.equal(
            v[:, -1].sum(dim=(-2, -1)) / other.integrators.unit, other(sent).double()
        )
        assert float(in_steps(model, steps).time.sum()) == pytest.approx(1)
    with pytest.raises(BadInput, match="weights for 4 steps"):
        in_steps(SpikeClip(replace(SMALL, variant="paper")), 2)


def test_an_integrator_never_reaches_its_threshold():
    for ratio in (0.25, 0.75, 1.0):
        config = replace(SMALL, time_ratio=ratio)
        worst = readout_sum_max(config) * sum(ratio**t for t in range(config.steps))
        assert worst <= VTH_MAX


def test_large_models_have_integrators_for_patches():
    config = SpikeClipConfig()
    assert (config.side, config.patch) == (8, 2) and SMALL.patch == SMALL.side == 4


@torch.no_grad()
def test_labels_exchange_the_last_layer_alone(checkpoint, sent):
    chip = checkpoint.chip
    labels = ("seven", "zero")
    other = relabelled(chip, checkpoint.text(labels))
    for name, tensor in chip.encoder.state_dict().items():
        assert torch.equal(other.encoder.state_dict()[name], tensor), name
    assert other(sent).shape == (6, 2)
    # A label keeps its scores, up to the rounding of the weights.
    assert torch.allclose(other.scores(sent)[:, 1], chip.scores(sent)[:, 0], atol=0.03)


def test_text_is_read_whole_or_refused(checkpoint):
    encoder = checkpoint.text_encoder
    with pytest.raises(BadInput, match="text 'eleven bytes' has 12 bytes"):
        token_ids(encoder.config, ["eleven bytes"])
    with pytest.raises(BadInput, match="label 1 is empty"):
        encode_labels(encoder, ["a", " "], ["{}"])
    text = encode_labels(encoder, ["one", "(9 KWQZ)"], ["{}"])
    assert torch.allclose(text.norm(dim=1), torch.ones(2)) and not torch.equal(text[0], text[1])


def test_text_embeddings_are_the_teachers(checkpoint):
    clip = load_clip()
    assert torch.equal(checkpoint.text_encoder.tokens, clip.module.token_embedding.weight)
    assert checkpoint.text_encoder.config.features == teacher_text(clip, ["a"]).shape[1]


def test_rates_of_every_layer(checkpoint, sent):
    with firing_rates(checkpoint.chip) as rates:
        checkpoint.chip(sent)
    assert set(rates) == {
        *(f"encoder.tokenizer.fires.{i}" for i in range(2)),
        *(f"encoder.blocks.0.{x}" for x in ("enter", "middle", "hidden")),
        *(f"encoder.blocks.0.attention.fires{x}" for x in ("", "_q", "_k", "_v")),
        "encoder.last",
    }
    assert all(0 < rate < 1 and rate.requires_grad for rate in rates.values())
    checkpoint.chip(sent)
    assert len(rates) == 10


def test_gradients_reach_every_parameter(checkpoint, sent):
    for model in (checkpoint.model, checkpoint.chip):
        model.zero_grad()
        text = encode_labels(checkpoint.text_encoder, LABELS, ["a {}"])
        scores = model.scores(sent, text) if model is checkpoint.model else model.scores(sent)
        scores.square().sum().backward()
        lost = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not lost


def test_zero_shot_protocols():
    labels = ("ship", "horse")
    assert replaced(labels, "horse=zebra, ship=boat") == ("boat", "zebra")
    assert expanded(labels, "a, b") == ("ship", "horse", "a", "b")
    for make, text in ((replaced, "cow=zebra"), (replaced, "ship=horse"), (expanded, "ship")):
        with pytest.raises(BadInput):
            make(labels, text)


@torch.no_grad()
def test_a_checkpoint_comes_back_equal(checkpoint, sent, tmp_path):
    save_spikeclip(tmp_path, checkpoint)
    assert format_of(tmp_path) == SPIKECLIP
    again = load_spikeclip(tmp_path)
    assert torch.equal(again.chip(sent), checkpoint.chip(sent))
    assert again.labels == LABELS and again.training == {"data": "none"}
    # Matrices come back as float16 holds them, all else, and all of it the next time, as it was.
    for one, other in (
        (checkpoint.model, again.model), (checkpoint.text_encoder, again.text_encoder),
    ):  # fmt: skip
        held = other.state_dict()
        for name, x in one.state_dict().items():
            kept = x.to(torch.float16) if x.ndim > 1 else x
            assert torch.equal(held[name], kept.to(x.dtype)), name
    save_spikeclip(tmp_path / "again", again)
    for file in ("float", "text", "chip"):
        a, b = (folder / f"{file}.safetensors" for folder in (tmp_path, tmp_path / "again"))
        assert a.read_bytes() == b.read_bytes()
    stored = load_file(tmp_path / "chip.safetensors")
    assert stored["encoder/tokenizer.synapses.0.weight"].dtype == torch.int8


@torch.no_grad()
def test_a_checkpoint_of_version_1_is_read(checkpoint, sent, tmp_path):
    """All of it in float32, no shares, no depths, as `spikeclip-digits` was written."""
    save_spikeclip(tmp_path, checkpoint)
    save_file(dict(checkpoint.model.state_dict()), tmp_path / "float.safetensors")
    weights = {f"encoder/{n}": x.detach() for n, x in checkpoint.chip.encoder.named_parameters()
               if x.requires_grad}  # fmt: skip
    weights["projection"] = checkpoint.chip.readout.weight.detach()
    save_file(weights, tmp_path / "chip.safetensors")
    raw = json.loads((tmp_path / "config.json").read_text())
    raw["version"] = 1
    del raw["shares"], raw["templates"], raw["model"]["depths"]
    for key in ("pixels", "by_224", "detached_reset"):
        del raw["model"][key]
    for key in ("norm", "trained_embeddings", "detached_reset"):
        del raw["text"][key]
    (tmp_path / "config.json").write_text(json.dumps(raw))
    again = load_spikeclip(tmp_path)
    assert torch.equal(again.chip(sent), checkpoint.chip(sent))
    assert torch.equal(again.model(sent), checkpoint.model(sent))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "variant"), "paper", "unknown tensor|is missing|has shape"),
        (("model", "width"), 16, "has shape"),
        (("model", "steps"), "4", "key 'model.steps' is \"4\""),
        (("text", "features"), 32, "differ"),
        (("scales", "last"), 99, "key 'scales.last' is 99"),
        (("scales", "odd"), 1, "key 'scales.odd' is unknown"),
        (("labels",), "a", "key 'labels'"),
        (("version",), 3, "not a spikeclip configuration of version 1 or 2"),
    ],
)
def test_a_damaged_checkpoint_is_refused(checkpoint, tmp_path, path, value, message):
    save_spikeclip(tmp_path, checkpoint)
    file = tmp_path / "config.json"
    raw = json.loads(file.read_text())
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match=message) as refused:
        load_spikeclip(tmp_path)
    assert str(tmp_path) in str(refused.value)
