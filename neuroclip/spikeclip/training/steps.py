"""The two steps of the paper: alignment with a CLIP teacher, then fine-tuning with two losses.

Alignment: 1 − cosine to the teacher's features, for images and, in the text encoder, for sentences.
Fine-tuning: text frozen; cross-entropy and KL to the teacher's class probabilities, 1 : 1; first in
floating point, then on the chip's arithmetic. The authors' release lets test data choose the epoch,
gives CIFAR-10 the class names of STL-10 and swaps two splits; here a part of the training images
chooses, and names come with the images.
"""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neuroclip.chip.neurons import FloatNeuron
from neuroclip.chip.synapses import ChipConv2d
from neuroclip.compute.devices import channels_last_, compiled
from neuroclip.compute.parallel import batch_mean, own
from neuroclip.spikeclip.model import (
    ChipSpikeClip,
    SpikeClip,
    firing_rates,
    quantized_model,
)
from neuroclip.spikeclip.text import SpikingTextEncoder, token_ids
from neuroclip.spikeclip.training.finetune_teacher import ClassTeacher
from neuroclip.spikeclip.training.pairs import Pairs
from neuroclip.spikeclip.training.recipe import (
    Mirrors,
    SpikeRecipe,
    augmented,
    identified,
    mixed_precision,
)
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

_EVALUATION_BATCH = 256
# By the authors' scripts: rates fall from 5e-3 to 5e-4 in both alignments, from 5e-4 to 1e-5 after them.
_ALIGNED_LOWEST, _TUNED_LOWEST = 0.1, 0.02


