"""Where a model is computed."""

import os

import torch

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
