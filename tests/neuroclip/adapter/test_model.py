"""The adapter: folding is exact, both cuts, other labels; training resumes and repeats itself."""

import json
import math
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

from deploy.errors import BadInput
from deploy.prove.proof import prove
from neuroclip.adapter import train as training
from neuroclip.adapter.checkpoint import ANN_FILE, load_checkpoint, save_checkpoint
from neuroclip.adapter.eight_bits import zeros
from neuroclip.adapter.model import AdapterConfig, FloatAdapter, quantized, relabelled
from neuroclip.adapter.train import Examples, Recipe, train_adapter
from neuroclip.storage.checkpoint_files import MODELS
from neuroclip.storage.weights import read_weights, save_tensors
from neuroclip.training import loop
from neuroclip.training.resume_state import State

C, H, T, LABELS = 24, 12, 6, 4


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def seasoned(cut: str) -> FloatAdapter:
    """A float adapter whose batch normalisations have seen data."""
    torch.manual_seed(0)
    adapter = FloatAdapter(AdapterConfig(C, H, T, cut), unit(LABELS, C, seed=1))
    with torch.no_grad():
        for norm in (adapter.norm_features, adapter.norm_hidden):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
        for seed in range(60):
            adapter(unit(64, T, C, seed=seed))
    return adapter.eval()


@pytest.mark.parametrize("cut", ["folded", "paper"])
def test_quantized_scores_are_those_of_the_float_adapter_up_to_rounding(cut: str) -> None:
    adapter = seasoned(cut)
    x = unit(40, T, C, seed=99)
    with torch.no_grad():
        expected = adapter.scores(x)
        coarse = (quantized(adapter).scores(x) - expected).abs()
    assert coarse.median() < 0.1 * expected.std()


@pytest.mark.parametrize("cut", ["folded", "paper"])
def test_batch_normalisations_fold_exactly(cut: str) -> None:
    """Before any rounding, the folded layer gives the float adapter's membrane input."""
    adapter = seasoned(cut)
    chip = quantized(adapter)
    x = unit(5, T, C, seed=7)
    with torch.no_grad():
        expected = adapter.norm_hidden(adapter.down(adapter.norm_features(x.flatten(0, 1))))
        z = (x.flatten(0, 1) - chip.mean) / chip.deviation
        found = z @ chip.network.fc1.weight.T + chip.network.lif1.bias
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("cut", ["folded", "paper"])
def test_every_register_stays_within_the_proof(cut: str) -> None:
    pytest.importorskip("nirtorch")
    from export.lowering.exact import lower
    from export.nir_format.write.module import to_nir

    chip = quantized(seasoned(cut))
    limit = chip.config.message_max
    program = lower(to_nir(chip.network), input_ranges={"input": (-limit, limit)})
    assert not prove(program, T).reachable


def test_messages_are_integers_within_the_stated_range() -> None:
    chip = quantized(seasoned("folded"))
    messages = chip.encode(100 * unit(8, T, C, seed=3))
    assert torch.equal(messages, messages.round())
    assert messages.abs().max() == chip.config.message_max


@pytest.mark.parametrize("cut", ["folded", "paper"])
def test_other_labels_need_no_training(cut: str) -> None:
    chip = quantized(seasoned(cut))
    x = unit(10, T, C, seed=5)
    text = torch.cat([chip.text[1:3], unit(2, C, seed=77)])
    other = relabelled(chip, text)
    with torch.no_grad():
        scores, before = other.scores(x), chip.scores(x)
    assert scores.shape == (10, 4)
    assert torch.allclose(scores[:, :2], before[:, 1:3], atol=0.01)
    assert torch.equal(other.network.fc1.integer_weight(), chip.network.fc1.integer_weight())


def test_impossible_sizes_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match="adapter: hidden 0 is not positive"):
        AdapterConfig(C, 0)
    with pytest.raises(BadInput, match="cut 'half'"):
        AdapterConfig(C, H, cut="half")


RECIPE = Recipe(epochs=5, quantized_epochs=4, learning_rate=0.05, batch=8, temperature=20.0)


def examples(count: int, seed: int) -> Examples:
    """Recordings whose label is the text nearest to their mean feature, with some noise."""
    text = unit(LABELS, C, seed=1)
    labels = np.arange(count) % LABELS
    noise = unit(count, T, C, seed=seed)
    x = torch.nn.functional.normalize(0.25 * text[labels][:, None] + noise, dim=-1)
    return Examples.of(x.numpy(), labels.astype(np.int64))


def train(folder: Path | None = None, resume: bool = False) -> training.Trained:
    config = AdapterConfig(C, H, T)
    return train_adapter(
        config, RECIPE, examples(40, 11), examples(40, 12), unit(LABELS, C, seed=1), folder, resume
    )


def weights(trained: training.Trained) -> list[torch.Tensor]:
    return [*trained.float_adapter.state_dict().values(), *trained.chip_adapter.learned().values()]


