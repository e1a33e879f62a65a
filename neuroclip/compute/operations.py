"""Multiply-accumulates of a torch module, counted from its shapes without running it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call  # type: ignore[attr-defined]  # torch 2.3 forgets to export it
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def multiply_accumulates(
    module: nn.Module, method: str, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> int | None:
    """Those of convolutions, linear maps and attention in `module.method(x)`, x of this shape.

    Weights and values are on the meta device, so that nothing is computed or held. What torch counts as
    two floating point operations is one. None where the module cannot be followed there.
    """
    called = _Called(module, method).eval()
    held = {n: t.to("meta") for n, t in (*called.named_parameters(), *called.named_buffers())}
    x = torch.empty(*shape, dtype=dtype, device="meta")
    try:
        with FlopCounterMode(display=False) as counter:
            functional_call(called, held, (x,))
    except (NotImplementedError, RuntimeError, TypeError):
        return None
    return int(counter.get_total_flops()) // 2


class _Called(nn.Module):
    """One method of a module as a forward."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = getattr(self.module, self.method)(x)
        return found
