"""Few-shot training of the adapter: first in floating point, then on the chip's arithmetic.

The recipe is the paper's (Guo, Chen, Ma 2023): CLIP frozen, label-smoothed cross-entropy, SGD with
momentum and weight decay, one warm-up epoch and a cosine. The epoch kept is the best on validation
data; the authors' release chose it on the test set.
"""

import hashlib
import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from deploy.errors import BadInput
from deploy.files import atomic_path
from neuroclip.adapter import AdapterConfig, AnnAdapter, ChipAdapter, FloatAdapter, quantized
from neuroclip.baselines import ClipAdapter, ClipAdapterConfig
from neuroclip.threads import one_thread

Array = NDArray[np.float32]
Adapter = FloatAdapter | ChipAdapter | ClipAdapter


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's, but for the quantization-aware stage.

    epochs, learning_rate: of the floating-point stage. quantized_epochs, quantized_learning_rate: of
    the stage on the chip's arithmetic, which starts from the result of the first (its rate: the best
    on validation of 0.0005, 0.002 and 0.01, over three seeds). smoothing: of
    labels, 0.2 leaves 0.8 on the class. temperature: by which cosines are multiplied, CLIP's own.
    spike_rate: spikes per neuron and step above which the loss grows, by
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


@dataclass(frozen=True, eq=False)
class Examples:
    """Frame features float32 [N, V, T, C], L2-normalised, and labels int64 [N].

    Of the V variants of a recording the first is the recording itself; training draws one of them
    at random each time, evaluation takes the first.
    """

    features: Tensor
    labels: Tensor

    @staticmethod
    def of(features: Array, labels: NDArray[np.int64]) -> "Examples":
        """Examples from arrays; features [N, T, C] are of recordings without variants."""
        x = torch.from_numpy(features)
        return Examples(x if x.ndim == 4 else x[:, None], torch.from_numpy(labels))


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

    text: L2-normalised [labels, C]. state_folder: where each epoch's state is kept. resume: go on
    from there; a training that was killed ends with the weights of an unbroken one. Raises BadInput
    where the kept state is damaged or of another training.
    """
    torch.manual_seed(recipe.seed)
    with one_thread():
        adapter = FloatAdapter(config, text)
        stage = _Stage("float", recipe.epochs, recipe.learning_rate, recipe.weight_decay)
        history = _fit(adapter, stage, recipe, train, validation, state_folder, resume)
        chip = quantized(adapter.eval())
        # Weights that are held within the chip's range need no other pull toward zero.
        stage = _Stage("quantized", recipe.quantized_epochs, recipe.quantized_learning_rate, 0.0)
        history += _fit(chip, stage, recipe, train, validation, state_folder, resume)
    return Trained(adapter, chip.eval(), history)


def train_ann(
    config: AdapterConfig | ClipAdapterConfig,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    text: Tensor,
) -> AnnAdapter | ClipAdapter:
    """An ANN of the same data, recipe and choice of epoch; arguments as `train_adapter`'s."""
    torch.manual_seed(recipe.seed)
    with one_thread():
        kind: Any = AnnAdapter if isinstance(config, AdapterConfig) else ClipAdapter
        adapter: AnnAdapter | ClipAdapter = kind(config, text)
        stage = _Stage("ANN", recipe.epochs, recipe.learning_rate, recipe.weight_decay)
        _fit(adapter, stage, recipe, train, validation, None, False)
    return adapter.eval()


@dataclass(frozen=True)
class _Stage:
    """One stage of training."""

    name: str
    epochs: int
    learning_rate: float
    weight_decay: float


