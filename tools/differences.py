"""What each difference between the papers' models and ours is worth, on the bundled digits.

`python tools/differences.py neuroclip`: the published adapter, and in each row one thing of ours.
`python tools/differences.py spikeclip`: our training of the paper's layers, and in each row one thing of the
authors'. Differences are to the first row, paired over the same seeds and test samples
(`neuroclip.results.statistics.paired_difference`). All in floating point: no chip holds what is
published. What came out is in docs/evaluation.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroclip.adapter.model import AdapterConfig, FloatAdapter
from neuroclip.adapter.tables import task_of
from neuroclip.adapter.train import Examples, Recipe, as_published, trained_stage
from neuroclip.clip.model import load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.commands.actions.adapter import unseen_part
from neuroclip.commands.actions.asked import Source
from neuroclip.commands.actions.spikeclip import class_scores, opened, train
from neuroclip.data.events.catalogue import open_dataset
from neuroclip.results.statistics import paired_difference
from neuroclip.spikeclip.checkpoint import load_spikeclip
from neuroclip.spikeclip.config_files import config_file
from neuroclip.spikeclip.model import messages

Right = NDArray[np.bool_]
PUBLISHED, OURS = "as published", "the paper's layers, our training"


class StepByStep(FloatAdapter):
    """The blend of each step normalised by itself, in place of all of them at once."""

    def scores(self, features: Tensor) -> Tensor:
        blend = self.config.blend * self(features).relu() + (1 - self.config.blend) * features
        return nn.functional.normalize(blend, dim=-1).mean(dim=1) @ self.text.T


class NormedTogether(FloatAdapter):
    """BatchNorm over samples and steps, in place of each step's batch."""

    def _normed(self, norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
        normed: Tensor = norm(x.flatten(0, 1))
        return normed.unflatten(0, x.shape[:2])


def adapters(seed: int, epochs: int | None) -> Iterator[tuple[str, Right]]:
    """Each row of NeuroCLIP's adapter, trained on 16 shots, and which test recordings it has right."""
    clip = load_clip(ClipSpec())
    dataset = open_dataset("digits", seed)
    dataset = replace(dataset, test=unseen_part(dataset, "test", clip.seen, tell=False))
    task = task_of(clip, dataset, dataset.card.frames, 16, 4, seed)
    width = task.text.shape[1]
    base = AdapterConfig(
        width, max(1, width // 8), task.train.features.shape[2], cut="paper", raw=True
    )
    ours = Recipe(seed=seed, temperature=float(clip.module.logit_scale.detach().exp()))
    ours = ours if epochs is None else replace(ours, epochs=epochs)
    own = as_published(ours, len(task.text))
    above = replace(base, threshold=float(np.nextafter(np.float32(0.5), np.float32(1))))
    folded = replace(base, cut="folded", raw=False)
    rows: list[tuple[str, type[FloatAdapter], AdapterConfig, Recipe, bool]] = [
        (PUBLISHED, FloatAdapter, base, own, True),
        ("features at unit length", FloatAdapter, base, own, False),
        ("blend normalised at each step", StepByStep, base, own, True),
        ("BatchNorm over samples and steps", NormedTogether, base, own, True),
        ("fires above 0.5", FloatAdapter, above, own, True),
        ("label smoothing 0.2", FloatAdapter, base, replace(own, smoothing=ours.smoothing), True),
        ("warm-up at 1e-3", FloatAdapter, base, replace(own, warm_up=ours.warm_up), True),
        ("hidden layer of C/2", FloatAdapter, replace(base, hidden=width // 2), own, True),
        ("unit length, no ReLU, no normalisation (folded cut)", FloatAdapter, folded, own, False),
        ("all of them: ours", FloatAdapter, replace(folded, hidden=width // 2), ours, False),
    ]  # fmt: skip
    for name, kind, config, recipe, raw in rows:
        torch.manual_seed(seed)
        of: Callable[[Examples], Examples] = Examples.raw if raw else lambda x: x
        parts = of(task.train), of(task.validation)
        made = trained_stage(kind(config, task.text), "float", config, recipe, *parts, task.text)
        features, labels = task.plain("test", raw)
        with torch.no_grad():
            yield name, (made.scores(features).argmax(dim=1) == labels).numpy()


# Our training of the paper's layers, said in full: what a file leaves out of that variant is as published.
OWN: dict[str, dict[str, Any]] = {
    "model": {"variant": "paper", "pixels": "messages", "by_224": False, "detached_reset": False},
    "recipe": {
        "learning_rate": 2e-3, "finetune_learning_rate": 1e-3, "weight_decay": 0.01, "temperature": 30.0,
        "summed_kl": False, "averaged_texts": False, "own_texts": False, "amsgrad": False,
    },
    "text": {"norm": True, "trained_embeddings": False},
}  # fmt: skip
ALL = "all of them: as published"
# One thing of the authors' in ours.
ENCODERS: dict[str, dict[str, dict[str, Any]]] = {
    OURS: {},
    "cosines are the logits": {"recipe": {"temperature": 1.0}},
    "KL summed over a batch": {"recipe": {"summed_kl": True}},
    "texts averaged over templates": {"recipe": {"averaged_texts": True}},
    "the teacher compared with the student's texts": {"recipe": {"own_texts": True}},
    "real pixels, CLIP's mean and deviation": {"model": {"pixels": "clip"}},
    "the same pixels by way of 224": {"model": {"pixels": "clip", "by_224": True}},
    "Adam with amsgrad, no warm-up, no limit on the gradient": {"recipe": {"amsgrad": True}},
    "no gradient through a reset": {"model": {"detached_reset": True}},
    "no LayerNorm in the text encoder": {"text": {"norm": False}},
    "embeddings trained": {"text": {"trained_embeddings": True}},
    "both of these": {"text": {"norm": False, "trained_embeddings": True}},
}
LAYERS = "ours, in layers that a chip holds"


def encoder_settings(name: str, epochs: int | None) -> dict[str, Any]:
    """The settings of a row of SpikeCLIP; epochs: of each step in floating point, where given."""
    raw: dict[str, Any] = json.loads(
        config_file("digits-paper" if name == ALL else "digits").read_text()
    )
    if name in ENCODERS:
        for given in (OWN, ENCODERS[name]):
            raw |= {part: raw[part] | values for part, values in given.items()}
    if epochs is not None:
        raw["recipe"] |= {"epochs": epochs, "finetune_epochs": epochs, "quantized_epochs": 1}
    return raw


def encoders(seed: int, epochs: int | None) -> Iterator[tuple[str, Right]]:
    """Each row of SpikeCLIP, both steps in floating point, and which test images it has right."""
    source = Source("digits", None, False)
    for name in (*ENCODERS, ALL, LAYERS):
        raw = encoder_settings(name, epochs)
        with tempfile.TemporaryDirectory() as folder:
            settings, out = Path(folder) / "settings.json", Path(folder) / "model"
            settings.write_text(json.dumps(raw))
            train(None, str(settings), source, out, seed=seed)
            made = load_spikeclip(out)
        dataset = opened(source, made.model.config, None, seed, made.shares, "test", made.seen)
        sent = messages(made.model.config, torch.from_numpy(dataset.images))
        scores = class_scores(replace(made, chip=None), sent, made.labels)["float"]
        yield name, scores.argmax(axis=1) == dataset.labels


def table(right: dict[str, Sequence[Right]]) -> str:
    """Markdown: accuracy in %, mean ± deviation over seeds, and the paired difference to the first row."""
    first = next(iter(right))
    base = np.array(right[first])
    lines = ["| | accuracy in % | difference |", "| --- | --- | --- |"]
    for name, each in right.items():
        of = 100 * np.array(each).mean(axis=1)
        spread = f" ± {of.std(ddof=1):.1f}" if len(of) > 1 else ""
        mean, low, high = paired_difference(np.array(each), base)
        told = "" if name == first else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        lines.append(f"| {name} | {of.mean():.1f}{spread} | {told} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every row with every seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("paper", choices=("neuroclip", "spikeclip"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of each stage (default: the settings')")
    options = parser.parse_args(arguments)
    rows = adapters if options.paper == "neuroclip" else encoders
    right: dict[str, list[Right]] = {}
    for seed in range(options.seeds):
        for name, found in rows(seed, options.epochs):
            right.setdefault(name, []).append(found)
            print(f"seed {seed}: {name}: {100 * found.mean():.1f} %", file=sys.stderr, flush=True)
    print(f"{len(found)} test samples, {options.seeds} seeds")
    print(table(right))
    return 0


if __name__ == "__main__":
    sys.exit(main())
