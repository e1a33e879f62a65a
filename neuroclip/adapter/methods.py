"""One cell of a few-shot table: every method on the same shots, validation and test recordings.

Validation recordings choose epochs and strengths; test recordings are classified once, at the end.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroclip.adapter.baselines import (
    ClipAdapterConfig,
    learned_time_weights,
    linear_probe,
    tip_adapter,
)
from neuroclip.adapter.model import AdapterConfig, ChipAdapter, FloatAdapter, quantized, relabelled
from neuroclip.adapter.train import (
    Examples,
    Recipe,
    as_published,
    train_adapter,
    train_anns,
    train_clip_adapter,
    trained_stage,
)
from neuroclip.chip.neurons import run
from neuroclip.chip.synapses import ChipLinear

Scores = dict[str, Tensor]

# Rows of a table, in reading order.
ZERO_SHOT, TIME_WEIGHTS = "zero-shot", "zero-shot, learned time weights"
PROBE, TIP, CLIP_ADAPTER = "linear probe", "Tip-Adapter", "CLIP-Adapter (ANN)"
PAPER_FLOAT, PAPER_CHIP = "NeuroCLIP as published, float", "NeuroCLIP as published, on the chip"
ANN, ANN_8 = "folded cut, ReLU for spikes (ANN)", "the same ANN in 8 bits"
FLOAT, LONG, AFTER, CHIP = (
    "folded cut, float",
    "folded cut, float, trained as long",
    "folded cut, quantized after training",
    "folded cut, on the chip",
)
METHODS = (
    ZERO_SHOT, TIME_WEIGHTS, PROBE, TIP, CLIP_ADAPTER, PAPER_FLOAT, PAPER_CHIP, ANN, ANN_8,
    FLOAT, LONG, AFTER, CHIP,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Task:
    """Features and labels of one split; `text` are the L2-normalised text features [labels, C].

    train: with variants. validation, test: of the recordings themselves. drawn: int64 [train], the place
    of each shot in the draw of its class: fewer shots are those drawn first.
    """

    train: Examples
    validation: Examples
    test: Examples
    text: Tensor
    drawn: Tensor

    def plain(self, part: str, raw: bool = False) -> tuple[Tensor, Tensor]:
        """(features [N, T, C], labels [N]) of a part, without variants."""
        examples: Examples = getattr(self, part)
        examples = examples.raw() if raw else examples
        return examples.features[:, 0], examples.labels

    def of_classes(self, classes: NDArray[np.int64]) -> "Task":
        """The task with some of its classes only, their labels counted anew."""
        number = torch.full((len(self.text),), -1)
        number[torch.from_numpy(classes)] = torch.arange(len(classes))

        def kept(examples: Examples) -> Examples:
            where = number[examples.labels] >= 0
            return replace(examples.where(where), labels=number[examples.labels[where]])

        drawn = self.drawn[number[self.train.labels] >= 0]
        parts = kept(self.train), kept(self.validation), kept(self.test)
        return Task(*parts, self.text[classes], drawn)

    def with_shots(self, shots: int) -> "Task":
        """The task with the shots of every class that are drawn first."""
        first = self.drawn < shots
        return replace(self, train=self.train.where(first), drawn=self.drawn[first])


def chip_accuracy(task: Task, config: AdapterConfig, recipe: Recipe) -> dict[str, Any]:
    """`accuracies` of the folded cut on the chip alone."""
    chip = train_adapter(config, recipe, task.train, task.validation, task.text).chip_adapter
    features, labels = task.plain("test")
    with torch.no_grad():
        right = chip.scores(features).argmax(dim=1) == labels
    return {
        "correct": {CHIP: right.tolist()},
        "operations": {CHIP: synaptic_operations(chip, features)},
    }


def accuracies(task: Task, config: AdapterConfig, recipe: Recipe) -> dict[str, Any]:
    """{"correct": {method: bool [test recordings]}, "operations": {method: per inference}}.

    config: of the folded cut; the paper's has its own hidden layer of C/8 and recipe, as published.
    """
    train, validation, test = (task.plain(p) for p in ("train", "validation", "test"))
    scores: Scores = {ZERO_SHOT: test[0].mean(dim=1) @ task.text.T}
    weights = learned_time_weights(*train, task.text, recipe.temperature)
    scores[TIME_WEIGHTS] = (weights[:, None] * test[0]).mean(dim=1) @ task.text.T
    scores[PROBE] = linear_probe(*train, *validation, test[0])
    scores[TIP] = tip_adapter(*train, *validation, test[0], task.text, recipe.temperature)
    examples = task.train, task.validation
    of_clip = ClipAdapterConfig(task.text.shape[1])
    clip_adapter = train_clip_adapter(of_clip, recipe, *examples, task.text)
    ann, int8 = train_anns(config, recipe, *examples, task.text)
    with torch.no_grad():
        scores[CLIP_ADAPTER] = clip_adapter.scores(test[0])
        scores[ANN], scores[ANN_8] = ann.scores(test[0]), int8.scores(test[0])
    operations: dict[str, float] = {}
    papers = replace(config, cut="paper", raw=True, hidden=max(1, config.features // 8))
    own = as_published(recipe, len(task.text))
    for cut, of_cut, names in (
        (papers, own, (PAPER_FLOAT, "", PAPER_CHIP)),
        (config, recipe, (FLOAT, AFTER, CHIP)),
    ):
        trained = train_adapter(cut, of_cut, *examples, task.text)
        seen, _ = task.plain("test", cut.raw)
        modules: tuple[FloatAdapter | ChipAdapter, ...] = (
            trained.float_adapter, quantized(trained.float_adapter).eval(), trained.chip_adapter,
        )  # fmt: skip
        for name, module in zip(names, modules, strict=True):
            if name:
                with torch.no_grad():
                    scores[name] = module.scores(seen)
        operations[names[2]] = synaptic_operations(trained.chip_adapter, seen)
    longer = trained_stage(trained.float_adapter, "quantized", config, recipe, *examples, task.text)
    with torch.no_grad():
        scores[LONG] = longer.scores(test[0])
    right = {name: found.argmax(dim=1) == test[1] for name, found in scores.items()}
    return {
        "correct": {name: right[name].tolist() for name in METHODS},
        "operations": operations,
    }


def unseen_accuracies(
    task: Task, config: AdapterConfig, recipe: Recipe, seen: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """{method: {"seen", "unseen", "all": accuracy}} after training on the classes `seen` alone.

    "seen" and "unseen" are recordings of those classes scored against those classes' texts, "all"
    every recording against every text. The adapters see a text of an unseen class only in the test.
    """
    everything = np.arange(len(task.text))
    parts = {"seen": seen, "unseen": np.setdiff1d(everything, seen), "all": everything}
    known = task.of_classes(seen)
    ann, int8 = train_anns(config, recipe, known.train, known.validation, known.text)
    trained = train_adapter(config, recipe, known.train, known.validation, known.text)
    found: dict[str, dict[str, float]] = {m: {} for m in (ZERO_SHOT, ANN, ANN_8, FLOAT, CHIP)}
    with torch.no_grad():
        for part, classes in parts.items():
            held = task.of_classes(classes)
            features, labels = held.plain("test")
            for module in (ann, int8, trained.float_adapter):
                module.text = held.text
            scores = {
                ZERO_SHOT: features.mean(dim=1) @ held.text.T,
                ANN: ann.scores(features),
                ANN_8: int8.scores(features),
                FLOAT: trained.float_adapter.scores(features),
                CHIP: relabelled(trained.chip_adapter, held.text).eval().scores(features),
            }
            for name, values in scores.items():
                right = values.argmax(dim=1) == labels
                found[name][part] = float(right.double().mean())
    return found


def synaptic_operations(adapter: ChipAdapter, features: Tensor) -> float:
    """Synaptic operations per inference: non-zero weights of every non-zero message, all steps.

    As `deploy.count.operations` counts them on the exported program, which a test compares.
    """
    with torch.no_grad():
        messages = adapter.encode(features)
        total = 0.0
        for i in (0, 2):
            synapses = adapter.network[i]
            assert isinstance(synapses, ChipLinear)
            fan_out = (synapses.integer_weight() != 0).sum(dim=0).double()
            total += float(((messages != 0).double() @ fan_out).sum())
            messages = run(adapter.network[i : i + 2], messages)
    return total / len(features)
