"""Training settings of a SpikeCLIP: one JSON file, of which everything left out has its default."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from deploy.errors import BadInput
from deploy.files import read_json
from neuroclip.clip.spec import BUNDLED
from neuroclip.data.images.images import Shares
from neuroclip.data.images.vocabulary import with_vocabularies
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.config_files import CONFIGS, config_file
from neuroclip.spikeclip.training.recipe import SpikeRecipe
from neuroclip.spikeclip.training.teacher import OWN, TeacherConfig
from neuroclip.spikeclip.training.train_teacher import TeacherSizes
from neuroclip.storage.checkpoint_files import typed
from neuroclip.text.prompts import DEFAULT_TEMPLATE, fill

T = TypeVar("T")

# The authors' code and scripts: cosines are the logits, of the batch one loss is the mean and one the sum.
PUBLISHED = SpikeRecipe(
    epochs=50, learning_rate=5e-3, finetune_epochs=200, finetune_learning_rate=5e-4, text_epochs=2000,
    text_learning_rate=5e-3, weight_decay=0.0, batch=196, temperature=1.0, amsgrad=True,
    summed_kl=True, averaged_texts=True, own_texts=True,
)  # fmt: skip


@dataclass(frozen=True)
class TextSizes:
    """Of the text encoder: tokens of a sentence, hidden neurons; the defaults are the paper's.

    norm, trained_embeddings: see `TextConfig`.
    """

    tokens: int = 20
    hidden: int = 2048
    norm: bool = True
    trained_embeddings: bool = False


@dataclass(frozen=True)
class Settings:
    """What a training is made of.

    template: of the class sentences. templates, labels: of the sentences that the text encoder learns
    besides, every label in every template, "@NAME" being all class names of a data set. limit: images
    per class at most. own_teacher: sizes of the one that `--stage teacher` trains, for where no
    pretrained CLIP can be had. shares: how images without a test part of their own are shared out.
    """

    model: SpikeClipConfig
    recipe: SpikeRecipe
    teacher: TeacherConfig
    text: TextSizes
    template: str
    templates: tuple[str, ...]
    labels: tuple[str, ...]
    limit: int | None
    own_teacher: TeacherSizes
    shares: Shares

    def __post_init__(self) -> None:
        if self.recipe.spike_rate is not None and self.model.variant == "ann":
            raise BadInput("training: spike_rate, where the variant 'ann' has no spikes")
        if self.recipe.teacher_sees_views and self.model.pixels == "clip":
            raise BadInput("training: teacher_sees_views needs pixels as messages, not 'clip'")


def read_settings(name_or_file: str) -> Settings:
    """The settings in a JSON file, or bundled ones by name.

    Its key "like" names bundled ones, which hold where it says nothing else. A file may come from anyone:
    it names no other teacher than the bundled one and one trained here. Raises BadInput naming the file, the
    key and the value.
    """
    path = config_file(name_or_file)
    try:
        return _settings(_read(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _read(path: Path, followed: bool = True) -> dict[str, Any]:
    """A file's keys, over those of the settings that it is like."""
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise BadInput("not a JSON object")
    like = raw.pop("like", None) if followed else None
    if like is None:
        return raw
    known = sorted(p.stem for p in CONFIGS.glob("*.json") if p != path)
    if like not in known:
        raise BadInput(f"key 'like' is {like!r}, expected one of {known}")
    found = _read(CONFIGS / f"{like}.json", followed=False)
    for key, value in raw.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = found[key] | value if both else value
    return found


def _settings(raw: Mapping[str, Any]) -> Settings:
    keys = {
        "model",
        "recipe",
        "teacher",
        "text",
        "template",
        "templates",
        "labels",
        "limit",
        "own_teacher",
        "shares",
    }
    unknown = sorted(raw.keys() - keys)
    if unknown:
        raise BadInput(f"key '{unknown[0]}' is unknown")
    template = raw.get("template", DEFAULT_TEMPLATE)
    lists = {}
    for key, default in (("templates", [template]), ("labels", [])):
        lists[key] = raw.get(key, default)
        if not isinstance(lists[key], list) or not all(isinstance(x, str) for x in lists[key]):
            raise BadInput(f"key '{key}' is {lists[key]!r}, expected a list of text")
    if not isinstance(template, str):
        raise BadInput(f"key 'template' is {template!r}, expected text")
    for each in (template, *lists["templates"]):
        fill(["label"], each)
    teacher = _part("teacher", raw, TeacherConfig())
    if teacher.model not in (OWN, BUNDLED) or teacher.pretrained is not None:
        raise BadInput(
            f"key 'teacher' is '{teacher.model}', expected '{OWN}' or '{BUNDLED}'; another one is named "
            "by --clip and --pretrained"
        )
    # What the file leaves out of the paper's variant is as the authors' code has it.
    paper = isinstance(raw.get("model"), dict) and raw["model"].get("variant") == "paper"
    published = SpikeClipConfig(variant="paper", pixels="clip", by_224=True, detached_reset=True)
    model = _part("model", raw, published if paper else SpikeClipConfig())
    limit = raw.get("limit")
    if limit is not None and (type(limit) is not int or limit < 2):
        raise BadInput(f"key 'limit' is {limit!r}, expected 2 or more")
    return Settings(
        model,
        _part("recipe", raw, PUBLISHED if paper else SpikeRecipe()),
        teacher,
        _part("text", raw, TextSizes(norm=not paper, trained_embeddings=paper)),
        template,
        tuple(lists["templates"]),
        with_vocabularies(lists["labels"]),
        limit,
        _part("own_teacher", raw, TeacherSizes()),
        _part("shares", raw, Shares()),
    )


def _part(key: str, raw: Mapping[str, Any], default: T) -> T:
    """One dataclass of the settings; what the file leaves out is the default's."""
    given = raw.get(key, {})
    if not isinstance(given, dict):
        raise BadInput(f"key '{key}' is {given!r}, expected an object")
    made: T = typed(key, {key: asdict(default) | given}, type(default))  # type: ignore[call-overload]
    return made
