"""The chip's synapses as torch modules: train on exactly the weights that are deployed.

Every value that a chip holds as an integer is here an integer in a float tensor. Sums are taken in
float32 where all partial sums stay within 2^24 and are therefore exact, and in float64 elsewhere;
gradients pass straight through the roundings. Autocast, TF32 and half precision are refused.
Each module takes messages with any leading dimensions: [N, ...] of one step or [N, T, ...] of all.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from deploy.arithmetic.integers import STATE_SHIFT
from deploy.program.program import BIAS_EXP_MAX, BIAS_MANT_MAX, WEIGHT_MAX
from neuroclip.chip.precision import require_exact

V_UNIT = 1 << STATE_SHIFT
"""A synaptic sum of 1 moves the membrane potential by this much."""

# float32 holds every integer up to here.
_EXACT_FLOAT32 = 2.0**24
# The share of the legal range that first weights may fill; the rest is for training to grow into.
_HEADROOM = 0.8

Pair = tuple[int, int]


def round_through(x: Tensor) -> Tensor:
    """Round to the nearest integer; the gradient passes straight through."""
    return _Round.apply(x)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class ChipLinear(nn.Module):
    """Dense synapses of even integer weights in [−254, 254] under a power-of-two scale.

        a = W·m,   W = 2·clamp(round(w·2^exponent / 2), ±127)

    weight: float [out, in], the real-valued weights w that training moves. exponent: the real
    weight of one integer unit is 2^−exponent. Messages m: integers in a float tensor [..., in].
    """

    def __init__(self, weight: Tensor, exponent: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone().to(torch.float32))
        self.exponent = exponent

    def real_weight(self) -> Tensor:
        """The real-valued weights [out, in] before quantization."""
        return self.weight

    def integer_weight(self) -> Tensor:
        """The weights as the chip holds them: even integers, float32 [out, in]."""
        require_exact(self, self.weight)
        # A product with a power of two is exact.
        half = self.real_weight() * 2.0 ** (self.exponent - 1)
        return 2 * round_through(half).clamp(-(WEIGHT_MAX // 2), WEIGHT_MAX // 2)

    def forward(self, messages: Tensor) -> Tensor:
        """Synaptic sums a, integers [..., out]."""
        require_exact(self, messages)
        return nn.functional.linear(*_exactly(messages, self.integer_weight()))

    @torch.no_grad()
    def constrain_(self, sum_max: float) -> None:
        """Scale down each neuron's weights where Σ|W| could exceed `sum_max` after rounding."""
        self.weight.mul_(self._shrink(sum_max))

    def _shrink(self, sum_max: float) -> Tensor:
        """The factor [out, 1, …], at most 1, under which each neuron's Σ|W| holds."""
        weight = self.real_weight()
        rows = weight.flatten(1)
        # Rounding moves each weight by at most one unit.
        limit = (sum_max - rows.shape[1]) * 2.0**-self.exponent
        factor = (limit / rows.abs().sum(dim=1).clamp(min=1e-30)).clamp(max=1.0)
        return factor.reshape(-1, *[1] * (weight.ndim - 1))


class FoldedLinear(ChipLinear):
    """An up-projection folded with text features: weights labels·w, of which training moves w.

    weight: float [features, in], the up-projection. text: float [labels, features], constant.
    """

    def __init__(self, weight: Tensor, text: Tensor, exponent: int) -> None:
        super().__init__(weight, exponent)
        self.register_buffer("text", text.detach().clone().to(torch.float32))

    def real_weight(self) -> Tensor:
        """The folded weights [labels, in] before quantization."""
        return self.text @ self.weight

    @torch.no_grad()
    def constrain_(self, sum_max: float) -> None:
        """Scale down the whole up-projection where any label's Σ|W| could exceed `sum_max`."""
        self.weight.mul_(self._shrink(sum_max).min())


