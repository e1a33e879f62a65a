"""A small CLIP of our own as a teacher, trained on the same images with label sentences.

Where no pretrained CLIP can be had. Its loss is CLIP's, all images of a sentence's class being
right: cross-entropy of an image over one sentence of every class.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput
from deploy.files import write_json
from neuroclip.clip.model import CONFIG_FILE, WEIGHTS_FILE, build_own_clip, own_clip
from neuroclip.compute.devices import device_of
from neuroclip.compute.distributed import rank
from neuroclip.compute.parallel import own
from neuroclip.data.images.images import ImageDataset
from neuroclip.spikeclip.training.recipe import SpikeRecipe, augmented, mixed_precision
from neuroclip.spikeclip.training.teacher import clip_input
from neuroclip.storage.weights import save_weights
from neuroclip.text.prompts import fill
from neuroclip.text.tokenizer import VOCABULARY, tokenize
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

_BATCH = 256
# Bytes of a sentence that the text tower reads, start and end included.
_CONTEXT = 80
# Of open_clip's resnet: pixels of the image per row of its last stage, and its pool's width per stem's.
_RESNET_STRIDE = 32


@dataclass(frozen=True)
class TeacherSizes:
    """Of an own teacher, an open_clip image tower and a text transformer of bytes.

    tower: "transformer", or "resnet" (open_clip's own, which learns more from few images); layers: of
    the transformer, or blocks in each of the resnet's four stages. patch_size: of the transformer.
    image_size: pixels a side that it sees. epochs, learning_rate: of its training.
    """

    tower: Literal["transformer", "resnet"] = "transformer"
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
            if name != "tower" and not 0 < value <= 4096:
                raise BadInput(f"teacher: {name} {value}, expected above 0 to 4096")
        if self.tower not in ("transformer", "resnet"):
            raise BadInput(f"teacher: tower '{self.tower}' is neither 'transformer' nor 'resnet'")
        cell = self.patch_size if self.tower == "transformer" else _RESNET_STRIDE
        if self.width % self.heads or self.image_size % cell:
            raise BadInput(
                f"teacher: width {self.width} and image_size {self.image_size} are no multiples of "
                f"heads {self.heads} and {cell} pixels"
            )

    def vision(self) -> dict[str, Any]:
        """open_clip's configuration of the image tower."""
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
    module = clip.module
    ids = torch.stack([tokenize(fill(dataset.class_names, t), _CONTEXT) for t in templates])
    ids = ids.to(place)
    names = torch.arange(ids.shape[1], device=place)
    images, labels, train, validation = (
        torch.from_numpy(x).to(place)
        for x in (dataset.images, dataset.labels, dataset.train, dataset.validation)
    )

    def logits(seen: Tensor, sentences: Tensor) -> Tensor:
        with mixed_precision(recipe, place):
            features = module.encode_image(clip_input(clip, "clip", seen), normalize=True)
            text = module.encode_text(sentences, normalize=True)
        # CLIP's own limit on the temperature: logits are scaled by at most 100.
        return module.logit_scale.exp().clamp(max=100) * features.float() @ text.float().T

    def loss_of(index: Tensor) -> Tensor:
        which = train[index]
        seen = own(augmented(recipe, images[which].float()))
        chosen = torch.randint(len(templates), names.shape).to(place)
        return functional.cross_entropy(logits(seen, ids[chosen, names]), labels[own(which)])

    def evaluate() -> dict[str, Any]:
        right = [
            (logits(images[which].float(), ids[0]).argmax(1) == labels[which]).float()
            for which in validation.split(_BATCH)
        ]
        return {"validation": float(torch.cat(right).mean())}

    stage = Stage("teacher", sizes.epochs, sizes.learning_rate, recipe.weight_decay, recipe.batch,
                  recipe.seed, _identity(sizes, recipe, dataset, templates))  # fmt: skip
    history = fit(stage, module, len(dataset.train), loss_of, evaluate, session)
    if rank() > 0:
        return history
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
