"""What `neuroclip train spikeclip` and `neuroclip evaluate` do with a SpikeCLIP."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.output import claim
from neuroclip.clip.model import Clip, encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.clip.zero_shot import accuracy
from neuroclip.commands.actions.asked import Source, clip_inputs
from neuroclip.commands.actions.told import tell_images, tell_seen
from neuroclip.compute.devices import device_of
from neuroclip.compute.distributed import finish, meet, rank, shared
from neuroclip.data.images.images import ImageDataset, Part, Shares, open_images
from neuroclip.data.images.leave_out import without_classes
from neuroclip.data.images.vocabulary import expanded, read_labels, replaced
from neuroclip.data.seen import Seen
from neuroclip.results.plots import plot_history
from neuroclip.spikeclip.checkpoint import (
    SpikeCheckpoint,
    load_spikeclip,
    save_spikeclip,
)
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.eight_bits import in_eight_bits
from neuroclip.spikeclip.model import (
    SpikeClip,
    chip_in_steps,
    in_steps,
    messages,
    relabelled,
)
from neuroclip.spikeclip.training.finetune_teacher import class_teacher
from neuroclip.spikeclip.training.pairs import Pairs, pairs_of
from neuroclip.spikeclip.training.settings import Settings, read_settings
from neuroclip.spikeclip.training.steps import align, align_text, finetune
from neuroclip.spikeclip.training.teacher import OWN, TEACHER, found_teacher, image_features
from neuroclip.spikeclip.training.texts import sentences, spec_of, teacher_text, text_encoder
from neuroclip.spikeclip.training.train_teacher import train_teacher
from neuroclip.storage.weights import weights_digest
from neuroclip.text.labels import Labels, meanings, required
from neuroclip.text.prompts import fill
from neuroclip.training.loop import OutOfTime, Session

STAGES = ("teacher", "align", "finetune")

# Images times steps at once: memory does not grow with the steps that a user asks for.
_SHOWN_AT_ONCE = 1024


def train(
    stage: str | None,
    config: str,
    source: Source,
    out: Path,
    *,
    teacher: ClipSpec | None = None,
    seed: int = 0,
    device: str | None = None,
    minutes: float | None = None,
    resume: bool = False,
    leave_out: Sequence[str] = (),
) -> int:
    """Train step 1 ("align") of a new SpikeCLIP, step 2 ("finetune") of the one in `out`, or before both
    a teacher of our own ("teacher"); with no stage all of them, the teacher in a folder of its own.

    teacher: the CLIP to learn from, in place of the configuration's. device: see `device_of`. minutes:
    after so many, the state is kept and the command ends well; with `resume` the next one goes on.
    Under torchrun the processes share every batch. leave_out: classes of which nothing is used. Raises
    BadInput where there is no teacher.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise BadInput(f"--minutes {minutes:g}: expected above 0")
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    settings = read_settings(config)
    if teacher is not None:
        own = replace(settings.teacher, model=teacher.model, pretrained=teacher.pretrained)
        settings = replace(settings, teacher=own)
    kept = tuple(label for label in settings.labels if label not in leave_out)
    settings = replace(settings, labels=kept)
    stages = (stage,) if stage else STAGES if settings.teacher.model == OWN else STAGES[1:]
    if stages[0] != "teacher":
        found_teacher(settings.teacher, out)
    device_of(device)
    first = rank() == 0
    if first:
        claim(out, {"--config": config} | source.inputs | clip_inputs(teacher))
    done = []
    try:
        for each in stages:
            folder = out / TEACHER if each == "teacher" and stage is None else out
            session = Session(folder, resume, deadline)
            history = _trained(each, settings, session, source, folder, seed, device, leave_out)
            if first:
                _tell(each, history, folder)
            done.append((each, history, folder))
            meet()
    except OutOfTime as stop:
        finish()
        if first:
            print(
                f"stopped after {minutes:g} minutes in {stop}; the same command with --resume goes on"
            )
        return 0
    finish()
    for each, history, folder in done if first else ():
        plot_history(history, folder / f"history-{each}.svg")
    return 0


