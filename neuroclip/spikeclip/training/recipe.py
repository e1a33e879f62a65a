"""How a SpikeCLIP is trained: numbers of the recipe, augmentation, precision."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deploy.errors import BadInput
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.text import TextConfig

_LATER = {
    "summed_kl": False, "averaged_texts": False, "own_texts": False,
    "pixels": "messages", "detached_reset": False, "norm": True, "trained_embeddings": False,
    "erase": 0, "teacher_sees_views": False, "amsgrad": False, "by_224": False,
}  # fmt: skip


@dataclass(frozen=True)
class SpikeRecipe:
    """How to train.

    epochs, learning_rate: of alignment; finetune_*: of the second step in floating point;
    quantized_*: of the second step on the chip's arithmetic. text_epochs: of the text encoder.
    temperature: by which cosines are multiplied, in both losses. summed_kl: KL's sum over a batch, not
    its mean. averaged_texts: a class's text is the mean over all templates. own_texts: the teacher's
    images are compared, where it is fine-tuned and in its class probabilities, with the spiking
    encoder's texts at that temperature, not with its own. flip, shift: a mirror image half of the time,
    up to so many pixels up, down, left and right. erase: the side of a square of pixels set to 0 anywhere in
    every image, parts of it outside (DeVries and Taylor 2017, arXiv:1708.04552). teacher_sees_views: the
    second step's teacher says what it sees in the image as the student is shown it, not in the whole
    one. spike_rate: spikes per neuron and step above which the
    loss grows, by spike_penalty·(rate/spike_rate − 1)². mixed_precision: convolutions and matrix
    products of the teacher and of the float model in bfloat16, states staying float32; of the quantized
    model the sums of training steps only, evaluation being exact. orthogonal_rate,
    finetune_orthogonal_rate: of both steps in floating point: convolutions take Muon's steps at it,
    AdamW's where None. amsgrad: what is trained in floating point takes Adam's steps with amsgrad, no
    longer AdamW's, without warm-up and limit on the gradient; each epoch has one rate, and these fall in a
    cosine to a tenth (fine-tuning: a fiftieth) of the first. compile: the float model by torch.compile.
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
    summed_kl: bool = False
    averaged_texts: bool = False
    own_texts: bool = False
    flip: bool = False
    shift: int = 0
    erase: int = 0
    teacher_sees_views: bool = False
    spike_rate: float | None = None
    spike_penalty: float = 1.0
    mixed_precision: bool = False
    orthogonal_rate: float | None = None
    finetune_orthogonal_rate: float | None = None
    amsgrad: bool = False
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        epochs = ("epochs", "finetune_epochs", "quantized_epochs", "text_epochs", "batch")
        for name in (*epochs, "temperature", "learning_rate"):
            if getattr(self, name) <= 0:
                raise BadInput(f"training: {name} {getattr(self, name)} is not positive")
        for name in ("orthogonal_rate", "finetune_orthogonal_rate"):
            if (getattr(self, name) or 1) <= 0:
                raise BadInput(f"training: {name} {getattr(self, name)} is not positive")
            if self.amsgrad and getattr(self, name) is not None:
                raise BadInput(f"training: {name} and amsgrad are of two optimizers")
        if self.spike_rate is not None and not 0 < self.spike_rate < 1:
            raise BadInput(f"training: spike_rate {self.spike_rate} is not between 0 and 1")
        if not 0 <= self.shift <= 64:
            raise BadInput(f"training: shift {self.shift}, expected 0 to 64 pixels")
        if not 0 <= self.erase <= 64:
            raise BadInput(f"training: erase {self.erase}, expected 0 to 64 pixels")


def identified(settings: SpikeRecipe | SpikeClipConfig | TextConfig) -> dict[str, Any]:
    """The settings as a kept state's identity has them: those that came later only where they are used, so
    that older states go on."""
    return {k: v for k, v in asdict(settings).items() if k not in _LATER or v != _LATER[k]}


def mixed_precision(recipe: SpikeRecipe, device: torch.device) -> torch.autocast:
    """The context in which layers that are not quantized run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.mixed_precision)


class Mirrors:
    """Which images are mirrored: a random half of them in odd epochs, the other half in even ones.

    An image is then seen both ways in any two epochs, where a draw each time leaves half of the images
    as they were (Jordan 2024, arXiv:2404.00498).
    """

    def __init__(self, recipe: SpikeRecipe, examples: int, device: torch.device) -> None:
        random = torch.Generator().manual_seed(recipe.seed)
        self.half = (torch.rand(examples, generator=random) < 0.5).to(device)
        self.even = False

    def begins(self, epoch: int) -> None:
        """An epoch, from 1."""
        self.even = epoch % 2 == 0

    def __call__(self, index: Tensor) -> Tensor:
        """Whether each of these examples is mirrored in this epoch."""
        return self.half[index] ^ self.even


def augmented(recipe: SpikeRecipe, sent: Tensor, mirrored: Tensor) -> Tensor:
    """Images [N, C, S, S] shifted at random by torch's generator, mirrored where asked, and with a square
    of zeros where the recipe erases one."""
    if recipe.flip:
        sent = torch.where(mirrored[:, None, None, None], sent.flip(-1), sent)
    if recipe.shift:
        n, size = recipe.shift, sent.shape[-1]
        padded = functional.pad(sent, (n, n, n, n), "reflect")
        moves = torch.randint(0, 2 * n + 1, (len(sent), 2), device=sent.device)
        each = torch.arange(size, device=sent.device)
        rows, columns = (moves[:, i, None] + each for i in (0, 1))
        samples = torch.arange(len(sent), device=sent.device)[:, None, None]
        sent = padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.erase:
        each = torch.arange(sent.shape[-1], device=sent.device)
        # The middle of the square is in the image, so that no place is erased less often than another.
        first = torch.randint(0, sent.shape[-1], (len(sent), 2), device=sent.device)
        first = first[:, :, None] - recipe.erase // 2
        rows, columns = ((each >= first) & (each < first + recipe.erase)).unbind(1)
        sent = sent.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
    return sent
