"""Several processes that train one model: each computes a part of every batch.

All draw the same random numbers for the whole batch and then take their part of it; what one
process would compute over the batch (batch statistics, mean firing rates, gradients) is summed over
all of them. So the result is that of one process, up to the order of floating-point sums. Sums are
exchanged by NCCL on CUDA and by gloo on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from neuroclip.compute.distributed import rank


def own(batch: Tensor) -> Tensor:
    """This process's rows of a batch; of fewer rows than processes, all of them."""
    return batch[_part(len(batch))]


def share_of(rows: int) -> float:
    """How much this process's part of a batch counts; 1 where there is one process."""
    if not dist.is_initialized():
        return 1.0
    part = _part(rows)
    return 1 / dist.get_world_size() if part == slice(None) else (part.stop - part.start) / rows


def _part(rows: int) -> slice:
    number = rank()
    if not dist.is_initialized():
        return slice(None)
    count = dist.get_world_size()
    if rows < count:
        return slice(None)
    return slice(rows * number // count, rows * (number + 1) // count)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def summed(x: Tensor) -> Tensor:
    """The sum over all processes, differentiable: each gets the gradients of every process."""
    return _Sum.apply(x) if dist.is_initialized() else x


def batch_mean(of_part: Tensor, rows: int) -> Tensor:
    """Means over the whole batch of `rows` from means over each process's part of it."""
    return summed(of_part * share_of(rows)) if dist.is_initialized() else of_part


@torch.no_grad()
def average_gradients(
    parameters: Sequence[nn.Parameter], loss: Tensor, flag: bool | None
) -> tuple[Tensor, bool]:
    """Sum gradients and losses, which processes scaled by their share; the first one's flag.

    All in one exchange; with one process nothing changes. flag: None, in every process, means False,
    and no GPU need be waited for.
    """
    if not dist.is_initialized():
        return loss, bool(flag)
    gradients = [p.grad for p in parameters if p.grad is not None]
    extra = torch.stack([loss, torch.full_like(loss, float(bool(flag) and rank() == 0))])
    flat = torch.cat([g.flatten() for g in gradients] + [extra])
    dist.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
    return flat[-2], flag is not None and bool(flat[-1] > 0)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over the batches of all processes (torch's own SyncBatchNorm needs CUDA)."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same, normalised per channel."""
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        given, x = x.dtype, x.to(self.running_mean.dtype)
        count = summed(x.new_tensor(x.numel() // x.shape[1]))
        mean = summed(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = summed(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scaled = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        return (scaled * self.weight[:, None, None] + self.bias[:, None, None]).to(given)


def share_norms(module: nn.Module) -> None:
    """Give every BatchNorm of a module the statistics of all processes; its tensors stay the same."""
    rank()
    if not dist.is_initialized():
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm2d(child.num_features, child.eps, child.momentum)
                shared.weight, shared.bias = child.weight, child.bias
                for key, buffer in child.named_buffers():
                    setattr(shared, key, buffer)
                setattr(parent, name, shared)
