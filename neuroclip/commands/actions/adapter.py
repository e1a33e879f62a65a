"""What the learning subcommands of `neuroclip` do: train, zero-shot, evaluate."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.output import claim
from neuroclip.adapter.checkpoint import Checkpoint, clip_of, load_checkpoint, save_checkpoint
from neuroclip.adapter.model import AdapterConfig, Cut, relabelled
from neuroclip.adapter.train import Examples, Recipe, as_published, train_adapter, train_anns
from neuroclip.clip.classify import classify_events, classify_pictures
from neuroclip.clip.features import dataset_features
from neuroclip.clip.model import encode_text, load_clip, normalised
from neuroclip.clip.spec import ClipSpec
from neuroclip.clip.variants import variant_features
from neuroclip.clip.zero_shot import accuracy, zero_shot_scores
from neuroclip.commands.actions.asked import Source, clip_inputs
from neuroclip.commands.actions.told import tell_classified, tell_seen
from neuroclip.compute.distributed import finish, rank
from neuroclip.data.events.catalogue import EventDataset, few_shot, open_dataset, without_bad
from neuroclip.data.images.vocabulary import read_labels
from neuroclip.data.seen import Seen
from neuroclip.text.labels import Labels, meanings, required, stands_for

# The paper's adapters have C/8, 128 at most; more than this is a mistyped number.
MAX_HIDDEN = 1 << 16

# Bad recordings that --skip-bad names one by one.
MAX_REASONS = 20


def train(
    source: Source,
    spec: ClipSpec,
    out: Path,
    *,
    shots: int,
    cut: Cut,
    hidden: int | None,
    recipe: Mapping[str, Any],
    frame_options: Mapping[str, Any],
    variants: int,
    seed: int,
    resume: bool,
    template: str | None = None,
    ann: bool = False,
) -> int:
    """Train an adapter on a few shots per class; the validation split picks the epoch.

    recipe: what of the recipe is not its default. template: the prompt (default: the data set's).
    ann: train the ANN beside it too.
    """
    if ann and cut != "folded":
        raise BadInput(f"--ann: the ANN beside the adapter has the cut 'folded', not '{cut}'")
    if hidden is not None and not 1 <= hidden <= MAX_HIDDEN:
        raise BadInput(f"--hidden {hidden}: expected 1 to {MAX_HIDDEN} neurons")
    claim(out, source.inputs | clip_inputs(spec))
    encoder = load_clip(spec)
    dataset = opened(source, seed, ("train", "validation"))
    if rank() == 0:
        print(dataset.counts)
    frames = replace(dataset.card.frames, **frame_options)
    template = template or dataset.card.template
    text = encode_text(encoder, dataset.class_names, template)
    shot_indices = few_shot(dataset, shots, seed)
    examples = Examples.of(
        variant_features(encoder, dataset, shot_indices, frames, variants, seed),
        dataset.labels[shot_indices],
    )
    chosen = part_of(dataset, "validation")
    validation = Examples.of(
        dataset_features(encoder, dataset, chosen, frames, raw=True), dataset.labels[chosen]
    )
    if rank() > 0:
        finish()
        return 0
    paper, width = cut == "paper", text.shape[1]
    config = AdapterConfig(
        features=width,
        hidden=max(1, width // (8 if paper else 2)) if hidden is None else hidden,
        steps=frames.steps,
        cut=cut,
        raw=paper,
    )
    full = Recipe(seed=seed, temperature=float(encoder.module.logit_scale.detach().exp()), **recipe)
    full = as_published(full, len(text)) if paper else full
    trained = train_adapter(config, full, examples, validation, torch.from_numpy(text), out, resume)
    beside = (
        train_anns(config, full, examples, validation, torch.from_numpy(text))[1] if ann else None
    )
    best = {
        stage: max(h["validation"] for h in trained.history if h["stage"] == stage)
        for stage in ("float", "quantized")
    }
    training = {
        "data": dataset.name,
        "shots": shots,
        "variants": variants,
        "recipe": asdict(full),
        "validation_accuracy": best,
    }
    checkpoint = Checkpoint(
        spec,
        encoder.digest,
        frames,
        dataset.class_names,
        template,
        trained.float_adapter,
        trained.chip_adapter,
        training,
        encoder.seen | Seen.of(dataset.ids(shot_indices), dataset.ids(chosen)),
        encoder.identity,
        beside,
    )
    save_checkpoint(out, checkpoint)
    write_json(out / "history.json", trained.history)
    finish()
    print(
        f"validation accuracy: float {100 * best['float']:.1f} %, "
        f"on the chip's arithmetic {100 * best['quantized']:.1f} % ({len(dataset.validation)} recordings)"
    )
    print(f"checkpoint: {out}")
    print(f"data set {dataset.described}", file=sys.stderr)
    return 0


def zero_shot(
    source: Source,
    spec: ClipSpec,
    *,
    labels: str | None,
    template: str | None,
    frame_options: Mapping[str, Any],
    pictures: bool,
    split: str,
    seed: int,
) -> int:
    """Classify the recordings of a split, or the digits' still pictures, by their texts alone."""
    encoder = load_clip(spec)
    dataset = opened(source, seed, (split,))
    given = Labels(dataset.class_names) if labels is None else read_labels(labels)
    names, found = given.names, stands_for(given, dataset.class_names)
    template = template or dataset.card.template
    indices = unseen_part(dataset, split, encoder.seen)
    if pictures and not dataset.card.pictures:
        raise BadInput(f"--pictures: data set '{dataset.name}' has no still pictures")
    if pictures:
        scores = classify_pictures(encoder, indices, names, template)
    else:
        frames = replace(dataset.card.frames, **frame_options)
        scores = classify_events(encoder, dataset, indices, frames, names, template)
    what = "pictures" if pictures else "recordings"
    if labels is not None:
        print("\n".join(meanings(given, dataset.class_names, found)))
    truth = found[dataset.labels[indices]]
    tell_classified(f"zero-shot on {dataset.name}, {split} {what}", scores, truth, names, what)
    print(f"data set {dataset.described}", file=sys.stderr)
    return 0


def evaluate(
    checkpoint: str,
    source: Source,
    spec: ClipSpec | None,
    split: str,
    seed: int,
    labels: str | None = None,
) -> int:
    """Accuracy of an adapter, in floating point and on the chip's arithmetic, beside zero-shot.

    spec: of its CLIP, where that is not the bundled one. labels: other words than the model's own, see
    `read_labels`.
    """
    loaded = load_checkpoint(checkpoint)
    encoder = clip_of(loaded, spec)
    dataset = opened(source, seed, (split,))
    given = Labels(loaded.labels) if labels is None else read_labels(labels)
    found = required(given, dataset.class_names, source.data)
    floats, chip = loaded.float_adapter, loaded.chip_adapter
    if labels is not None:
        floats.text = torch.from_numpy(encode_text(encoder, given.names, loaded.template))
        chip = relabelled(chip, floats.text).eval()
        print("\n".join(meanings(given, dataset.class_names, found)))
    indices = unseen_part(dataset, split, loaded.seen | encoder.seen)
    seen_raw = dataset_features(encoder, dataset, indices, loaded.frames, raw=True)
    features = normalised(seen_raw)
    truth = found[dataset.labels[indices]]
    x = torch.from_numpy(seen_raw if loaded.config.raw else features)
    with torch.no_grad():
        rows = {
            "zero-shot": zero_shot_scores(features, chip.text.numpy()),
            "float": floats.scores(x).numpy(),
            "quantized": chip.scores(x).numpy(),
        }
    for name, scores in rows.items():
        print(f"{name:10} {accuracy(scores, truth)}")
    print(f"data set {dataset.described}", file=sys.stderr)
    return 0


def opened(source: Source, seed: int, parts: Sequence[str]) -> EventDataset:
    """A data set, with --skip-bad without the unreadable recordings of `parts`, which are counted."""
    dataset = open_dataset(source.data, seed, source.root, source.sensor)
    if not source.skip_bad:
        return dataset
    total = sum(len(getattr(dataset, part)) for part in parts)
    dataset, reasons = without_bad(dataset, parts)
    for reason in reasons[:MAX_REASONS]:
        print(f"skipped {reason}", file=sys.stderr)
    if len(reasons) > MAX_REASONS:
        print(f"… and {len(reasons) - MAX_REASONS} more", file=sys.stderr)
    print(f"skipped {len(reasons)} of {total} recordings that cannot be read")
    return dataset


def part_of(dataset: EventDataset, split: str) -> NDArray[np.int64]:
    """The indices of a split, "validation" or "test". Raises BadInput where it is empty."""
    indices: NDArray[np.int64] = getattr(dataset, split)
    if not len(indices):
        raise BadInput(f"{dataset.name}: the {split} split holds no recordings")
    return indices


def unseen_part(
    dataset: EventDataset, split: str, seen: Seen, tell: bool = True
) -> NDArray[np.int64]:
    """As `part_of`, without the samples that a model has seen, whose number is printed with `tell`.

    Raises BadInput where it has seen them all.
    """
    total = len(part_of(dataset, split))
    indices: NDArray[np.int64] = getattr(dataset.without(seen, split), split)
    if not len(indices):
        raise BadInput(
            f"{dataset.name}: the model has seen all {total} samples of the {split} split"
        )
    if tell:
        tell_seen(seen, total - len(indices), total, split)
    return indices
