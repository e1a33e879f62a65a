"""A stage of training by AdamW, with a short warm-up and a cosine."""

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

# Beyond it the gradient of a batch is scaled down: spiking layers now and then have steep ones.
_CLIP_NORM = 1.0


def fit(
    stage: Stage,
    module: nn.Module,
    examples: int,
    loss_of: Callable[[Tensor], Tensor],
    evaluate: Callable[[], dict[str, Any]],
    session: Session,
) -> list[dict[str, Any]]:
    """Train `module` in place, on the device where it lies; arguments as `neuroclip.training.loop.fit`'s.

    The history's entries hold the "examples_per_second" of their epochs' steps too.
    """
    share_norms(module)
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = parameters[0].device.type == "cuda"
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate, fused=fused)

    def schedule(epoch: int, step: int, steps: int) -> float:
        return _warm_cosine((epoch - 1) * steps + step, stage.epochs * steps)

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

    stage = replace(stage, clip_norm=_CLIP_NORM)
    return loop.fit(stage, module, optimizer, examples, counted, timed, schedule, session, True)


def _warm_cosine(step: int, steps: int) -> float:
    """The share of the learning rate: a twentieth of all steps to warm up, then a cosine to zero."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
