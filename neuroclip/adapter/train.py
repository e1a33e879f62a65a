"""Few-shot training of the adapter: first in floating point, then on the chip's arithmetic.

The recipe is the paper's (Guo, Chen, Ma 2023): CLIP frozen, label-smoothed cross-entropy, SGD with
momentum and weight decay, one warm-up epoch and a cosine. The epoch kept is the best on validation
data; the authors' release chose it on the test set.
"""

import hashlib
import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.adapter.baselines import ClipAdapter, ClipAdapterConfig
from neuroclip.adapter.eight_bits import EightBitAnn, in_eight_bits
from neuroclip.adapter.model import AdapterConfig, AnnAdapter, ChipAdapter, FloatAdapter, quantized
from neuroclip.compute.threads import one_thread
from neuroclip.training.loop import Session, Stage, fit

Array = NDArray[np.float32]
Adapter = FloatAdapter | ChipAdapter | ClipAdapter | EightBitAnn
Sizes = AdapterConfig | ClipAdapterConfig
Trainable = TypeVar("Trainable", bound=Adapter)


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's, but for the quantization-aware stage, smoothing and
    warm-up, of which `as_published` has the paper's.

    epochs, learning_rate: of the floating-point stage. quantized_epochs, quantized_learning_rate: of
    the stage on the chip's arithmetic, which starts from the result of the first (its rate: the best
    on validation of 0.0005, 0.002 and 0.01, over three seeds). smoothing: of labels, by torch's
    convention. warm_up: share of the learning rate in the first epoch. temperature: by which cosines are
    multiplied, CLIP's own. spike_rate: spikes per neuron and step above which the loss grows, by
    spike_penalty·(rate/spike_rate − 1), linearly, since a square silences the layer; None leaves
    activity alone.
    """

    epochs: int = 250
    learning_rate: float = 0.01
    quantized_epochs: int = 80
    quantized_learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 32
    smoothing: float = 0.2
    warm_up: float = 0.1
    temperature: float = 100.0
    spike_rate: float | None = None
    spike_penalty: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "quantized_epochs", "batch"):
            if getattr(self, name) < 1:
                raise BadInput(f"training: {name} {getattr(self, name)} is not positive")
        if self.spike_rate is not None and not 0 < self.spike_rate < 1:
            raise BadInput(f"training: spike_rate {self.spike_rate} is not between 0 and 1")


def as_published(recipe: Recipe, classes: int) -> Recipe:
    """The recipe with NeuroCLIP's own numbers (public code): 0.8 is left on the class, which in torch's
    convention is 1 − ε + ε/classes; the warm-up epoch has a learning rate of 1e-5."""
    return replace(
        recipe, smoothing=0.2 * classes / max(1, classes - 1), warm_up=1e-5 / recipe.learning_rate
    )


@dataclass(frozen=True, eq=False)
class Examples:
    """Frame features float32 [N, V, T, C], L2-normalised, and labels int64 [N].

    Of the V variants of a recording the first is the recording itself; training draws one of them
    at random each time, evaluation takes the first. lengths: of the features before they were
    normalised [N, V, T]; None where they were of unit length.
    """

    features: Tensor
    labels: Tensor
    lengths: Tensor | None = None

    @staticmethod
    def of(features: Array, labels: NDArray[np.int64]) -> "Examples":
        """Examples from features as the encoder makes them; [N, T, C] are of recordings without variants."""
        x = torch.from_numpy(features)
        x = x if x.ndim == 4 else x[:, None]
        unit = nn.functional.normalize(x, dim=-1)
        return Examples(unit, torch.from_numpy(labels), x.norm(dim=-1))

    def where(self, kept: Tensor) -> "Examples":
        """Those at indices, or where a mask is true."""
        lengths = None if self.lengths is None else self.lengths[kept]
        return Examples(self.features[kept], self.labels[kept], lengths)

    def raw(self) -> "Examples":
        """The same with features as the encoder makes them."""
        if self.lengths is None:
            return self
        return Examples(self.features * self.lengths[..., None], self.labels)


@dataclass(frozen=True, eq=False)
class Trained:
    """The two adapters of a training, each of its best epoch, and the curves that led there.

    history: one entry per epoch: stage, epoch, loss (None before the first), validation accuracy.
    """

    float_adapter: FloatAdapter
    chip_adapter: ChipAdapter
    history: list[dict[str, Any]]


def train_adapter(
    config: AdapterConfig,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    text: Tensor,
    state_folder: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train an adapter on frame features; the same seed gives the same weights.

    train, validation: of a configuration that reads raw features with their lengths. text: L2-normalised
    [labels, C]. state_folder: where each epoch's state is kept. resume: go on
    from there; a training that was killed ends with the weights of an unbroken one. Raises BadInput
    where the kept state is damaged or of another training.
    """
    torch.manual_seed(recipe.seed)
    if config.raw:
        train, validation = train.raw(), validation.raw()
    with one_thread():
        adapter = FloatAdapter(config, text)
        session = Session(state_folder, resume)
        stage = _stage("float", recipe, recipe.weight_decay, config, text, train, validation)
        history = _fit(adapter, stage, recipe, train, validation, session)
        chip = quantized(adapter.eval())
        # Weights that are held within the chip's range need no other pull toward zero.
        stage = _stage("quantized", recipe, 0.0, config, text, train, validation)
        history += _fit(chip, stage, recipe, train, validation, session)
    return Trained(adapter, chip.eval(), history)


