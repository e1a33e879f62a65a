"""Several processes, one for each GPU, started by `torchrun`: recordings are shared among them.

CLIP's encoder takes nearly all of the time of few-shot training, so its recordings are shared, and
every process then holds all features. The adapter, which trains in seconds on them, is trained by
the first process alone; its result is the same as that of one process, byte for byte. SpikeCLIP is
trained by all of them: see `neuroclip.compute.parallel`.
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

# The first process may train, or read files, while the others wait for it.
_PATIENCE = timedelta(hours=12)


def rank() -> int:
    """This process's number, 0 where there is only one; joins the others when first asked."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        nccl = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo", timeout=_PATIENCE)
    return dist.get_rank()


def shared(
    indices: Sequence[int] | NDArray[np.int64],
    compute: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """`compute` of all indices [len(indices), ...], each process computing its part of them."""
    number, everything = rank(), np.asarray(indices, dtype=np.int64)
    if not dist.is_initialized():
        return compute(everything)
    parts = np.array_split(everything, dist.get_world_size())
    own = compute(parts[number]) if len(parts[number]) else None
    found: list[Any] = [None] * len(parts)
    dist.all_gather_object(found, own)
    return np.concatenate([part for part in found if part is not None])


def meet() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def finish() -> None:
    """Wait until every process is done, and leave."""
    if dist.is_initialized():
        # A barrier holds no tensor of Python's: to free one, gloo's thread would need the lock of the
        # interpreter, which waits for that thread to end.
        dist.barrier()
        dist.destroy_process_group()
