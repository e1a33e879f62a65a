"""The teacher's class probabilities, which step 2 distils: as it is, or fine-tuned on the classes.

The paper fine-tunes the teacher on the data set before its second step. A probe learns a linear layer
on the image features; full training moves the image tower and keeps the texts. Either begins at the
zero-shot classifier, scale·features·textᵀ, and minimises cross-entropy on the training images; the
validation images choose the epoch, of which the start is one.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroclip.clip.model import Clip
from neuroclip.compute.parallel import own
from neuroclip.data.images.images import ImageDataset
from neuroclip.spikeclip.training.pairs import Pairs
from neuroclip.spikeclip.training.recipe import (
    Mirrors,
    SpikeRecipe,
    augmented,
    identified,
    mixed_precision,
)
from neuroclip.spikeclip.training.teacher import TeacherConfig, clip_input
from neuroclip.training.adamw import fit
from neuroclip.training.loop import Session, Stage

_BATCH = 256


@dataclass(frozen=True, eq=False)
class ClassTeacher:
    """Probabilities [N, labels] of the training images, accuracy on validation, and the curves.

    of_views: probabilities [N, labels] of other images 0..255, float32 [N, C, H, W], on its device.
    """

    probabilities: Tensor
    of_views: Callable[[Tensor], Tensor]
    accuracy: float
    history: list[dict[str, Any]]


class _Probe(nn.Module):
    """Logits [N, labels] of features [N, F]."""

    def __init__(self, scale: float, text: Tensor) -> None:
        super().__init__()
        self.scale, self.weight = scale, nn.Parameter(text.clone())

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * features @ self.weight.T


class _Tower(nn.Module):
    """Logits [N, labels] of images 0..255, float32 [N, C, H, W]."""

    def __init__(self, clip: Clip, normalisation: str, scale: float, text: Tensor) -> None:
        super().__init__()
        self.visual: nn.Module = copy.deepcopy(clip.module.visual)
        self.scale = scale
        self.prepare = lambda images: clip_input(clip, normalisation, images)
        self.register_buffer("text", text.clone())

    def forward(self, images: Tensor) -> Tensor:
        features = self.visual(self.prepare(images)).float()
        return self.scale * functional.normalize(features, dim=-1) @ self.text.T


def class_teacher(
    clip: Clip, config: TeacherConfig, recipe: SpikeRecipe, dataset: ImageDataset, train: Pairs,
    validation: Pairs, text: Tensor, scale: float,
    session: Session = Session(),  # noqa: B008 - frozen
) -> ClassTeacher:  # fmt: skip
    """What the teacher says of the training images, fine-tuned as `config.finetune` asks.

    text: features [labels, F] that its images are compared with, scale: by which the cosines are
    multiplied (its own L2-normalised ones and CLIP's scale, or as the recipe's `own_texts` has it).
    train, validation: of `dataset`, on the teacher's device.
    """
    module: _Probe | _Tower = _Probe(scale, text)
    inputs, held = train.features, validation.features
    mirrors = Mirrors(recipe, len(train.labels), clip.device)
    varied: Callable[[Tensor, Tensor], Tensor] = lambda features, _: features  # noqa: E731
    if config.finetune == "full":
        module = _Tower(clip, config.normalisation, scale, text).to(clip.device)
        inputs, held = (
            torch.from_numpy(dataset.images[part]).to(clip.device)
            for part in (dataset.train, dataset.validation)
        )
        varied = lambda images, mirrored: augmented(recipe, images.float(), mirrored)  # noqa: E731

    def loss_of(index: Tensor) -> Tensor:
        with mixed_precision(recipe, clip.device):
            logits = module(own(varied(inputs[index], mirrors(index))))
        return functional.cross_entropy(logits.float(), train.labels[own(index)])

    def accuracy() -> float:
        return float((_logits(module, held).argmax(dim=1) == validation.labels).float().mean())

    history: list[dict[str, Any]] = []
    if config.finetune != "none":
        rate = config.finetune_learning_rate
        identity = json.dumps([identified(recipe), asdict(config), train.digest(), train.source])
        stage = Stage(config.finetune, config.finetune_epochs, rate, recipe.weight_decay,
                      recipe.batch, recipe.seed, identity)  # fmt: skip
        history = fit(stage, module, len(train.labels), loss_of,
                      lambda: {"validation": accuracy()}, session, mirrors.begins)  # fmt: skip
    probabilities = torch.softmax(_logits(module, inputs), dim=-1)
    tower = module
    if isinstance(module, _Probe):
        tower = (
            _Tower(clip, config.normalisation, scale, module.weight.detach()).to(clip.device).eval()
        )

    @torch.no_grad()
    def of_views(images: Tensor) -> Tensor:
        with mixed_precision(recipe, clip.device):
            return torch.softmax(tower(images).float(), dim=-1)

    return ClassTeacher(probabilities, of_views, accuracy(), history)


@torch.no_grad()
def _logits(module: nn.Module, inputs: Tensor) -> Tensor:
    module.eval()
    return torch.cat([module(part.float()).float() for part in inputs.split(_BATCH)])