def train_anns(
    config: AdapterConfig, recipe: Recipe, train: Examples, validation: Examples, text: Tensor
) -> tuple[AnnAdapter, EightBitAnn]:
    """Two ANNs of one first stage: the second in floating point, and in 8 bits, quantization-aware.

    They get what the chip's adapter gets: as many epochs at the same rates in both stages, and the
    choice of epoch in each. Arguments as `train_adapter`'s.
    """
    torch.manual_seed(recipe.seed)
    data = config, recipe, train, validation, text
    first = trained_stage(AnnAdapter(config, text), "float", *data)
    int8 = in_eight_bits(first, train.features.flatten(0, 1))
    return trained_stage(first, "quantized", *data), trained_stage(int8, "quantized", *data)


def train_clip_adapter(
    config: ClipAdapterConfig, recipe: Recipe, train: Examples, validation: Examples, text: Tensor
) -> ClipAdapter:
    """CLIP-Adapter with the epochs of both stages. Arguments as `train_adapter`'s."""
    torch.manual_seed(recipe.seed)
    data = config, recipe, train, validation, text
    first = trained_stage(ClipAdapter(config, text), "float", *data)
    return trained_stage(first, "quantized", *data)


def trained_stage(
    module: Trainable,
    name: str,
    config: Sizes,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    text: Tensor,
) -> Trainable:
    """A copy of the module after the stage "float" or "quantized", in its best epoch.

    The stage "quantized" is as long as the chip's. Data as `train_adapter`'s.
    """
    module = deepcopy(module)
    # Weights that a chip holds within its range, and those beside them, are not pulled toward zero.
    decay = recipe.weight_decay if name == "float" else 0.0
    with one_thread():
        stage = _stage(name, recipe, decay, config, text, train, validation)
        _fit(module, stage, recipe, train, validation, Session())
    return module


def _fit(
    module: Adapter,
    stage: Stage,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    session: Session,
) -> list[dict[str, Any]]:
    """Train `module` in place and leave it in its best epoch; returns the history."""
    optimizer = torch.optim.SGD(
        [p for p in module.parameters() if p.requires_grad],
        lr=stage.learning_rate,
        momentum=recipe.momentum,
        weight_decay=stage.weight_decay,
    )
    smoothed = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)

    def loss_of(index: Tensor) -> Tensor:
        variant = torch.randint(train.features.shape[1], index.shape)
        logits = recipe.temperature * module.scores(train.features[index, variant])
        loss: Tensor = smoothed(logits, train.labels[index])
        if recipe.spike_rate is not None and isinstance(module, FloatAdapter | ChipAdapter):
            excess = (module.spike_rate / recipe.spike_rate - 1).clamp(min=0)
            loss = loss + recipe.spike_penalty * excess
        return loss

    def evaluate() -> dict[str, Any]:
        right = module.scores(validation.features[:, 0]).argmax(dim=1) == validation.labels
        return {"validation": float(right.double().mean())}

    return fit(
        stage, module, optimizer, len(train.labels), loss_of, evaluate,
        lambda epoch, step, steps: _schedule(recipe, epoch, stage.epochs), session,
    )  # fmt: skip


def _stage(
    name: str,
    recipe: Recipe,
    weight_decay: float,
    config: Sizes,
    text: Tensor,
    *data: Examples,
) -> Stage:
    """A stage of the recipe; its state belongs to one training: its recipe, sizes, texts and data."""
    content = hashlib.sha256(text.numpy().tobytes())
    for examples in data:
        content.update(examples.features.numpy().tobytes() + examples.labels.numpy().tobytes())
    identity = json.dumps([asdict(recipe), asdict(config), content.hexdigest()])
    quantized = name == "quantized"
    return Stage(
        name,
        recipe.quantized_epochs if quantized else recipe.epochs,
        recipe.quantized_learning_rate if quantized else recipe.learning_rate,
        weight_decay,
        recipe.batch,
        recipe.seed,
        identity,
        smallest_batch=2,  # batch normalisation has no variance of a single recording
    )


def _schedule(recipe: Recipe, epoch: int, epochs: int) -> float:
    """The share of the learning rate in epoch 1..epochs: one of warm-up, then a cosine to zero."""
    if epoch == 1:
        return recipe.warm_up
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
