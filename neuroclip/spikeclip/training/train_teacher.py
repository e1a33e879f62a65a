"""A small CLIP of our own as a teacher, trained on the same images with label sentences.

Where no pretrained CLIP can be had. Its loss is CLIP's, all images of a sentence's class being
right: cross-entropy of an image over one sentence of every class.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.errors import BadInput
from deploy.files import write_json
from neuroclip.clip.convolutional_tower import NAME, WIDTHS, ConvolutionalTower
from neuroclip.clip.model import CONFIG_FILE, WEIGHTS_FILE, Clip, build_own_clip, own_clip
from neuroclip.compute.devices import channels_last_, device_of
from neuroclip.compute.distributed import rank
from neuroclip.compute.parallel import own
from neuroclip.data.images.images import ImageDataset
from neuroclip.data.seen import save_seen
from neuroclip.spikeclip.training.recipe import (
    Mirrors,
    SpikeRecipe,
    augmented,
    identified,
    mixed_precision,
)
from neuroclip.spikeclip.training.teacher import clip_input
from neuroclip.storage.weights import save_weights
from neuroclip.text.prompts import fill
from neuroclip.text.tokenizer import VOCABULARY, tokenize
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

_BATCH = 256
# Images whose patches are whitened.
_WHITENED = 5000
# Of the captions' contrast, and the learning rate of a text tower that has seen none.
_CAPTION_SCALE, _TEXT_RATE = 10.0, 2e-3
# Bytes of a sentence that the text tower reads, start and end included.
_CONTEXT = 80
# Of open_clip's resnet: pixels of the image per row of its last stage, and its pool's width per stem's.
_RESNET_STRIDE = 32
# Pixels of which an image's side must be a multiple; the transformer's are its patches.
_CELLS = {"transformer": None, "resnet": _RESNET_STRIDE, "convolutional": 8}


@dataclass(frozen=True)
class TeacherSizes:
    """Of an own teacher, an open_clip image tower and a text transformer of bytes.

    tower: "transformer", "resnet" (open_clip's own, which learns more from few images) or
    "convolutional" (`neuroclip.clip.convolutional_tower`, which learns most in least time). layers: of the
    transformer, or blocks in each of the resnet's four stages. patch_size: of the transformer.
    image_size: pixels a side that it sees. epochs, learning_rate, batch (the recipe's where None),
    smoothing (of the labels): of its training. caption_epochs: before it, over the words, for the text
    tower alone, which from images of ten classes would not learn to tell other words apart.
    """

    tower: Literal["transformer", "resnet", "convolutional"] = "transformer"
    image_size: int = 32
    patch_size: int = 4
    layers: int = 6
    width: int = 192
    heads: int = 3
    features: int = 128
    text_width: int = 128
    text_layers: int = 2
    epochs: int = 40
    learning_rate: float = 1e-3
    batch: int | None = None
    smoothing: float = 0.0
    caption_epochs: int = 0
    orthogonal_rate: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("smoothing", "caption_epochs"):
                if not 0 <= value < (1 if name == "smoothing" else 4096):
                    raise BadInput(f"teacher: {name} {value} is out of its range")
            elif name != "tower" and value is not None and not 0 < value <= 4096:
                raise BadInput(f"teacher: {name} {value}, expected above 0 to 4096")
        if self.tower not in _CELLS:
            raise BadInput(f"teacher: tower '{self.tower}' is none of {', '.join(_CELLS)}")
        if self.tower == "convolutional" and self.width not in WIDTHS:
            raise BadInput(f"teacher: width {self.width} is none of {WIDTHS} (tower convolutional)")
        cell = _CELLS[self.tower] or self.patch_size
        heads = 1 if self.tower == "convolutional" else self.heads
        if self.width % heads or self.image_size % cell:
            raise BadInput(
                f"teacher: width {self.width} and image_size {self.image_size} are no multiples of "
                f"heads {heads} and {cell} pixels"
            )

    def vision(self) -> dict[str, Any]:
        """open_clip's configuration of the image tower."""
        if self.tower == "convolutional":
            return {"timm_model_name": f"{NAME}{self.width}", "image_size": self.image_size}
        if self.tower == "resnet":
            # Its attention pool is 32 times as wide as its stem.
            head = self.width * _RESNET_STRIDE // self.heads
            return {"layers": [self.layers] * 4, "width": self.width, "head_width": head,
                    "image_size": self.image_size}  # fmt: skip
        return {"layers": self.layers, "width": self.width, "head_width": self.width // self.heads,
                "patch_size": self.patch_size, "image_size": self.image_size}  # fmt: skip


def train_teacher(
    sizes: TeacherSizes,
    recipe: SpikeRecipe,
    dataset: ImageDataset,
    templates: Sequence[str],
    words: Sequence[str],
    out: Path,
    session: Session = Session(),  # noqa: B008 - frozen
    device: str | None = None,
) -> list[dict[str, Any]]:
    """Train a teacher and write it to the folder `out`, as `load_clip` reads it; returns the history.

    The validation images choose the epoch by the accuracy with the first template. Pixels are
    normalised as CLIP's.
    """
    config = {
        "embed_dim": sizes.features,
        "vision_cfg": sizes.vision(),
        "text_cfg": {
            "context_length": _CONTEXT,
            "vocab_size": VOCABULARY,
            "width": sizes.text_width,
            "heads": max(1, sizes.text_width // 32),
            "layers": sizes.text_layers,
        },
    }
    torch.manual_seed(recipe.seed)
    place = device_of(device)
    clip = own_clip(build_own_clip(config), config, "teacher", place)
    recipe = replace(recipe, batch=sizes.batch or recipe.batch)
    identity = _identity(sizes, recipe, dataset, templates, words)
    history: list[dict[str, Any]] = []
    if sizes.caption_epochs:
        known = tuple(dict.fromkeys((*dataset.class_names, *words)))
        history += _align_captions(clip, sizes, recipe, known, templates, identity, session)
    history += _align_images(clip, sizes, recipe, dataset, templates, identity, session)
    if rank() > 0:
        return history
    save_weights(out / WEIGHTS_FILE, clip.module)
    save_seen(out, dataset.seen_in_training)
    best = max((h for h in history if h["stage"] == "teacher"), key=lambda h: h["validation"])
    training = {
        "data": dataset.name,
        "seed": recipe.seed,
        "epochs": sizes.epochs,
        "chosen_epoch": best["epoch"],
        "validation_accuracy_on_pictures": best["validation"],
    }
    write_json(out / CONFIG_FILE, {"clip": config, "training": training})
    return history


class _TextTower(nn.Module):
    """The parts of open_clip's CLIP that read, to train and to keep alone."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.transformer, self.embedding = clip.transformer, clip.token_embedding
        self.norm, self.positions = clip.ln_final, clip.positional_embedding
        self.projection = clip.text_projection


def _align_captions(
    clip: Clip, sizes: TeacherSizes, recipe: SpikeRecipe, words: Sequence[str],
    templates: Sequence[str], identity: str, session: Session,
) -> list[dict[str, Any]]:  # fmt: skip
    """The text tower alone: two sentences of a word are alike, those of any other word are not."""
    ids = torch.stack([tokenize(fill(words, t), _CONTEXT) for t in templates]).to(clip.device)
    text = _TextTower(clip.module)

    def features(which: Tensor, index: Tensor) -> Tensor:
        made: Tensor = clip.module.encode_text(ids[which, index], normalize=True)
        return made.float()

    def loss_of(index: Tensor) -> Tensor:
        index = own(index)
        first, second = (
            features(torch.randint(len(templates), index.shape).to(index.device), index)
            for _ in range(2)
        )
        logits, right = _CAPTION_SCALE * first @ second.T, torch.arange(len(index)).to(index.device)
        return functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)

    def evaluate() -> dict[str, Any]:
        every = torch.arange(len(words), device=clip.device)
        first, last = (features(torch.full_like(every, n), every) for n in (0, len(templates) - 1))
        return {"validation": float(((first @ last.T).argmax(1) == every).float().mean())}

    stage = Stage("captions", sizes.caption_epochs, _TEXT_RATE, recipe.weight_decay, len(words),
                  recipe.seed, identity)  # fmt: skip
    return fit(stage, text, len(words), loss_of, evaluate, session)


def _align_images(
    clip: Clip, sizes: TeacherSizes, recipe: SpikeRecipe, dataset: ImageDataset,
    templates: Sequence[str], identity: str, session: Session,
) -> list[dict[str, Any]]:  # fmt: skip
    """Both towers: cross-entropy of an image over one sentence of every class."""
    module, place = clip.module, clip.device
    ids = torch.stack([tokenize(fill(dataset.class_names, t), _CONTEXT) for t in templates])
    ids = ids.to(place)
    names = torch.arange(ids.shape[1], device=place)
    images, labels, train, validation = (
        torch.from_numpy(x).to(place)
        for x in (dataset.images, dataset.labels, dataset.train, dataset.validation)
    )
    tower = getattr(module.visual, "trunk", None)
    if isinstance(tower, ConvolutionalTower):
        tower.whiten_(
            clip_input(clip, "clip", images[train[torch.randperm(len(train))[:_WHITENED]]].float())
        )
        channels_last_(module)
    if sizes.caption_epochs:
        # What it has read stays: words without images would drift.
        _TextTower(module).requires_grad_(False)
    mirrors = Mirrors(recipe, len(train), place)

    def logits(seen: Tensor, sentences: Tensor) -> Tensor:
        with mixed_precision(recipe, place):
            features = module.encode_image(clip_input(clip, "clip", seen), normalize=True)
            text = module.encode_text(sentences, normalize=True)
        # CLIP's own limit on the temperature: logits are scaled by at most 100.
        return module.logit_scale.exp().clamp(max=100) * features.float() @ text.float().T

    def loss_of(index: Tensor) -> Tensor:
        which = train[index]
        seen = own(augmented(recipe, images[which].float(), mirrors(index)))
        chosen = torch.randint(len(templates), names.shape).to(place)
        return functional.cross_entropy(
            logits(seen, ids[chosen, names]), labels[own(which)], label_smoothing=sizes.smoothing
        )

    def evaluate() -> dict[str, Any]:
        right = [
            (logits(images[which].float(), ids[0]).argmax(1) == labels[which]).float()
            for which in validation.split(_BATCH)
        ]
        return {"validation": float(torch.cat(right).mean())}

    stage = Stage("teacher", sizes.epochs, sizes.learning_rate, recipe.weight_decay, recipe.batch,
                  recipe.seed, identity)  # fmt: skip
    return fit(stage, module, len(dataset.train), loss_of, evaluate, session, mirrors.begins,
               sizes.orthogonal_rate)  # fmt: skip


def _identity(
    sizes: TeacherSizes, recipe: SpikeRecipe, dataset: ImageDataset, templates: Sequence[str],
    words: Sequence[str],
) -> str:  # fmt: skip
    digest = hashlib.sha256(np.ascontiguousarray(dataset.images).tobytes())
    digest.update(dataset.labels.tobytes() + dataset.train.tobytes())
    return json.dumps(
        [
            asdict(sizes),
            identified(recipe),
            list(templates),
            list(words),
            dataset.class_names,
            digest.hexdigest(),
        ]
    )