def _trained(
    stage: str, settings: Settings, session: Session, source: Source, out: Path, seed: int,
    device: str | None, leave_out: Sequence[str],
) -> list[dict[str, Any]]:  # fmt: skip
    if stage == "teacher":
        dataset = opened(source, settings.model, settings.limit, seed, settings.shares)
        dataset = without_classes(dataset, leave_out)
        templates = dict.fromkeys((settings.template, *settings.templates))
        recipe = replace(settings.recipe, seed=seed)
        return train_teacher(
            settings.own_teacher,
            recipe,
            dataset,
            tuple(templates),
            settings.labels,
            out,
            session,
            device,
        )
    settings = replace(settings, teacher=found_teacher(settings.teacher, out))
    before = load_spikeclip(out) if stage == "finetune" else None
    teacher = settings.teacher.load(device)
    if before is not None and before.teacher.get("digest") != teacher.digest:
        raise BadInput(f"{out}: was aligned with another teacher than '{settings.teacher.model}'")
    model_config = settings.model if before is None else before.model.config
    dataset = opened(source, model_config, settings.limit, seed, settings.shares)
    dataset = without_classes(dataset, leave_out)
    torch.manual_seed(seed)
    if before is None:
        made, history = _align(settings, teacher, dataset, session, seed)
    else:
        made, history = _finetune(settings, before, teacher, dataset, out, session, seed)
    if rank() == 0:
        save_spikeclip(out, made)
    return history


def _tell(stage: str, history: list[dict[str, Any]], out: Path) -> None:
    """Keep the curves of a stage, and print its best epochs."""
    write_json(out / f"history-{stage}.json", history)
    for name in dict.fromkeys(h["stage"] for h in history):
        of_stage = [h for h in history if h["stage"] == name]
        best = max(of_stage, key=lambda h: h["validation"])
        what = "cosine" if name in ("text", "align") else "accuracy"
        line = f"{name}: validation {what} {best['validation']:.4f} in epoch {best['epoch']}"
        speeds = [h["examples_per_second"] for h in of_stage if h["examples_per_second"]]
        if speeds:
            line += f", {np.median(speeds):.0f} {'sentences' if name == 'text' else 'images'}/s"
        print(line)
    print(f"checkpoint: {out}")


def _align(
    settings: Settings, teacher: Clip, dataset: ImageDataset, session: Session, seed: int
) -> tuple[SpikeCheckpoint, list[dict[str, Any]]]:
    recipe = replace(settings.recipe, seed=seed)
    sizes = settings.text
    encoder = text_encoder(
        teacher, sizes.tokens, sizes.hidden, settings.model, sizes.norm, sizes.trained_embeddings
    )
    encoder.to(teacher.device)
    words = tuple(dict.fromkeys((*dataset.class_names, *settings.labels)))
    templates = tuple(dict.fromkeys((settings.template, *settings.templates)))
    texts = sentences(words, templates)
    features = teacher_text(teacher, texts).to(teacher.device)
    source = json.dumps([teacher.digest, settings.teacher.normalisation])
    history = align_text(encoder, recipe, texts, features, source, session)
    config = replace(settings.model, features=encoder.config.features)
    model = SpikeClip(config).to(teacher.device)
    train, validation = _pairs(settings, teacher, model, dataset, source)
    history += align(model, recipe, train, validation, session)
    made = SpikeCheckpoint(
        model.cpu().eval(), encoder.cpu().eval(), None, dataset.class_names, settings.template,
        spec_of(teacher, ClipSpec(settings.teacher.model, settings.teacher.pretrained)),
        {"data": dataset.name, "recipe": asdict(recipe), "best": _best(history)},
        settings.shares,
        teacher.seen | dataset.seen_in_training,
        templates if recipe.averaged_texts else (),
    )  # fmt: skip
    return made, history


