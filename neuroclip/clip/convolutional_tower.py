"""An image tower that learns much from few small images in few epochs, registered with timm.

Keller Jordan's "94 % on CIFAR-10" network (arXiv:2404.00498): a first convolution that whitens patches
and is not trained, three groups of two convolutions, normalisation without gains, GELU. open_clip
builds it like any of timm's: `"timm_model_name": "neuroclip_convolutional_64"`, 64 being its width.
"""

from itertools import pairwise
from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn

NAME = "neuroclip_convolutional_"
WIDTHS = (16, 32, 64, 96, 128)
# Of the whitening: pixels a side of a patch, and what keeps directions without variance small.
_PATCH, _FLOOR = 2, 5e-4
# BatchNorm's share of the new batch: few steps are taken.
_MOMENTUM = 0.4


class _Group(nn.Sequential):
    def __init__(self, source: int, target: int) -> None:
        norms = [nn.BatchNorm2d(target, momentum=_MOMENTUM) for _ in range(2)]
        for norm in norms:
            norm.weight.requires_grad_(False)
        first, second = (
            nn.Conv2d(channels, target, 3, padding=1, bias=False) for channels in (source, target)
        )
        for conv in (first, second):
            # Begins as a network that passes its channels on.
            nn.init.dirac_(conv.weight[: conv.in_channels])
        super().__init__(
            first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU()
        )  # fmt: skip


class ConvolutionalTower(nn.Module):
    """Images [N, 3, S, S] → features [N, 4·width], the mean over an image and its mirror image when
    evaluated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = 4 * width
        self.default_cfg = {"pool_size": None}
        self.whiten = nn.Conv2d(3, 2 * 3 * _PATCH**2, _PATCH)
        self.whiten.weight.requires_grad_(False)
        sizes = (self.whiten.out_channels, width, 4 * width, 4 * width)
        self.groups = nn.Sequential(*(_Group(a, b) for a, b in pairwise(sizes)))

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Nothing to take away: it has neither."""

    def forward(self, images: Tensor) -> Tensor:
        """Features, not normalised."""
        images = images.contiguous(memory_format=torch.channels_last)
        if self.training:
            return self._seen(images)
        return (self._seen(images) + self._seen(images.flip(-1))) / 2

    def _seen(self, images: Tensor) -> Tensor:
        x = self.groups(nn.functional.gelu(self.whiten(images)))
        return x.amax(dim=(-2, -1))

    @torch.no_grad()
    def whiten_(self, images: Tensor) -> None:
        """Let the first convolution whiten patches of these images [N, 3, S, S], as it sees them.

        Its filters are the eigenvectors of the patches' covariance over the roots of their
        eigenvalues, and the same with the other sign.
        """
        patches = nn.functional.unfold(images, _PATCH).transpose(1, 2).flatten(0, 1).double()
        patches = patches - patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = vectors.T / (values + _FLOOR).sqrt()[:, None]
        weight = torch.cat([filters, -filters]).reshape(self.whiten.weight.shape)
        self.whiten.weight.copy_(weight)
        assert self.whiten.bias is not None
        self.whiten.bias.zero_()


def _register(width: int) -> None:
    def made(pretrained: bool = False, **_: Any) -> ConvolutionalTower:
        return ConvolutionalTower(width)

    made.__name__, made.__module__ = f"{NAME}{width}", __name__
    register_model(made)


for _width in WIDTHS:
    _register(_width)
