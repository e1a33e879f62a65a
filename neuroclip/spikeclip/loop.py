"""One stage of training with AdamW: the best epoch is kept, a killed stage goes on where it was."""

import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from deploy.errors import BadInput
from deploy.files import atomic_path

# Beyond it the gradient of a batch is scaled down: spiking layers now and then have steep ones.
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class Stage:
    """A stage: its name, its epochs, the peak of its learning rate, batch and seed.

    identity: what else must be the same for a kept state to go on: settings and data, as text.
    """

    name: str
    epochs: int
    learning_rate: float
    weight_decay: float
    batch: int
    seed: int
    identity: str


def fit(
    stage: Stage,
    module: nn.Module,
    examples: int,
    loss_of: Callable[[Tensor], Tensor],
    evaluate: Callable[[], dict[str, Any]],
    folder: Path | None = None,
    resume: bool = False,
) -> list[dict[str, Any]]:
    """Train `module` in place and leave it as it was after its best epoch; returns the history.

    loss_of: indices int64 of a batch → loss. evaluate: the validation of an epoch, a dict that holds
    "validation", higher is better; the start counts as an epoch. `module` may have `constrain_`, run
    after every step. The same seed gives the same weights, resumed or not, on the same number of
    threads. Raises BadInput where a kept state is damaged or of another training.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate)
    module.eval()
    with torch.no_grad():
        history = [{"stage": stage.name, "epoch": 0, "loss": None, **evaluate()}]
    best = deepcopy(module.state_dict())
    path = None if folder is None else folder / f"state-{stage.name}.safetensors"
    if path is not None and resume and path.exists():
        history, best = _resumed(path, stage, module, optimizer)
    constrain = getattr(module, "constrain_", lambda: None)
    steps = -(-examples // stage.batch)
    for epoch in range(len(history), stage.epochs + 1):
        # What is random in an epoch follows from the seed and its number, so that a resumed training
        # draws what an unbroken one draws.
        torch.manual_seed(stage.seed * 1_000_003 + epoch)
        module.train()
        total = 0.0
        batches = torch.randperm(examples).split(stage.batch)
        bar = tqdm(batches, desc=f"{stage.name} {epoch}/{stage.epochs}", unit="batch", disable=None)
        for step, index in enumerate(bar):
            rate = stage.learning_rate * _schedule((epoch - 1) * steps + step, stage.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_of(index)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
            optimizer.step()
            constrain()
            total += float(loss.detach()) * len(index)
            bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
        module.eval()
        with torch.no_grad():
            found = evaluate()
        history.append({"stage": stage.name, "epoch": epoch, "loss": total / examples, **found})
        if found["validation"] >= max(h["validation"] for h in history):
            best = deepcopy(module.state_dict())
        if path is not None:
            _keep(path, stage, module, optimizer, history, best)
    module.load_state_dict(best)
    module.eval()
    return history


def _schedule(step: int, steps: int) -> float:
    """The share of the learning rate: a twentieth of all steps to warm up, then a cosine to zero."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _keep(
    path: Path,
    stage: Stage,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, Any]],
    best: dict[str, Tensor],
) -> None:
    """Keep the state after an epoch in one file, so that a kill leaves this one or the last."""
    tensors = {f"module/{name}": x for name, x in module.state_dict().items()}
    tensors |= {f"best/{name}": x for name, x in best.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{name}": x for name, x in state.items()}
    metadata = {"identity": _identity(stage), "history": json.dumps(history)}
    with atomic_path(path) as temporary:
        save_file(
            {n: x.cpu().clone().contiguous() for n, x in tensors.items()}, temporary, metadata
        )


def _resumed(
    path: Path, stage: Stage, module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Put a kept state back into module and optimizer."""
    try:
        with safe_open(path, "pt") as file:
            record = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if record["identity"] != _identity(stage):
            raise BadInput(
                f"{path}: the state of another training; remove it or leave --resume out"
            )
        kept: dict[str, dict[str, Tensor]] = {"module": {}, "best": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            kept[part][rest] = tensor
        module.load_state_dict(kept["module"])
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in kept["optimizer"].items():
            number, _, rest = name.partition("/")
            states.setdefault(int(number), {})[rest] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})
        return json.loads(record["history"]), kept["best"]
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: damaged training state: {line}") from error


def _identity(stage: Stage) -> str:
    return json.dumps([stage.name, stage.epochs, stage.learning_rate, stage.weight_decay,
                       stage.batch, stage.seed, stage.identity])  # fmt: skip
