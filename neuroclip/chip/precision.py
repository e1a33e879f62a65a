"""What integer layers refuse: any precision in which their sums would be rounded."""

from collections.abc import Callable

import torch
from torch import Tensor

from deploy.errors import BadInput

# Fewer bytes than float32 hold no sum of the chip; those of its weights are rounded already.
_FEWEST_BYTES = 4


def require_exact(layer: object, *tensors: Tensor) -> None:
    """Raise BadInput where autocast, TF32 or a half-precision type would round the chip's integers.

    layer: an integer layer; tensors: its messages and what it holds. Under autocast torch multiplies in
    16 bits, whatever the types of the factors are; TF32 keeps 11 bits of them.
    """
    name = type(layer).__name__
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.element_size() < _FEWEST_BYTES:
            raise BadInput(f"{name}: {tensor.dtype} rounds the chip's integers; it needs float32")
    device = tensors[0].device.type
    if _autocast(device):
        raise BadInput(
            f"{name}: under autocast the chip's integers would be rounded; run it outside, or within "
            f"torch.autocast('{device}', enabled=False)"
        )
    if torch.get_float32_matmul_precision() != "highest" or (
        device == "cuda" and torch.backends.cuda.matmul.allow_tf32
    ):
        raise BadInput(
            f"{name}: products of float32 are set to a lower precision, in which the chip's integers would "
            "be rounded; torch.set_float32_matmul_precision('highest')"
        )


def _autocast(device: str) -> bool:
    enabled: Callable[..., bool] = torch.is_autocast_enabled
    try:
        return bool(enabled(device))
    except TypeError:  # before torch 2.4
        on_cpu = bool(torch.is_autocast_cpu_enabled())
        return on_cpu if device == "cpu" else bool(torch.is_autocast_enabled())