def _fit(
    module: Adapter,
    stage: _Stage,
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    folder: Path | None,
    resume: bool,
) -> list[dict[str, Any]]:
    """Train `module` in place and leave it in its best epoch; returns the history."""
    optimizer = torch.optim.SGD(
        [p for p in module.parameters() if p.requires_grad],
        lr=stage.learning_rate,
        momentum=recipe.momentum,
        weight_decay=stage.weight_decay,
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    # The start is a candidate too: a stage may not make its model worse on validation.
    history = [_evaluated(module, stage, 0, None, validation)]
    best = deepcopy(module.state_dict())
    # A state belongs to one training: its recipe, its sizes and its data.
    identity = _identity(stage, recipe, module.config, train, validation)
    if folder is not None and resume:
        history, best = _resumed(folder, stage, identity, module, optimizer, history, best)
    bar = tqdm(
        range(len(history), stage.epochs + 1),
        initial=len(history) - 1,
        total=stage.epochs,
        desc=f"train {stage.name}",
        unit="epoch",
        disable=None,
    )
    for epoch in bar:
        # Everything random in an epoch follows from the seed and its number, so that a resumed
        # training draws what an unbroken one draws.
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(epoch, stage.epochs)
        loss = _epoch(module, optimizer, loss_of, recipe, train)
        history.append(_evaluated(module, stage, epoch, loss, validation))
        if history[-1]["validation"] >= max(h["validation"] for h in history):
            best = deepcopy(module.state_dict())
        bar.set_postfix(loss=f"{loss:.3f}", validation=f"{history[-1]['validation']:.3f}")
        if folder is not None:
            _keep(folder, stage, identity, module, optimizer, history, best)
    module.load_state_dict(best)
    return history


def _epoch(
    module: Adapter,
    optimizer: torch.optim.Optimizer,
    loss_of: nn.Module,
    recipe: Recipe,
    train: Examples,
) -> float:
    """One pass over the training examples; returns the mean loss."""
    module.train()
    losses = []
    for index in torch.randperm(len(train.labels)).split(recipe.batch):
        if len(index) < 2:
            continue  # batch normalisation has no variance of a single recording
        variant = torch.randint(train.features.shape[1], index.shape)
        logits = recipe.temperature * module.scores(train.features[index, variant])
        loss = loss_of(logits, train.labels[index])
        if recipe.spike_rate is not None and isinstance(module, FloatAdapter | ChipAdapter):
            excess = (module.spike_rate / recipe.spike_rate - 1).clamp(min=0)
            loss = loss + recipe.spike_penalty * excess
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.constrain_()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def _evaluated(
    module: Adapter,
    stage: _Stage,
    epoch: int,
    loss: float | None,
    data: Examples,
) -> dict[str, Any]:
    module.eval()
    right = module.scores(data.features[:, 0]).argmax(dim=1) == data.labels
    return {
        "stage": stage.name,
        "epoch": epoch,
        "loss": loss,
        "validation": float(right.double().mean()),
    }


def _schedule(epoch: int, epochs: int) -> float:
    """The share of the learning rate in epoch 1..epochs: one of warm-up, then a cosine to zero."""
    if epoch == 1:
        return 0.1
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def _identity(
    stage: _Stage, recipe: Recipe, config: AdapterConfig | ClipAdapterConfig, *data: Examples
) -> str:
    content = hashlib.sha256()
    for examples in data:
        content.update(examples.features.numpy().tobytes() + examples.labels.numpy().tobytes())
    return json.dumps([asdict(stage), asdict(recipe), asdict(config), content.hexdigest()])


def _keep(
    folder: Path,
    stage: _Stage,
    identity: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, Any]],
    best: dict[str, Tensor],
) -> None:
    """Keep the state after an epoch in one file, so that a kill leaves this one or the last."""
    momentum = optimizer.state_dict()["state"]
    tensors = (
        {f"module/{name}": tensor for name, tensor in module.state_dict().items()}
        | {f"best/{name}": tensor for name, tensor in best.items()}
        | {f"momentum/{i}": state["momentum_buffer"] for i, state in momentum.items()}
    )
    with atomic_path(_state_file(folder, stage)) as temporary:
        save_file(
            {name: tensor.clone().contiguous() for name, tensor in tensors.items()},
            temporary,
            {"identity": identity, "history": json.dumps(history)},
        )


def _resumed(
    folder: Path,
    stage: _Stage,
    identity: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, Any]],
    best: dict[str, Tensor],
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Put a kept state back into module and optimizer; without one, everything stays as given."""
    path = _state_file(folder, stage)
    if not path.exists():
        return history, best
    try:
        with safe_open(path, "pt") as file:
            record = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if record["identity"] != identity:
            raise BadInput(
                f"{path}: the state of another training; remove it or leave --resume out"
            )
        kept: dict[str, dict[str, Tensor]] = {"module": {}, "best": {}, "momentum": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            kept[part][rest] = tensor
        module.load_state_dict(kept["module"])
        optimizer.load_state_dict(
            {
                "state": {int(i): {"momentum_buffer": m} for i, m in kept["momentum"].items()},
                "param_groups": optimizer.state_dict()["param_groups"],
            }
        )
        return json.loads(record["history"]), kept["best"]
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: damaged training state: {line}") from error


def _state_file(folder: Path, stage: _Stage) -> Path:
    return folder / f"state-{stage.name}.safetensors"
