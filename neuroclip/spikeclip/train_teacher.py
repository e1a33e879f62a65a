"""A small CLIP of our own as a teacher, trained on the same images with label sentences.

Where no pretrained CLIP can be had. Its loss is CLIP's, all images of a sentence's class being
right: cross-entropy of an image over one sentence of every class.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput
from deploy.files import write_json
from neuroclip.clip import CONFIG_FILE, WEIGHTS_FILE, build_own_clip, own_clip
from neuroclip.data.images import ImageDataset
from neuroclip.loop import Session, Stage
from neuroclip.prompts import fill
from neuroclip.spikeclip.loop import fit
from neuroclip.spikeclip.teacher import clip_input
from neuroclip.spikeclip.training import SpikeRecipe, augmented
from neuroclip.tokenizer import VOCABULARY, tokenize
from neuroclip.weights import save_weights

_BATCH = 256
# Bytes of a sentence that the text tower reads, start and end included.
_CONTEXT = 80


@dataclass(frozen=True)
class TeacherSizes:
    """Of an own teacher, a vision transformer and a text transformer of bytes.

    image_size: pixels a side that it sees. epochs, learning_rate: of its training.
    """

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

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value <= 4096:
                raise BadInput(f"teacher: {name} {value}, expected above 0 to 4096")
        if self.width % self.heads or self.image_size % self.patch_size:
            raise BadInput(
                f"teacher: width {self.width} and image_size {self.image_size} are no multiples of "
                f"heads {self.heads} and patch_size {self.patch_size}"
            )


def train_teacher(
    sizes: TeacherSizes,
    recipe: SpikeRecipe,
    dataset: ImageDataset,
    templates: Sequence[str],
    out: Path,
    session: Session = Session(),  # noqa: B008 - frozen
) -> list[dict[str, Any]]:
    """Train a teacher and write it to the folder `out`, as `load_clip` reads it; returns the history.

    The validation images choose the epoch by the accuracy with the first template. Pixels are
    normalised as CLIP's.
    """
    config = {
        "embed_dim": sizes.features,
        "vision_cfg": {
            "layers": sizes.layers,
            "width": sizes.width,
            "head_width": sizes.width // sizes.heads,
            "patch_size": sizes.patch_size,
            "image_size": sizes.image_size,
        },
        "text_cfg": {
            "context_length": _CONTEXT,
            "vocab_size": VOCABULARY,
            "width": sizes.text_width,
            "heads": max(1, sizes.text_width // 32),
            "layers": sizes.text_layers,
        },
    }
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clip = own_clip(build_own_clip(config), config, "teacher", device)
    module = clip.module
    ids = torch.stack([tokenize(fill(dataset.class_names, t), _CONTEXT) for t in templates])
    ids = ids.to(device)
    labels = torch.from_numpy(dataset.labels).to(device)

    def logits(images: Tensor, sentences: Tensor) -> Tensor:
        seen = module.encode_image(clip_input(clip, "clip", images), normalize=True)
        text = module.encode_text(sentences, normalize=True)
        # CLIP's own limit on the temperature: logits are scaled by at most 100.
        return module.logit_scale.exp().clamp(max=100) * seen @ text.T

    def loss_of(index: Tensor) -> Tensor:
        which = dataset.train[index.numpy()]
        images = augmented(recipe, torch.from_numpy(dataset.images[which]).float())
        chosen = torch.randint(len(templates), (ids.shape[1],))
        found = logits(images, ids[chosen.to(device), torch.arange(ids.shape[1], device=device)])
        return functional.cross_entropy(found, labels[which])

    def evaluate() -> dict[str, Any]:
        right = []
        for start in range(0, len(dataset.validation), _BATCH):
            which = dataset.validation[start : start + _BATCH]
            images = torch.from_numpy(dataset.images[which]).float()
            right.append((logits(images, ids[0]).argmax(1) == labels[which]).float())
        return {"validation": float(torch.cat(right).mean())}

    stage = Stage("teacher", sizes.epochs, sizes.learning_rate, recipe.weight_decay, recipe.batch,
                  recipe.seed, _identity(sizes, recipe, dataset, templates))  # fmt: skip
    history = fit(stage, module, len(dataset.train), loss_of, evaluate, session)
    save_weights(out / WEIGHTS_FILE, module)
    best = max(history, key=lambda h: h["validation"])
    training = {
        "data": dataset.name,
        "seed": recipe.seed,
        "epochs": sizes.epochs,
        "chosen_epoch": best["epoch"],
        "validation_accuracy_on_pictures": best["validation"],
    }
    write_json(out / CONFIG_FILE, {"clip": config, "training": training})
    return history


def _identity(
    sizes: TeacherSizes, recipe: SpikeRecipe, dataset: ImageDataset, templates: Sequence[str]
) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(dataset.images).tobytes())
    digest.update(dataset.labels.tobytes() + dataset.train.tobytes())
    return json.dumps(
        [asdict(sizes), asdict(recipe), list(templates), dataset.class_names, digest.hexdigest()]
    )
