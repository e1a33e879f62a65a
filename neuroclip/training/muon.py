"""Muon (Jordan et al. 2024): convolutions take orthogonal steps, all else takes AdamW's.

The momentum of a filter bank, as a matrix [out, in·k·k], is replaced by the nearest orthogonal one:
every direction moves by the same length, whatever the scale of the gradient that reached the layer.
In few epochs that learns more than momentum or Adam, and it suits surrogate gradients, whose
scale falls off from layer to layer.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Of the quintic iteration that drives singular values to about 1 (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 4


class Muon(torch.optim.Optimizer):
    """Groups with "orthogonal" take W ← W·√out/‖W‖ (a scale that a norm behind it takes back out),
    then W ← W − lr·orthogonal(Nesterov momentum); the others AdamW's step.

    Of a group: lr, and for AdamW weight_decay. A group's "share" is that of the stage's learning rate.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.6,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "betas": betas, "weight_decay": 0.0, "share": 1.0,
            "orthogonal": False,
        }  # fmt: skip
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                step = self._orthogonal_step if group["orthogonal"] else self._adam_step
                step(parameter, parameter.grad, group)

    def _orthogonal_step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        moved: Tensor = state["momentum"]
        moved.mul_(group["momentum"]).add_(gradient)
        step = gradient.add(moved, alpha=group["momentum"])
        weight.mul_(len(weight) ** 0.5 / weight.norm())
        weight.add_(orthogonal(step.flatten(1)).reshape(weight.shape), alpha=-group["lr"])

    def _adam_step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["count"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["count"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        count = float(state["count"])
        scale = (state["square"] / (1 - second**count)).sqrt_().add_(1e-8)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.addcdiv_(state["mean"], scale, value=-group["lr"] / (1 - first**count))


def orthogonal(matrix: Tensor) -> Tensor:
    """About U·Vᵀ of matrix = U·S·Vᵀ, by an iteration of Newton and Schulz: [out, in] → the same."""
    x = matrix.T if len(matrix) > matrix.shape[1] else matrix
    # Singular values up to 1; the iteration's own error is larger than bfloat16's.
    x = (x / (x.norm() + 1e-7)).to(torch.bfloat16)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    x = x.to(matrix.dtype)
    return x.T if len(matrix) > matrix.shape[1] else x


def muon(module: nn.Module, lr: float, orthogonal_rate: float, weight_decay: float = 0.0) -> Muon:
    """Muon for a module: convolutions orthogonally at their own rate, all else that learns at `lr`."""
    convolutions = {id(m.weight) for m in module.modules() if isinstance(m, nn.Conv2d)}
    learned = [p for p in module.parameters() if p.requires_grad]
    filters = [p for p in learned if id(p) in convolutions]
    others = [p for p in learned if id(p) not in convolutions]
    groups: list[dict[str, Any]] = [
        {"params": filters, "orthogonal": True, "share": orthogonal_rate / lr},
        {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in others if p.ndim <= 1]},
    ]
    return Muon([g for g in groups if g["params"]], lr)