def _finetune(
    settings: Settings, before: SpikeCheckpoint, teacher: Clip, dataset: ImageDataset, out: Path,
    session: Session, seed: int,
) -> tuple[SpikeCheckpoint, list[dict[str, Any]]]:  # fmt: skip
    if dataset.class_names != before.labels:
        raise BadInput(f"{out}: was aligned on {len(before.labels)} other classes")
    recipe, model = replace(settings.recipe, seed=seed), before.model
    if settings.model.steps != model.config.steps:
        # What was aligned at one step may be fine-tuned at several.
        model = in_steps(model, settings.model.steps)
    model.to(teacher.device)
    # How much of a proof its weights are held to may be decided after it is trained.
    model.config = replace(model.config, sum_factor=settings.model.sum_factor)
    source = json.dumps(
        [
            teacher.digest, asdict(settings.teacher), before.labels, before.template,
            weights_digest(before.text_encoder), *([before.templates] if before.templates else ()),
        ]
    )  # fmt: skip
    train, validation = _pairs(settings, teacher, model, dataset, source)
    text = before.text(before.labels).to(teacher.device)
    compared, scale = text, recipe.temperature
    if not recipe.own_texts:
        compared = teacher_text(teacher, fill(before.labels, before.template)).to(teacher.device)
        scale = float(teacher.module.logit_scale.detach().exp())
    classes = class_teacher(
        teacher, settings.teacher, recipe, dataset, train, validation, compared, scale, session
    )
    chip, history = finetune(model, recipe, train, validation, text, classes, session)
    history = classes.history + history
    chip = None if chip is None else chip.cpu()
    training = dict(before.training) | {
        "recipe": asdict(recipe),
        "best": dict(before.training.get("best", {})) | _best(history),
        "teacher_finetune": settings.teacher.finetune,
        "teacher_validation_accuracy": classes.accuracy,
    }
    seen = before.seen | teacher.seen | dataset.seen_in_training
    made = replace(before, model=model.cpu().eval(), chip=chip, training=training, seen=seen)
    return made, history


def _pairs(
    settings: Settings, teacher: Clip, model: SpikeClip, dataset: ImageDataset, source: str
) -> tuple[Pairs, Pairs]:
    def of_part(part: NDArray[np.int64]) -> NDArray[np.float32]:
        mixed = settings.recipe.mixed_precision
        images = dataset.images[part]
        return image_features(teacher, settings.teacher, images, mixed=mixed).numpy()

    found = []
    for index in (dataset.train, dataset.validation):
        features = torch.from_numpy(shared(index, of_part))
        found.append(pairs_of(model, dataset, index, features, source).to(teacher.device))
    return found[0], found[1]


def _best(history: list[dict[str, Any]]) -> dict[str, float]:
    best: dict[str, float] = {}
    for entry in history:
        best[entry["stage"]] = max(best.get(entry["stage"], -1.0), entry["validation"])
    return best


