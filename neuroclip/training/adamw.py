"""A stage of training by AdamW, with a short warm-up and a cosine; by Muon, and a line; or as SpikeCLIP's
authors have it, by Adam with amsgrad, and a cosine over epochs that ends above zero."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from neuroclip.compute.parallel import share_norms
from neuroclip.training import loop
from neuroclip.training.loop import Session, Stage
from neuroclip.training.muon import muon

# Beyond it the gradient of a batch is scaled down: spiking layers now and then have steep ones.
_CLIP_NORM = 1.0


def fit(
    stage: Stage,
    module: nn.Module,
    examples: int,
    loss_of: Callable[[Tensor], Tensor],
    evaluate: Callable[[], dict[str, Any]],
    session: Session,
    begins: Callable[[int], None] = lambda _: None,
    orthogonal_rate: float | None = None,
    lowest: float | None = None,
) -> list[dict[str, Any]]:
    """Train `module` in place, on the device where it lies; arguments as `neuroclip.training.loop.fit`'s.

    The history's entries hold the "examples_per_second" of their epochs' steps too.
    orthogonal_rate: convolutions take Muon's steps at it, and the learning rate falls in a line.
    lowest: steps are those of Adam with amsgrad, and this the share of the learning rate that an epoch
    after the last would have.
    """
    share_norms(module)
    parameters = [p for p in module.parameters() if p.requires_grad]
    fused = parameters[0].device.type == "cuda"
    optimizer = _optimizer(stage, module, orthogonal_rate, fused, lowest is not None)
    share = _warm_cosine if orthogonal_rate is None else _warm_line

    def schedule(epoch: int, step: int, steps: int) -> float:
        if lowest is not None:
            return _cosine(epoch, stage.epochs, lowest)
        return share((epoch - 1) * steps + step, stage.epochs * steps)

    begun, seen = 0.0, 0

    def counted(index: Tensor) -> Tensor:
        nonlocal begun, seen
        begun = begun or time.perf_counter()
        seen += len(index)
        return loss_of(index)

    def timed() -> dict[str, Any]:
        nonlocal begun, seen
        if fused:
            torch.cuda.synchronize(parameters[0].device)
        speed = seen / (time.perf_counter() - begun) if begun else None
        begun, seen = 0.0, 0
        return evaluate() | {"examples_per_second": speed}

    if lowest is None:
        stage = replace(stage, clip_norm=_CLIP_NORM)
    return loop.fit(stage, module, optimizer, examples, counted, timed, schedule, session, True,
                    begins)  # fmt: skip


def _optimizer(
    stage: Stage, module: nn.Module, orthogonal_rate: float | None, fused: bool, amsgrad: bool
) -> torch.optim.Optimizer:
    if orthogonal_rate is not None:
        return muon(module, stage.learning_rate, orthogonal_rate, stage.weight_decay)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if amsgrad:
        rate, decay = stage.learning_rate, stage.weight_decay
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, amsgrad=True, fused=fused)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.learning_rate, fused=fused)


def _cosine(epoch: int, epochs: int, lowest: float) -> float:
    """The share of the learning rate in epoch 1..epochs, as torch's CosineAnnealingLR has it."""
    return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def _warm_line(step: int, steps: int) -> float:
    """The share of the learning rate: a fiftieth of all steps to warm up, then a line to zero."""
    warm = max(1, steps // 50)
    return (step + 1) / warm if step < warm else (steps - step) / (steps - warm)


def _warm_cosine(step: int, steps: int) -> float:
    """The share of the learning rate: a twentieth of all steps to warm up, then a cosine to zero."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
