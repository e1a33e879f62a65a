"""One stage of training: the best epoch is kept, and a killed stage goes on exactly where it was.

Where several processes train one model, all have the same weights, compute the gradient of their
part of each batch (`neuroclip.compute.parallel`), and take the same steps; the first one writes and shows
progress.
"""

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deploy.progress import track
from neuroclip.compute.distributed import rank
from neuroclip.compute.parallel import average_gradients, share_of
from neuroclip.training.resume_state import (
    History,
    Place,
    State,
    keep_state,
    random_states,
    read_state,
    set_random_states,
)

# A kill costs no more than this of work, and no more than an epoch.
KEEP_SECONDS = 120.0
# How often the bar shows a loss: to read one, a GPU must finish what it has been given.
_SHOWN_SECONDS = 1.0


class OutOfTime(Exception):
    """The deadline has passed; the state is kept."""


@dataclass(frozen=True)
class Stage:
    """A stage: its name, its epochs, the peak of its learning rate, batch and seed.

    identity: what else must be the same for a kept state to go on: settings and data, as text.
    smallest_batch: of fewer examples no step is taken. clip_norm: to which a gradient is scaled down.
    """

    name: str
    epochs: int
    learning_rate: float
    weight_decay: float
    batch: int
    seed: int
    identity: str
    smallest_batch: int = 1
    clip_norm: float | None = None


@dataclass(frozen=True)
class Session:
    """One run of a training, of which there may be several until it is done.

    folder: where the state of each stage is kept; None keeps none. resume: go on from it. deadline:
    the `time.monotonic()` at which to stop.
    """

    folder: Path | None = None
    resume: bool = False
    deadline: float | None = None


def fit(
    stage: Stage,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: int,
    loss_of: Callable[[Tensor], Tensor],
    evaluate: Callable[[], dict[str, Any]],
    schedule: Callable[[int, int, int], float],
    session: Session = Session(),
    together: bool = False,
    begins: Callable[[int], None] = lambda _: None,
) -> History:
    """Train `module` in place and leave it as it was after its best epoch; returns the history.

    loss_of: indices int64 of a batch → mean loss of this process's part of it. evaluate: the
    validation of an epoch, a dict that holds "validation", higher is better; the start counts as an
    epoch. schedule: share of the learning rate of (epoch from 1, step in it from 0, steps of an epoch).
    `module` may have `constrain_`, run after every step. together: with all processes of torchrun. begins:
    told the number of each epoch, from 1, and of one that goes on.

    On a CPU the same seed gives the same weights, killed and resumed or not, on the same number of
    threads. Raises OutOfTime, and BadInput where a kept state is damaged or of another training.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    device = parameters[0].device
    identity = json.dumps(asdict(stage))
    path = None if session.folder is None else session.folder / f"state-{stage.name}.safetensors"
    if path is not None and session.resume and path.exists():
        state = read_state(path, identity, module, optimizer)
        set_random_states(state.random, device)
    else:
        first = {"stage": stage.name, "epoch": 0, "loss": None, **_validated(module, evaluate)}
        state = State(Place(), [first], deepcopy(module.state_dict()), {})
    history, best = state.history, state.best
    constrain = getattr(module, "constrain_", lambda: None)
    leader, kept_at = not together or rank() == 0, time.monotonic()

    def keep(place: Place) -> None:
        if path is not None and leader:
            now = State(place, history, best, random_states(device))
            keep_state(path, identity, now, module, optimizer)

    steps = -(-examples // stage.batch)
    bar = track(
        initial=(state.place.epoch - 1) * steps + state.place.step, total=stage.epochs * steps,
        desc=stage.name, unit="batch", show=leader,
    )  # fmt: skip
    shown_at = 0.0
    for epoch in range(state.place.epoch, stage.epochs + 1):
        # What is random in an epoch follows from the seed and its number.
        torch.manual_seed(stage.seed * 1_000_003 + epoch)
        begins(epoch)
        batches = torch.randperm(examples).to(device).split(stage.batch)
        begun, total = 0, torch.zeros((), dtype=torch.float64, device=device)
        if epoch == state.place.epoch and state.place.step:
            begun = state.place.step
            total += state.place.total
            set_random_states(state.random, device)
        module.train()
        for step, index in enumerate(batches[begun:], start=begun):
            bar.update()
            if len(index) < stage.smallest_batch:
                continue
            for group in optimizer.param_groups:
                share = group.get("share", 1.0)
                group["lr"] = stage.learning_rate * share * schedule(epoch, step, steps)
            loss = loss_of(index)
            if together:
                loss = loss * share_of(len(index))
            optimizer.zero_grad()
            loss.backward()
            loss = loss.detach()
            late = session.deadline is not None and time.monotonic() >= session.deadline
            if together:
                asked = None if session.deadline is None else late
                loss, late = average_gradients(parameters, loss, asked)
            if stage.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, stage.clip_norm)
            optimizer.step()
            constrain()
            total += loss.double() * len(index)
            now = time.monotonic()
            if leader and now - shown_at >= _SHOWN_SECONDS:
                shown_at = now
                bar.set_postfix(
                    epoch=epoch, loss=f"{float(loss):.3f}",
                    validation=f"{history[-1]['validation']:.4f}",
                )  # fmt: skip
            if late or now - kept_at >= KEEP_SECONDS:
                keep(Place(epoch, step + 1, float(total)))
                kept_at = now
            if late:
                bar.close()
                raise OutOfTime(f"{stage.name}, epoch {epoch} of {stage.epochs}")
        taken = sum(len(index) for index in batches if len(index) >= stage.smallest_batch)
        loss_mean = float(total) / max(1, taken)
        found = _validated(module, evaluate)
        history.append({"stage": stage.name, "epoch": epoch, "loss": loss_mean, **found})
        if found["validation"] >= max(h["validation"] for h in history):
            best = deepcopy(module.state_dict())
        keep(Place(epoch + 1))
        kept_at = time.monotonic()
    bar.close()
    module.load_state_dict(best)
    module.eval()
    return history


@torch.no_grad()
def _validated(module: nn.Module, evaluate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    module.eval()
    return evaluate()