def evaluate(
    checkpoint: str,
    source: Source,
    split: Part,
    seed: int,
    *,
    labels: str | None = None,
    replacing: str | None = None,
    expanding: str | None = None,
    steps: tuple[int, ...] = (),
    teacher: ClipSpec | None = None,
) -> int:
    """Accuracy on a part of a data set, in floating point and on the chip's arithmetic.

    labels: other words than the model's own, see `read_labels`.
    replacing: "horse=zebra,ship=boat": names exchanged. expanding: "a,b,c": distractors added. steps:
    so many times the image is shown, instead of the model's own number. teacher: whose texts take the
    place of the model's own. Of classes that the model was trained without, and of the others, the
    accuracy is told apart.
    """
    loaded = load_spikeclip(checkpoint)
    words = None if teacher is None else load_clip(teacher)
    if words is not None and words.digest != loaded.teacher.get("digest"):
        raise BadInput(f"--clip {words.name}: is not the teacher of {checkpoint}")
    dataset = opened(source, loaded.model.config, None, seed, loaded.shares, split, loaded.seen)
    names = dataset.class_names
    # Trained without some of the classes, it is asked for all of them.
    partly = labels is None and set(loaded.labels) < set(names)
    given = Labels(names if partly else loaded.labels) if labels is None else read_labels(labels)
    stands = required(given, names, source.data)
    if labels is not None:
        print("\n".join(meanings(given, names, stands)))
    own = "all labels" if partly else "own labels"
    rows = {own if labels is None else "given labels": given.names}
    if replacing is not None:
        rows["replaced"] = replaced(given.names, replacing)
    if expanding is not None:
        rows["expanded"] = expanded(given.names, expanding)
    sent = messages(loaded.model.config, torch.from_numpy(dataset.images))
    truth = stands[dataset.labels]
    for count in steps or (loaded.model.config.steps,):
        shown = _in_steps(loaded, count)
        for row, each in rows.items():
            text = None if words is None else encode_text(words, each, loaded.template)
            for name, scores in class_scores(shown, sent, each, text).items():
                print(f"{count:2} steps {row:11} {name:10} {accuracy(scores, truth)}")
                if partly:
                    _tell_apart(scores, truth, [n not in loaded.labels for n in names])
    return 0


def _tell_apart(scores: NDArray[np.float32], truth: NDArray[np.int64], unseen: list[bool]) -> None:
    """The accuracy on classes that nothing was trained on, and on the others."""
    of_unseen = np.array(unseen)[truth]
    for what, where in (("unseen", of_unseen), ("seen", ~of_unseen)):
        if where.any():
            print(f"         {what:6} classes, among all: {accuracy(scores[where], truth[where])}")


def _in_steps(checkpoint: SpikeCheckpoint, steps: int) -> SpikeCheckpoint:
    chip = None if checkpoint.chip is None else chip_in_steps(checkpoint.chip, steps)
    return replace(checkpoint, model=in_steps(checkpoint.model, steps), chip=chip)


@torch.no_grad()
def class_scores(
    checkpoint: SpikeCheckpoint, sent: torch.Tensor, names: tuple[str, ...],
    text: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Scores [N, names] of messages over these names: float, and quantized where there is a chip's model
    or, of an ANN, by rounding.

    text: features of the names [names, F], in place of those of the checkpoint's own text encoder.
    """
    texts = checkpoint.text(names) if text is None else torch.from_numpy(text)
    model, config = checkpoint.model, checkpoint.model.config
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "float": lambda part: model.scores(part, texts)
    }
    if checkpoint.chip is not None:
        ways["quantized"] = relabelled(checkpoint.chip, texts).eval()
    elif config.variant == "ann":
        rounded = in_eight_bits(model)
        ways["quantized"] = lambda part: rounded.scores(part, texts)
    parts = sent.split(max(1, _SHOWN_AT_ONCE // config.steps))
    return {
        name: np.concatenate([way(part).numpy() for part in parts]) for name, way in ways.items()
    }


def opened(
    source: Source,
    config: SpikeClipConfig,
    limit: int | None,
    seed: int,
    shares: Shares,
    part: Part | None = None,
    seen: Seen = Seen(),  # noqa: B008 - frozen
) -> ImageDataset:
    """The images of a data set, or of a part of it, at the size of a model; those that are skipped or that
    it has seen are counted."""
    dataset = open_images(
        source.data,
        config.image_size,
        config.channels,
        seed,
        source.root,
        source.skip_bad,
        limit,
        part,
        shares=shares,
        seen=seen,
    )
    if rank() > 0:
        return dataset
    tell_images(dataset, source.skip_bad)
    if part is None:
        print(dataset.counts)
    else:
        tell_seen(seen, dataset.seen, dataset.seen + len(dataset.labels), part)
    return dataset