def align(
    model: SpikeClip, recipe: SpikeRecipe, train: Pairs, validation: Pairs,
    session: Session = Session(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:  # fmt: skip
    """Step 1 for images: 1 − cosine to the teacher's features. Trains `model` in place, on its device,
    where the data must lie too.
    """
    features = features_of(model, recipe)

    def loss_of(sent: Tensor, index: Tensor) -> Tensor:
        made = features(sent)
        return 1 - functional.cosine_similarity(made, train.features[index], dim=-1).mean()

    def score(where: slice) -> Tensor:
        made = model(validation.sent[where])
        return functional.cosine_similarity(made, validation.features[where], dim=-1)

    stage = _stage("align", recipe.epochs, recipe.learning_rate, recipe, model, train, validation)
    return _fit(stage, model, recipe, train, validation, loss_of, score, session,
                recipe.orthogonal_rate, _ALIGNED_LOWEST if recipe.amsgrad else None)  # fmt: skip


def align_text(
    encoder: SpikingTextEncoder, recipe: SpikeRecipe, texts: list[str], features: Tensor, source: str,
    session: Session = Session(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:  # fmt: skip
    """Step 1 for sentences: 1 − cosine to the teacher's features; a tenth of them validates.

    source: as `Pairs` has it.
    """
    device = features.device
    ids = token_ids(encoder.config, texts).to(device)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(recipe.seed))
    order = order.to(device)
    held = order[: max(1, len(texts) // 10)]
    kept = order[len(held) :] if len(texts) > 1 else order

    def loss_of(index: Tensor) -> Tensor:
        index = own(kept[index])
        made = encoder(ids[index])
        return 1 - functional.cosine_similarity(made, features[index], dim=-1).mean()

    def evaluate() -> dict[str, Any]:
        made = encoder(ids[held])
        cosine = functional.cosine_similarity(made, features[held], dim=-1).mean()
        return {"validation": float(cosine)}

    identity = json.dumps([identified(recipe), identified(encoder.config), texts, source])
    stage = Stage("text", recipe.text_epochs, recipe.text_learning_rate, recipe.weight_decay,
                  recipe.batch, recipe.seed, identity)  # fmt: skip
    lowest = _ALIGNED_LOWEST if recipe.amsgrad else None
    return fit(stage, encoder, len(kept), loss_of, evaluate, session, lowest=lowest)


def finetune(
    model: SpikeClip, recipe: SpikeRecipe, train: Pairs, validation: Pairs, text: Tensor,
    teacher: ClassTeacher, session: Session = Session(),  # noqa: B008 - frozen
) -> tuple[ChipSpikeClip | None, list[dict[str, Any]]]:  # fmt: skip
    """Step 2: cross-entropy + KL to the teacher's class probabilities [N, labels], text frozen.

    Text and teacher follow from the data's `source`. Trains `model` in place, then, of the
    deployable variant, a chip's model that starts from it, which is returned with the history.
    """

    features = features_of(model, recipe)

    def cosines(sent: Tensor) -> Tensor:
        return functional.normalize(features(sent), dim=-1) @ text.T

    def dual(scores: Tensor, sent: Tensor, index: Tensor) -> Tensor:
        said = teacher.probabilities[index]
        if recipe.teacher_sees_views:
            said = teacher.of_views(sent * (255 / model.config.message_max))
        return dual_loss(recipe, scores, train.labels[index], said)

    def right(scores: Tensor, where: slice) -> Tensor:
        return (scores.argmax(dim=-1) == validation.labels[where]).float()

    stage = _stage("finetune", recipe.finetune_epochs, recipe.finetune_learning_rate, recipe, model,
                   train, validation)  # fmt: skip
    history = _fit(
        stage, model, recipe, train, validation,
        lambda sent, index: dual(cosines(sent), sent, index),
        lambda where: right(model.scores(validation.sent[where], text), where),
        session, recipe.finetune_orthogonal_rate, _TUNED_LOWEST if recipe.amsgrad else None,
    )  # fmt: skip
    if model.config.variant != "deployable":
        return None, history
    chip = quantized_model(model, text).to(text.device)
    channels_last_(chip)
    for synapses in (m for m in chip.modules() if isinstance(m, ChipConv2d)):
        synapses.rough = recipe.mixed_precision
    stage = _stage("quantized", recipe.quantized_epochs, recipe.quantized_learning_rate, recipe,
                   model, train, validation)  # fmt: skip
    history += _fit(
        stage, chip, recipe, train, validation,
        lambda sent, index: dual(chip.scores(sent), sent, index),
        lambda where: right(chip(validation.sent[where]), where),
        session,
    )  # fmt: skip
    return chip, history


def dual_loss(
    recipe: SpikeRecipe, cosines: Tensor, labels: Tensor, probabilities: Tensor
) -> Tensor:
    """Cross-entropy of the labels [N] and KL to probabilities [N, classes], of cosines at the temperature."""
    logits = torch.log_softmax(recipe.temperature * cosines, dim=-1)
    reduction = "sum" if recipe.summed_kl else "batchmean"
    kl = functional.kl_div(logits, probabilities, reduction=reduction)
    return functional.nll_loss(logits, labels) + kl


def features_of(model: SpikeClip, recipe: SpikeRecipe) -> Callable[[Tensor], Tensor]:
    """Features float32 of messages, computed as the recipe says.

    Raises BadInput where torch.compile is asked for and does not work.
    """
    # Convolutions are faster so, and the neurons take sums as they lie.
    channels_last_(model)
    call: Callable[[Tensor], Tensor] = model
    if recipe.compile:
        # The neurons have kernels of their own.
        call = compiled(model, apart=FloatNeuron)

    def features(sent: Tensor) -> Tensor:
        with mixed_precision(recipe, sent.device):
            return call(sent).float()

    return features


def _fit(
    stage: Stage, model: SpikeClip | ChipSpikeClip, recipe: SpikeRecipe, train: Pairs,
    validation: Pairs, loss_of: Callable[[Tensor, Tensor], Tensor], score: Callable[[slice], Tensor],
    session: Session, orthogonal_rate: float | None = None, lowest: float | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    mirrors = Mirrors(recipe, len(train.labels), train.labels.device)
    with firing_rates(model) as rates:

        def loss(index: Tensor) -> Tensor:
            # Every process draws for the whole batch, so that all draw what one would.
            sent = own(augmented(recipe, train.sent[index], mirrors(index)))
            found = loss_of(sent, own(index))
            if recipe.spike_rate is not None:
                seen = batch_mean(torch.stack(list(rates.values())), len(index))
                over = seen / recipe.spike_rate - 1
                found = found + recipe.spike_penalty * over.clamp(min=0).square().mean()
            return found

        def evaluate() -> dict[str, Any]:
            values: list[Tensor] = []
            sums: dict[str, float] = {}
            for start in range(0, len(validation.labels), _EVALUATION_BATCH):
                where = slice(start, start + _EVALUATION_BATCH)
                values.append(score(where))
                for name, rate in rates.items():
                    sums[name] = sums.get(name, 0.0) + float(rate) * len(values[-1])
            each = {name: total / len(validation.labels) for name, total in sums.items()}
            return {"validation": float(torch.cat(values).mean()), "rates": each}

        return fit(stage, model, len(train.labels), loss, evaluate, session, mirrors.begins,
                   orthogonal_rate, lowest)  # fmt: skip


def _stage(
    name: str,
    epochs: int,
    rate: float,
    recipe: SpikeRecipe,
    model: SpikeClip,
    *data: Pairs,
) -> Stage:
    config = identified(model.config)
    if name != "quantized":
        del config["sum_factor"]  # means nothing in floating point
    found: list[Any] = [identified(recipe), config]
    for pairs in data:
        found += [pairs.digest(), pairs.source]
    identity = json.dumps(found)
    return Stage(name, epochs, rate, recipe.weight_decay, recipe.batch, recipe.seed, identity)