class ChipConv2d(ChipLinear):
    """A convolution (torch's, a cross-correlation with zero padding) with weights as ChipLinear's.

    weight: float [C_out, C_in / groups, k_y, k_x]. stride, padding, dilation: (y, x). Messages
    [..., C_in, H, W] → synaptic sums [..., C_out, H', W'].
    """

    def __init__(
        self,
        weight: Tensor,
        exponent: int,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__(weight, exponent)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.rough = False
        """In training, sums of 8 significant bits: twice as fast where a processor has bfloat16."""

    def forward(self, messages: Tensor) -> Tensor:
        """Synaptic sums a, integers [..., C_out, H', W']."""
        require_exact(self, messages)
        images, weight = messages.flatten(0, -4), self.integer_weight()
        if self.rough and self.training:
            # Weights and small messages are exact in bfloat16; sums are rounded, to integers.
            images, weight = images.to(torch.bfloat16), weight.to(torch.bfloat16)
        else:
            images, weight = _exactly(images, weight)
        shape = self.stride, self.padding, self.dilation, self.groups
        with _without_tf32(images):
            sums = nn.functional.conv2d(images, weight, None, *shape)
        # The neurons take rounded sums, too, as what they are: integers in float32.
        sums = sums.to(messages.dtype) if images.dtype == torch.bfloat16 else sums
        if images.is_cuda:
            # cuDNN may transform a convolution (Winograd); its error here is far below 0.5.
            sums = round_through(sums)
        return sums.unflatten(0, messages.shape[:-3])


class ChipSumPool2d(nn.Module):
    """The sum over windows of each channel, times `weight`: a = weight·Σ m, one synapse a message.

    channels: C. kernel, stride, padding: (y, x). weight: an even integer in [−254, 254].
    """

    def __init__(
        self,
        channels: int,
        kernel: Pair,
        stride: Pair | None = None,
        padding: Pair = (0, 0),
        weight: int = 2,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.kernel, self.stride, self.padding = kernel, stride or kernel, padding
        self.weight = weight

    def forward(self, messages: Tensor) -> Tensor:
        """Synaptic sums a, integers [..., C, H', W']."""
        require_exact(self, messages)
        pooled = nn.functional.avg_pool2d(
            messages.flatten(0, -4), self.kernel, self.stride, self.padding, divisor_override=1
        )
        return self.weight * pooled.unflatten(0, messages.shape[:-3])

    def integer_weight(self) -> Tensor:
        """The same as a convolution with a group for each channel: float32 [C, 1, k_y, k_x]."""
        return torch.full((self.channels, 1, *self.kernel), float(self.weight))


def _exactly(messages: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the float type in which no partial sum of their product can be rounded."""
    with torch.no_grad():
        row = weight.abs().flatten(1).sum(dim=1).max()
        exact = bool(row * messages.abs().max() <= _EXACT_FLOAT32)
    dtype = torch.float32 if exact else torch.float64
    return messages.to(dtype), weight.to(dtype)


@contextmanager
def _without_tf32(x: Tensor) -> Iterator[None]:
    """On CUDA, convolutions with the whole 24 bits of float32."""
    if not x.is_cuda:
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def weight_exponent(
    weight: Tensor,
    message_max: int,
    sum_max: int,
    largest: float = WEIGHT_MAX,
) -> int:
    """The largest exponent at which quantized weights stay legal and their sums proven.

    weight: float [out, in, …]. message_max: the largest |message| that the encoder lets through.
    sum_max: the largest |Σ W·m| allowed (see `deploy.prove.proof`). largest: the weight beyond
    which all are clipped; none is at this exponent.
    """
    rows = weight.flatten(1).abs()
    peak, row = float(rows.max()), float(rows.sum(dim=1).max())
    if not math.isfinite(row) or peak == 0:
        return 0
    room = sum_max / message_max - rows.shape[1]
    return math.floor(math.log2(_HEADROOM * min(largest / peak, max(room, 1.0) / row)))


def bias_exponent(bias: Tensor, unit: float) -> int:
    """The smallest exponent 0..7 whose 13-bit mantissa holds twice the largest of these biases.

    The factor of two is room for training to grow into. bias, unit: as ChipNeuron takes them.
    """
    largest = 2 * unit * float(bias.abs().max())
    if largest <= BIAS_MANT_MAX:
        return 0
    return min(BIAS_EXP_MAX, math.ceil(math.log2(largest / BIAS_MANT_MAX)))
