"""Event frames as a network of a person's own takes them: pooled, flattened, without polarities.

Frames are counts [2, H, W] of a sensor. What a network takes is not written on it, so that each way of
giving them is tried, from the one that changes nothing on, and the first that its forward takes is used.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.chip.network import INPUT
from neuroclip.convert.watch.calls import call, first_states, signature
from neuroclip.convert.watch.observe import clear
from neuroclip.convert.watch.where import where


@dataclass(frozen=True)
class Fit:
    """What is done with frames: summed over pool × pool pixels, over polarities, and flattened."""

    pool: int = 1
    polarities: bool = True
    flat: bool = False

    def shape(self, frame: Shape) -> Shape:
        """The shape of a frame (2, H, W) afterwards."""
        channels, height, width = frame
        shape = (channels if self.polarities else 1, height // self.pool, width // self.pool)
        return (prod(shape),) if self.flat else shape

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames [..., 2, H, W] → [..., *shape]. Raises BadInput for a sum beyond 255."""
        *leading, channels, height, width = frames.shape
        p = self.pool
        parts = frames.reshape(*leading, channels, height // p, p, width // p, p)
        axes = (-3, -1) if self.polarities else (-5, -3, -1)
        found = parts.sum(axis=axes, dtype=np.uint32, keepdims=not self.polarities)
        if found.max(initial=0) > 255:
            raise BadInput(
                f"{found.max()} events in one pixel of a frame {self}; take shorter frames"
            )
        made = found.astype(np.uint8)
        return made.reshape(*leading, *self.shape((channels, height, width)))

    def __str__(self) -> str:
        told = [f"pooled {self.pool}×{self.pool}"] if self.pool > 1 else []
        told += [] if self.polarities else ["without polarities"]
        told += ["flattened"] if self.flat else []
        return ", ".join(told) or "as they are"


def fits(frame: Shape) -> list[Fit]:
    """Every way for frames (2, H, W), the one that changes least first."""
    _, height, width = frame
    pools = [p for p in range(1, min(height, width) + 1) if height % p == 0 == width % p]
    return [
        Fit(pool, polarities, flat)
        for polarities in (True, False)
        for pool in pools
        for flat in (False, True)
    ]


def fit_of_shape(name: str, frame: Shape, shape: Shape) -> Fit:
    """The fit that makes frames of the shape that a network takes. Raises BadInput with both shapes."""
    for fit in fits(frame):
        if fit.shape(frame) == shape:
            return fit
    raise BadInput(
        f"{name}: its frames have the shape {frame}, the network takes {shape}, which they do not "
        "become by whole pooling, without polarities or flattened"
    )


def fit_of_module(name: str, model: nn.Module, frame: Shape, steps: int, layout: str | None) -> Fit:
    """The first fit of so many frames (2, H, W) that the forward of a module takes.

    Raises BadInput with the shape of the frames, what the first layer takes, and where it stops.
    """
    stopped: Exception | None = None
    for fit in fits(frame):
        # Two samples, none of which holds an event.
        error = stops(model, torch.zeros(2, steps, *fit.shape(frame)), layout)
        if error is None:
            return fit
        stopped = stopped or error
    assert stopped is not None
    raise BadInput(
        f"{name}: its frames have the shape {frame}, {_taken(model)}; the forward stops on them, "
        f"pooled, without polarities and flattened too: {where(stopped)}"
    )


def _taken(model: nn.Module) -> str:
    """What the first layer of a module says of its input."""
    for layer, module in model.named_modules():
        if isinstance(module, nn.Linear):
            return f"layer '{layer}' of the network takes ({module.in_features},)"
        if isinstance(module, nn.Conv2d):
            return f"layer '{layer}' of the network takes ({module.in_channels}, …, …)"
    return "the network has no layer that says what it takes"


@torch.no_grad()
def stops(model: nn.Module, sent: Tensor, layout: str | None) -> Exception | None:
    """What a forward raises first on messages [N, T, *shape]; None where it takes them in any layout."""
    called = signature(model, ())
    given = {
        "step": lambda: sent[:, 0],
        "batch-first": lambda: sent,
        "time-first": lambda: sent.transpose(0, 1),
        "static": lambda: sent[:, 0],
    }
    modes = {module: module.training for module in model.modules()}
    first: Exception | None = None
    try:
        model.eval()
        for name, make in given.items():
            if layout not in (None, name):
                continue
            for states in first_states(model, called, len(sent)):
                clear(model)
                try:
                    call(model, called, {INPUT: make()}, sent.shape[1], states)
                    return None
                except Exception as error:  # whatever a person's code raises
                    first = first or error
    finally:
        clear(model)
        for module, mode in modes.items():
            module.training = mode
    return first
