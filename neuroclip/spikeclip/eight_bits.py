"""An ANN of a SpikeCLIP's shape with weights and activations of 8 bits, to set beside the chip's network."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deploy.count.ann_baseline import Zeros
from neuroclip.linear.int8 import int8_by_target
from neuroclip.spikeclip.encoder import NormedConv2d
from neuroclip.spikeclip.model import SpikeClip

_ACTIVATION_MAX = 255


class _Folded(nn.Module):
    """A convolution with its BatchNorm folded in, weights of 8 bits: of each target channel 255 levels."""

    def __init__(self, of: NormedConv2d) -> None:
        super().__init__()
        weight, bias = of.folded()
        self.conv = copy.deepcopy(of.conv)
        self.conv.weight = nn.Parameter(int8_by_target(weight))
        self.conv.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C_in, H, W] → [..., C_out, H', W']."""
        return self.conv(x.flatten(0, -4)).unflatten(0, x.shape[:-3])


class _RoundedReLU(nn.Module):
    """max(0, x) in 256 levels between 0 and the largest of each image, [N, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        """The activations, as real numbers."""
        x = x.clamp(min=0)
        level = x.flatten(1).amax(1).clamp(min=1e-12) / _ACTIVATION_MAX
        level = level.reshape(-1, *[1] * (x.ndim - 1))
        return torch.round(x / level) * level


@torch.no_grad()
def in_eight_bits(model: SpikeClip) -> SpikeClip:
    """The trained variant "ann" in evaluation mode, rounded: nothing is trained again.

    Products of two activations (the attention's) and sums over tokens are exact, as sums in 32 bits are.
    """
    made = copy.deepcopy(model)
    made.projection.weight.copy_(int8_by_target(made.projection.weight))
    for parent in list(made.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NormedConv2d):
                setattr(parent, name, _Folded(child))
            elif isinstance(child, nn.ReLU):
                setattr(parent, name, _RoundedReLU())
    return made.eval()


@dataclass
class _Taken:
    """What a layer took: numbers, zeros among them, and its MACs of an image."""

    numbers: int = 0
    zeros: int = 0
    macs: int = 0

    @property
    def share(self) -> float:
        """Zeros of the numbers."""
        return self.zeros / self.numbers


@contextmanager
def counted_zeros(rounded: SpikeClip) -> Iterator[Callable[[], Zeros]]:
    """Within: zeros are counted in what every convolution takes; then the function tells their shares.

    rounded: of `in_eight_bits`. Of its hidden activations, a layer's share weighs as much as its MACs, so
    that the mean is the share of MACs that are spared. The first convolution takes the inputs. What is no
    convolution, the read-out and the attention's products, is not counted (0.1 % of `spikeclip-cifar10`'s).
    """
    folded = [m for m in rounded.modules() if isinstance(m, _Folded)]
    taken = {module: _Taken() for module in folded}

    def count(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        assert isinstance(module, _Folded)
        found = taken[module]
        found.numbers += given[0].numel()
        found.zeros += int((given[0] == 0).sum())
        found.macs = made[0].numel() * module.conv.weight[0].numel()

    def shares() -> Zeros:
        first, *others = (taken[module] for module in folded)
        macs = sum(each.macs for each in others)
        return Zeros(first.share, sum(each.share * each.macs for each in others) / macs)

    hooks = [module.register_forward_hook(count) for module in folded]
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()