def test_training_learns_repeats_itself_and_keeps_the_best_epoch() -> None:
    first, again = train(), train()
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    best = max(h["validation"] for h in first.history if h["stage"] == "quantized")
    chip, data = first.chip_adapter, examples(40, 12)
    with torch.no_grad():
        right = chip.scores(data.features[:, 0]).argmax(dim=1) == data.labels
    assert right.double().mean() == best
    losses = [h["loss"] for h in first.history if h["loss"] is not None]
    assert losses[-1] < losses[0]
    assert len(first.history) == 5 + 1 + 4 + 1


@pytest.mark.parametrize("stage", ["float", "quantized"])
def test_a_killed_training_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    unbroken = train()
    keep = loop.keep_state

    def killed(path: Path, identity: str, state: State, *rest: object) -> None:
        keep(path, identity, state, *rest)
        if path.name == f"state-{stage}.safetensors" and state.place.epoch == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "keep_state", killed)
        train(tmp_path)
    resumed = train(tmp_path, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(unbroken), weights(resumed), strict=True))
    assert resumed.history == unbroken.history


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    config = AdapterConfig(C, H, T)
    with pytest.raises(BadInput, match="the state of another training"):
        train_adapter(
            config, replace(RECIPE, seed=1), examples(40, 11), examples(40, 12),
            unit(LABELS, C, seed=1), tmp_path, True,
        )  # fmt: skip
    state = tmp_path / "state-float.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"damaged training state|not a readable"):
        train(tmp_path, resume=True)


def test_the_schedule_warms_up_then_falls_to_nearly_zero() -> None:
    rates = [training._schedule(Recipe(), epoch, 20) for epoch in range(1, 21)]
    assert rates[0] == 0.1 and rates[1] == max(rates)
    assert all(a > b for a, b in pairwise(rates[1:]))
    assert rates[-1] < 0.01 and math.isclose(rates[1], 1, abs_tol=0.01)


def test_weights_do_not_depend_on_the_number_of_threads() -> None:
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(weights(train()))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_checkpoint_from_before_raw_features_is_read_as_what_it_was(tmp_path: Path) -> None:
    """Without the key: the paper's cut on unit features, normalised step by step."""
    folder = shutil.copytree(MODELS / "neuroclip-digits-paper", tmp_path / "old")
    file = folder / "config.json"
    raw = json.loads(file.read_text())
    assert raw["adapter"].pop("raw") is True
    file.write_text(json.dumps(raw))
    old, new = load_checkpoint(folder), load_checkpoint("neuroclip-digits-paper")
    assert new.config.raw and not old.config.raw
    features = unit(3, 10, new.config.features, seed=1)
    with torch.no_grad():
        blend = 0.6 * old.float_adapter(features).relu() + 0.4 * features
        expected = (
            torch.nn.functional.normalize(blend, dim=-1).mean(dim=1) @ old.float_adapter.text.T
        )
        assert torch.allclose(old.float_adapter.scores(features), expected, atol=1e-6)
        assert torch.equal(old.chip_adapter.encode(features), new.chip_adapter.encode(features))


def test_the_ann_of_a_checkpoint_is_kept_and_refused_where_it_is_none(tmp_path: Path) -> None:
    found = load_checkpoint("neuroclip-digits")
    save_checkpoint(tmp_path, found)
    again = load_checkpoint(tmp_path).ann
    features = unit(30, 10, found.config.features, seed=5)
    assert found.ann is not None and again is not None
    with torch.no_grad():
        assert torch.equal(found.ann.scores(features), again.scores(features))
    file = tmp_path / ANN_FILE
    held = read_weights(file)
    for name, changed in (
        ("hidden_unit", torch.tensor(0.0)),
        ("deviation", -held["deviation"]),
        ("down", held["down"][1:]),
        ("bias", held["bias"] * float("nan")),
    ):
        save_tensors(file, held | {name: changed})
        with pytest.raises(BadInput, match=f"ann.safetensors: tensor '{name}'"):
            load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, replace(found, ann=None))  # that of an earlier training goes
    assert not file.exists() and load_checkpoint(tmp_path).ann is None
    assert load_checkpoint("neuroclip-digits-paper").ann is None


def test_the_zeros_of_an_ann_are_those_of_its_equations() -> None:
    """From the file alone, in NumPy: round and clamp, then ReLU of int8 weights."""
    ann = load_checkpoint("neuroclip-digits").ann
    assert ann is not None
    held = {
        k: x.numpy().astype(np.float64)
        for k, x in read_weights(MODELS / "neuroclip-digits" / ANN_FILE).items()
    }
    features = unit(200, 10, len(held["mean"]), seed=6)
    levels = np.round((features.numpy() - held["mean"]) / held["deviation"] * 16).clip(-127, 127)
    scale = np.abs(held["down"]).max(axis=1, keepdims=True) / 127
    sums = levels / 16 @ (np.round(held["down"] / scale) * scale).T + held["bias"]
    silent = np.round(sums / held["hidden_unit"]) <= 0
    found = zeros(ann, features)
    assert found.inputs == pytest.approx((levels == 0).mean(), abs=1e-4) and found.inputs > 0
    assert found.hidden == pytest.approx(silent.mean(), abs=1e-4) and 0.1 < found.hidden < 0.9
