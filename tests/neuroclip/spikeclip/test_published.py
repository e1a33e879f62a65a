"""SpikeCLIP as its authors' code has it: every difference from ours, recomputed here by itself."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("snntorch", "open_clip"):
    pytest.importorskip(package)

from PIL import Image
from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.clip.model import load_clip
from neuroclip.commands import main as cli
from neuroclip.commands.actions import spikeclip as commands
from neuroclip.spikeclip.checkpoint import load_spikeclip
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.model import _CLIP_DEVIATION, _CLIP_MEAN, SpikeClip, messages
from neuroclip.spikeclip.text import TextConfig, encode_labels, token_ids
from neuroclip.spikeclip.training.finetune_teacher import class_teacher
from neuroclip.spikeclip.training.pairs import Pairs
from neuroclip.spikeclip.training.recipe import SpikeRecipe, identified
from neuroclip.spikeclip.training.settings import read_settings
from neuroclip.spikeclip.training.steps import dual_loss
from neuroclip.spikeclip.training.teacher import TeacherConfig
from neuroclip.spikeclip.training.texts import text_encoder
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

LABELS = ("zero", "one", "two")
TEMPLATES = ("{}", "a {}", "the digit {}.")


@pytest.fixture
def settings(tmp_path):
    """Of a file that names the variant and sizes, and nothing else."""
    path = tmp_path / "paper.json"
    raw = {
        "model": {
            "variant": "paper", "image_size": 8, "channels": 1, "width": 8, "convolutions": 2,
            "halvings": 1, "blocks": 1, "heads": 2, "ratio": 1, "threshold": 0.1,
        },
        "recipe": {"epochs": 2, "finetune_epochs": 2, "text_epochs": 2, "batch": 20},
        "text": {"tokens": 16, "hidden": 8},
        "template": "a {}", "templates": ["{}", "the digit {}"],
    }  # fmt: skip
    path.write_text(json.dumps(raw))
    return path


def test_what_a_file_leaves_out_is_as_published(settings) -> None:
    read = read_settings(str(settings))
    assert (read.model.pixels, read.model.detached_reset) == ("clip", True)
    assert (read.text.norm, read.text.trained_embeddings) == (False, True)
    recipe = read.recipe
    assert recipe.temperature == 1 and recipe.summed_kl
    assert recipe.averaged_texts and recipe.own_texts and recipe.amsgrad and read.model.by_224
    assert (recipe.learning_rate, recipe.finetune_learning_rate) == (5e-3, 5e-4)
    ours = read_settings("digits")
    assert ours.recipe == replace(
        ours.recipe, summed_kl=False, averaged_texts=False, own_texts=False, amsgrad=False
    )
    assert ours.model.pixels == "messages" and not ours.model.detached_reset and ours.text.norm
    assert read_settings("digits-paper").model.variant == "paper"


def test_states_from_before_these_settings_go_on() -> None:
    """What came later is in the identity of a kept state only where it is used."""
    later = {
        "summed_kl", "averaged_texts", "own_texts", "amsgrad", "erase", "teacher_sees_views",
    }  # fmt: skip
    assert set(identified(SpikeRecipe())) == {f.name for f in fields(SpikeRecipe)} - later
    assert not {"pixels", "by_224", "detached_reset"} & set(identified(SpikeClipConfig()))
    assert not {"norm", "trained_embeddings", "detached_reset"} & set(identified(TextConfig()))
    used = identified(SpikeRecipe(summed_kl=True))
    assert used["summed_kl"] is True and "own_texts" not in used


def test_the_losses_are_the_authors() -> None:
    """Cosines are the logits; the cross-entropy is a batch's mean, KL its sum, without temperature."""
    torch.manual_seed(0)
    features, text = torch.randn(6, 5), torch.randn(4, 5)
    cosines = functional.normalize(features, dim=-1) @ functional.normalize(text, dim=-1).T
    labels, soft = torch.tensor([0, 1, 2, 3, 0, 1]), torch.randn(6, 4).softmax(-1)
    found = dual_loss(SpikeRecipe(temperature=1.0, summed_kl=True), cosines, labels, soft)
    p = np.exp(cosines.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    q = soft.double().numpy()
    expected = -np.log(p[np.arange(6), labels]).mean() + (q * (np.log(q) - np.log(p))).sum()
    assert float(found) == pytest.approx(expected, rel=1e-6)
    ours = dual_loss(SpikeRecipe(temperature=1.0), cosines, labels, soft)
    assert float(ours) == pytest.approx(
        -np.log(p[np.arange(6), labels]).mean() + (q * (np.log(q) - np.log(p))).sum() / 6, rel=1e-6
    )


@torch.no_grad()
def test_a_class_is_the_mean_over_templates_of_unit_vectors() -> None:
    torch.manual_seed(0)
    config = SpikeClipConfig(variant="paper", detached_reset=True, pixels="clip", features=64)
    encoder = text_encoder(load_clip(), 20, 16, config, norm=False, trained_embeddings=True)
    assert not any("norm" in name for name in encoder.state_dict())
    assert encoder.tokens.requires_grad and encoder.positions.requires_grad
    # log 0.1, 0.2, 0.4, 0.8, as the authors write it out.
    assert encoder.time.tolist() == pytest.approx([-2.3026, -1.6094, -0.9163, -0.2231], abs=1e-4)
    assert SpikeClip(config).time.tolist() == pytest.approx(encoder.time.tolist())
    encoder.tokens.mul_(200)
    encoder.first.weight.mul_(20)  # untrained, all would be silent
    found = encode_labels(encoder, LABELS, TEMPLATES)
    for row, label in zip(found, LABELS, strict=True):
        texts = encoder(token_ids(encoder.config, [t.format(label) for t in TEMPLATES]))
        assert torch.allclose(row, functional.normalize(texts, dim=-1).mean(dim=0), atol=1e-6)
    assert (found.norm(dim=-1) < 0.9999).any()  # not normalised again
    alone = encode_labels(encoder, LABELS, TEMPLATES[:1])
    assert torch.allclose(alone.norm(dim=-1), torch.ones(3))


def test_the_teacher_is_compared_with_the_students_texts() -> None:
    """And its probabilities are a softmax of the cosines themselves."""
    torch.manual_seed(0)
    features, text = functional.normalize(torch.randn(9, 64), dim=-1), torch.randn(3, 64) / 8
    pairs = Pairs(torch.zeros(9, 1, 8, 8), features, torch.arange(9) % 3, "")
    found = class_teacher(
        load_clip(), TeacherConfig(), SpikeRecipe(), None, pairs, pairs, text, 1.0
    ).probabilities
    assert torch.allclose(found, (features @ text.T).softmax(dim=-1))


def test_pixels_are_clips() -> None:
    images = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8).mul(7).remainder(256).to(torch.uint8)
    config = SpikeClipConfig(variant="paper", image_size=8, width=8, pixels="clip")
    clip_mean, clip_deviation = (
        np.array(v).reshape(3, 1, 1)
        for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    expected = (images.numpy() / 255 - clip_mean) / clip_deviation
    np.testing.assert_allclose(messages(config, images), expected, atol=1e-6)
    model = SpikeClip(config).eval()
    seen: list[torch.Tensor] = []
    model.encoder.tokenizer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(messages(config, images))
    np.testing.assert_allclose(seen[0][:, 0], expected, atol=1e-6)  # not divided once more


def test_it_trains_is_read_back_and_no_chip_holds_it(
    settings, tmp_path, refused, monkeypatch, capsys
) -> None:
    from export.commands import main as export_cli

    whole = commands.open_images

    def few(*arguments, **more):
        found = whole(*arguments, **more)
        if more.get("part"):
            return found
        return replace(found, train=found.train[:60], validation=found.validation[:30])

    monkeypatch.setattr(commands, "open_images", few)
    out = tmp_path / "run"
    base = ["train", "spikeclip", "--data", "digits", "--config", str(settings), "--out", str(out)]
    for stage in ("align", "finetune"):
        assert cli.main([*base, "--stage", stage]) == 0
    made = load_spikeclip(out)
    assert made.chip is None and made.templates == ("a {}", "{}", "the digit {}")
    start = text_encoder(load_clip(), 16, 8, made.model.config, False, True)
    assert not torch.equal(made.text_encoder.positions, start.positions)  # trained too
    expected = encode_labels(made.text_encoder, LABELS, made.templates)
    assert torch.equal(made.text(LABELS), expected)
    capsys.readouterr()
    assert cli.main(["evaluate", str(out), "--data", "digits"]) == 0
    assert "float" in capsys.readouterr().out
    what = ["q·kᵀ·v", "pools real values", "real-valued pixels", "'deployable'"]
    refused(export_cli.main, out, "--target", "emulator", "--out", tmp_path / "x", says=what)
    assert not Path(tmp_path / "x").exists()


@pytest.mark.parametrize("side", [32, 34, 500])
def test_images_reach_their_size_by_way_of_clips(side: int) -> None:
    """As Pillow and torch do the authors' two steps."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    large = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
    shown = torch.from_numpy(np.array(large)).permute(2, 0, 1)[None] / 255
    expected = functional.interpolate(shown, (32, 32), mode="bilinear", align_corners=False)
    config = SpikeClipConfig(variant="paper", pixels="clip", by_224=True)
    mean, deviation = (torch.tensor(v).reshape(3, 1, 1) for v in (_CLIP_MEAN, _CLIP_DEVIATION))
    given = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = messages(config, given) * deviation + mean
    # Pillow counts in integers: a value of 255 may be the next one.
    assert float((found - expected).abs().max()) <= 1.01 / 255
    assert float((found - expected).abs().mean()) < 0.1 / 255
    straight = messages(replace(config, by_224=False), given) * deviation + mean
    # Seven pixels for one, of which the middle one is taken, leave an image of 32 as it is.
    assert (float((straight - expected).abs().max()) < 1e-6) == (side == 32)


def test_steps_are_the_authors() -> None:
    """Adam with amsgrad at one rate an epoch, as torch's own schedule has it, and nothing is scaled down."""
    epochs, rate, lowest = 5, 0.2, 0.02
    x, y = torch.randn(1, 3) * 9, torch.randn(1)

    def module() -> torch.nn.Linear:
        torch.manual_seed(1)
        return torch.nn.Linear(3, 1)

    ours, theirs = module(), module()

    def loss_of(it: torch.nn.Linear) -> torch.Tensor:
        return (it(x).squeeze() - y).square().sum()

    stage = Stage("align", epochs, rate, 0.0, 1, 0, "")
    # The epoch kept is the best on validation: the last one.
    count = iter(range(99))
    fit(stage, ours, 1, lambda _: loss_of(ours), lambda: {"validation": next(count)}, Session(),
        lowest=lowest)  # fmt: skip
    optimizer = torch.optim.Adam(theirs.parameters(), lr=rate, amsgrad=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=lowest * rate)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss_of(theirs).backward()
        optimizer.step()
        schedule.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    with pytest.raises(BadInput, match="two optimizers"):
        SpikeRecipe(amsgrad=True, orthogonal_rate=0.1)
    with pytest.raises(BadInput, match="by_224"):
        SpikeClipConfig(by_224=True)
