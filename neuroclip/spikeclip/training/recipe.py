"""How a SpikeCLIP is trained: numbers of the recipe, augmentation, precision."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput


@dataclass(frozen=True)
class SpikeRecipe:
    """How to train.

    epochs, learning_rate: of alignment; finetune_*: of the second step in floating point;
    quantized_*: of the second step on the chip's arithmetic. text_epochs: of the text encoder.
    temperature: by which cosines are multiplied. flip, shift: a mirror image half of the time, up to
    so many pixels up, down, left and right. spike_rate: spikes per neuron and step above which the
    loss grows, by spike_penalty·(rate/spike_rate − 1)². mixed_precision: convolutions and matrix
    products of the teacher and of the float model in bfloat16; states stay float32, and whatever is
    quantized stays exact. compile: the float model by torch.compile.
    """

    epochs: int = 30
    learning_rate: float = 2e-3
    finetune_epochs: int = 15
    finetune_learning_rate: float = 1e-3
    quantized_epochs: int = 10
    quantized_learning_rate: float = 5e-4
    text_epochs: int = 100
    text_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch: int = 64
    temperature: float = 30.0
    flip: bool = False
    shift: int = 0
    spike_rate: float | None = None
    spike_penalty: float = 1.0
    mixed_precision: bool = False
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        epochs = ("epochs", "finetune_epochs", "quantized_epochs", "text_epochs", "batch")
        for name in (*epochs, "temperature", "learning_rate"):
            if getattr(self, name) <= 0:
                raise BadInput(f"training: {name} {getattr(self, name)} is not positive")
        if self.spike_rate is not None and not 0 < self.spike_rate < 1:
            raise BadInput(f"training: spike_rate {self.spike_rate} is not between 0 and 1")
        if not 0 <= self.shift <= 64:
            raise BadInput(f"training: shift {self.shift}, expected 0 to 64 pixels")


def mixed_precision(recipe: SpikeRecipe, device: torch.device) -> torch.autocast:
    """The context in which layers that are not quantized run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.mixed_precision)


def augmented(recipe: SpikeRecipe, sent: Tensor) -> Tensor:
    """Images shifted and mirrored at random, where they lie, with torch's generator of that device."""
    if recipe.flip:
        mirrored = torch.rand(len(sent), device=sent.device) < 0.5
        sent = torch.where(mirrored[:, None, None, None], sent.flip(-1), sent)
    if recipe.shift:
        n, size = recipe.shift, sent.shape[-1]
        padded = functional.pad(sent, (n, n, n, n))
        moves = torch.randint(0, 2 * n + 1, (len(sent), 2), device=sent.device)
        each = torch.arange(size, device=sent.device)
        rows, columns = (moves[:, i, None] + each for i in (0, 1))
        samples = torch.arange(len(sent), device=sent.device)[:, None, None]
        sent = padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return sent
