"""What `neuroclip zero-shot` does with still images, `neuroclip train clip` with two towers, and
`neuroclip unseen`."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from deploy.errors import BadInput
from deploy.files import write_json
from deploy.output import claim
from neuroclip.clip.model import Clip, encode_text, load_clip
from neuroclip.clip.spec import ClipSpec
from neuroclip.commands.actions.asked import Source, clip_inputs
from neuroclip.commands.actions.told import tell_classified, tell_images, tell_seen
from neuroclip.compute.devices import device_of
from neuroclip.data.images.images import ImageDataset, Part, open_images
from neuroclip.data.images.vocabulary import expanded, read_labels, replaced
from neuroclip.data.seen import UNKNOWN, Seen, save_seen
from neuroclip.text.labels import Labels, meanings, stands_for
from neuroclip.text.prompts import DEFAULT_TEMPLATE
from neuroclip.towers.assembled import TowersConfig, save_towers
from neuroclip.towers.join import join
from neuroclip.towers.maps import moments
from neuroclip.words import left_out
from neuroclip.words.align import align
from neuroclip.words.images import body_features, class_scores, image_tower


def zero_shot(
    source: Source,
    spec: ClipSpec,
    *,
    labels: str | None,
    replacing: str | None,
    expanding: str | None,
    template: str | None,
    normalisation: str,
    split: Part,
    seed: int,
) -> int:
    """Classify the still images of a split by their texts alone.

    replacing, expanding: as `neuroclip evaluate` has them; labels: in place of the classes' names.
    """
    encoder = load_clip(spec)
    dataset = _opened(source, encoder, seed, None, split)
    given = Labels(dataset.class_names) if labels is None else read_labels(labels)
    names, stands = given.names, stands_for(given, dataset.class_names)
    if labels is not None:
        print("\n".join(meanings(given, dataset.class_names, stands)))
    truth = stands[dataset.labels]
    rows = {"": names}
    if replacing is not None:
        rows["replaced"] = replaced(names, replacing)
    if expanding is not None:
        rows["expanded"] = expanded(names, expanding)
    texts = {
        row: encode_text(encoder, each, template or DEFAULT_TEMPLATE) for row, each in rows.items()
    }
    features = body_features(encoder, dataset.images, normalisation)
    for row, each in rows.items():
        scores = class_scores(encoder, features, texts[row])
        title = (
            f"{row} ({len(each)} names)" if row else f"zero-shot on {dataset.name}, {split} images"
        )
        tell_classified(title, scores, truth, each, "images")
    return 0


def train_towers(
    config: TowersConfig,
    out: Path,
    source: Source | None,
    *,
    template: str | None,
    limit: int | None,
    seed: int,
) -> int:
    """Make a CLIP of two pretrained towers, and align it with labelled images where there are any."""
    claim(out, {} if source is None else source.inputs)
    towers = join(config, seed)
    print(
        f"joined by ImageNet's class names: {100 * towers.training['held_out_classes_found']:.1f} % of "
        "held-out classes found by their name alone (chance: 0.5 %)"
    )
    if source is not None:
        dataset = open_images(
            source.data, config.image_size, 3, seed, source.root, source.skip_bad, limit
        )
        tell_images(dataset, source.skip_bad)
        made = align(towers, dataset, template or DEFAULT_TEMPLATE, str(out), device_of())
        towers = made.towers
        print(
            f"validation accuracy: {100 * made.before:.1f} % by words alone, {100 * made.after:.1f} % "
            f"aligned ({len(dataset.validation)} images)"
        )
    # What the towers themselves were trained on is recorded nowhere.
    save_seen(out, UNKNOWN if source is None else UNKNOWN | dataset.seen_in_training)
    save_towers(out, towers)
    print(f"CLIP: {out}")
    return 0


def unseen(
    source: Source,
    spec: ClipSpec,
    out: Path,
    *,
    leave: int,
    sets: int | None,
    template: str | None,
    normalisation: str,
    limit: int | None,
    seed: int,
) -> int:
    """Accuracy on classes left out of training, among all classes; the table goes to `out`."""
    claim(out, source.inputs | clip_inputs(spec))
    encoder = load_clip(spec)
    dataset = _opened(source, encoder, seed, limit)
    names = dataset.class_names
    if known := int(encoder.seen.among(dataset.ids, "test").sum()):
        raise BadInput(
            f"--clip {encoder.name}: was trained on {known} of these images, whose classes it cannot be "
            "said not to have seen"
        )
    if not 1 <= leave <= (len(names) - 2) // 2:
        raise BadInput(
            f"--leave {leave}: of {len(names)} classes 1 to {max(0, (len(names) - 2) // 2)} can be left "
            "out, as many again to choose the strength, and two to learn from"
        )
    text = encode_text(encoder, names, template or DEFAULT_TEMPLATE).astype(np.float64)
    learned, validation, test = (
        left_out.Part(
            body_features(encoder, dataset.images[part], normalisation), dataset.labels[part]
        )
        for part in (dataset.train, dataset.validation, dataset.test)
    )
    made = image_tower(encoder).map
    scores = text if made is None else text @ made
    of = moments(learned.features, learned.labels, len(names))
    drawn = left_out.draws(len(names), leave, sets, seed)
    rows = left_out.rows(scores, text @ text.T, of, validation, test, drawn, seed)
    width = max(len(", ".join(names[c] for c in row.left_out)) for row in rows)
    print(f"{'left out':{width}}  words alone: unseen, seen   trained on the rest: unseen, seen")
    for row in rows:
        print(f"{', '.join(names[c] for c in row.left_out):{width}}  {_shares(row)}")
    means = np.mean([_values(row) for row in rows], axis=0)
    spread = np.std([_values(row) for row in rows], axis=0)
    print(f"{f'mean of {len(rows)}':{width}}  {_line(means)}")
    print(f"{'deviation':{width}}  {_line(spread)}")
    write_json(
        out / "unseen.json",
        {
            "data": dataset.name,
            "clip": {"model": spec.model, "digest": encoder.digest},
            "images": {"train": len(dataset.train), "test": len(dataset.test)},
            "seed": seed,
            "rows": [asdict(row) | {"left_out": [names[c] for c in row.left_out]} for row in rows],
        },
    )
    return 0


def _values(row: left_out.Row) -> tuple[float, ...]:
    return row.before_unseen, row.before_seen, row.after_unseen, row.after_seen


def _shares(row: left_out.Row) -> str:
    return f"{_line(_values(row))}   (strength {row.strength:g})"


def _line(values: "tuple[float, ...] | np.ndarray") -> str:
    a, b, c, d = (f"{100 * value:5.1f} %" for value in values)
    return f"{a:>19}, {b}   {c:>27}, {d}"


def _opened(
    source: Source, clip: Clip, seed: int, limit: int | None, part: Part | None = None
) -> ImageDataset:
    seen = Seen() if part is None else clip.seen
    dataset = open_images(
        source.data, clip.image_size, 3, seed, source.root, source.skip_bad, limit, part, seen=seen
    )
    tell_images(dataset, source.skip_bad)
    if part is not None:
        tell_seen(clip.seen, dataset.seen, dataset.seen + len(dataset.labels), part)
    return dataset
