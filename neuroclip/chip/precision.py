"""What integer layers refuse: any precision in which their sums would be rounded."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deploy.errors import BadInput

# Fewer bytes than float32 hold no sum of the chip; those of its weights are rounded already.
_FEWEST_BYTES = 4
# Where torch 2.9 and later say in what products of float32 are made, beside the older settings, which raise
# where these are set; that of cuDNN's convolutions is overruled where one is made.
_PLACES = ("", "mkldnn", "mkldnn.matmul", "mkldnn.conv", "cuda.matmul")


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
    lower = _set_lower()
    if lower:
        raise BadInput(
            f"{name}: {lower} would round the chip's integers; it has to be 'ieee' or 'none'"
        )
    if torch.get_float32_matmul_precision() != "highest" or (
        device == "cuda" and torch.backends.cuda.matmul.allow_tf32
    ):
        raise BadInput(
            f"{name}: products of float32 are set to a lower precision, in which the chip's integers would "
            "be rounded; torch.set_float32_matmul_precision('highest')"
        )


def _set_lower() -> str:
    """The newer setting that is lower than float32, and its value; empty where none is."""
    if not hasattr(torch.backends, "fp32_precision"):
        return ""
    for place in _PLACES:
        node: Any = torch.backends
        for part in filter(None, place.split(".")):
            node = getattr(node, part, None)
        value = getattr(node, "fp32_precision", "none")
        if value not in ("none", "ieee"):
            setting = ".".join(filter(None, ("torch.backends", place, "fp32_precision")))
            return f"{setting} = {value!r}"
    return ""


def _autocast(device: str) -> bool:
    enabled: Callable[..., bool] = torch.is_autocast_enabled
    try:
        return bool(enabled(device))
    except TypeError:  # before torch 2.4
        on_cpu = bool(torch.is_autocast_cpu_enabled())
        return on_cpu if device == "cpu" else bool(torch.is_autocast_enabled())
