"""The methods beside the spiking adapter, on features whose right answer is known."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch.nn import functional

from neuroclip.adapter.baselines import (
    ClipAdapter,
    ClipAdapterConfig,
    learned_time_weights,
    linear_probe,
    tip_adapter,
)

CLASSES, WIDTH, STEPS = 4, 12, 5


def task(noise: float, per_class: int, seed: int):
    """Unit features [N, T, C] around class centres that text does not know, and their labels."""
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    noise = noise * torch.randn(len(labels), STEPS, WIDTH, generator=generator)
    return functional.normalize(centres[labels][:, None] + noise, dim=-1), labels


@pytest.fixture
def text():
    return functional.normalize(
        torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(7)), dim=-1
    )


def right(scores, labels) -> float:
    return float((scores.argmax(dim=1) == labels).double().mean())


def test_probe_and_cache_learn_what_text_does_not_know(text) -> None:
    train, validation, test = task(0.5, 8, 0), task(0.5, 4, 1), task(0.5, 25, 2)
    zero_shot = right(test[0].mean(dim=1) @ text.T, test[1])
    probe = linear_probe(*train, *validation, test[0])
    tip = tip_adapter(*train, *validation, test[0], text, temperature=10.0)
    assert probe.shape == tip.shape == (100, CLASSES)
    assert right(probe, test[1]) > 0.95 > 0.7 > zero_shot
    assert right(tip, test[1]) > 0.95


def test_the_cache_is_the_published_formula(text) -> None:
    """With one pair to choose from nothing is left open: every score by hand."""
    train, test = task(0.3, 2, 3), task(0.3, 3, 4)
    found = tip_adapter(*train, *train, test[0], text, temperature=10.0)
    keys = functional.normalize(train[0].mean(dim=1), dim=-1)
    x = functional.normalize(test[0].mean(dim=1), dim=-1)
    candidates = [
        10.0 * x @ text.T
        + a * torch.exp(-b * (1 - x @ keys.T)) @ functional.one_hot(train[1], CLASSES).float()
        for a in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
        for b in (0.5, 1.0, 2.0, 3.5, 5.5, 8.0)
    ]
    assert any(torch.allclose(found, c) for c in candidates)


def test_time_weights_find_the_step_that_tells(text) -> None:
    """Only the third step shows the class's text; the others show noise."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(CLASSES).repeat(20)
    features = torch.randn(len(labels), STEPS, WIDTH, generator=generator)
    features[:, 2] = 3 * text[labels]
    features = functional.normalize(features, dim=-1)
    weights = learned_time_weights(features, labels, text, temperature=20.0)
    assert weights.shape == (STEPS,) and weights.mean().item() == pytest.approx(1)
    assert weights.argmax() == 2 and weights[2] > 2
    plain = right(features.mean(dim=1) @ text.T, labels)
    assert right((weights[:, None] * features).mean(dim=1) @ text.T, labels) > plain


def test_clip_adapter_is_its_equation(text) -> None:
    torch.manual_seed(0)
    adapter = ClipAdapter(ClipAdapterConfig(WIDTH), text)
    features, _ = task(0.5, 2, 6)
    x = functional.normalize(features.mean(dim=1), dim=-1)
    hidden = torch.relu(x @ adapter.down.weight.T)
    assert hidden.shape[1] == WIDTH // 4
    blended = 0.2 * torch.relu(hidden @ adapter.up.weight.T) + 0.8 * x
    expected = functional.normalize(blended, dim=-1) @ text.T
    assert torch.allclose(adapter.scores(features), expected)
