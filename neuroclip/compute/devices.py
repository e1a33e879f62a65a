"""Where a model is computed, and by what."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from deploy.errors import BadInput


def device_of(name: str | None = None) -> torch.device:
    """The device of a name, by default CUDA where there is one; of several GPUs, each process of
    torchrun has its own.

    Raises BadInput: no device of torch's, or one that is not there.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"device '{name}': expected cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise BadInput(f"device '{name}': expected cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
    if index >= count:
        raise BadInput(f"device '{name}': this machine has {count} CUDA devices")
    return torch.device("cuda", index)


@torch.no_grad()
def channels_last_(module: nn.Module) -> None:
    """Lay out the weights of convolutions, and so what these compute, with the channels last."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def compiled(module: nn.Module, apart: type[nn.Module]) -> Callable[..., Any]:
    """A module by torch.compile, with the same parameters; those of a kind `apart` run as they are.

    Raises BadInput where there is no compiler for its device.
    """
    device = next(module.parameters()).device
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # each missing part of the compiler has errors of its own
        line = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
        raise BadInput(f"recipe: compile: torch.compile does not work here: {line}") from error
    for part in module.modules():
        if isinstance(part, apart):
            part.forward = torch.compiler.disable(part.forward)
    return torch.compile(module)
