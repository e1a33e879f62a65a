"""The chip's recurrence as torch modules: train on exactly what is deployed.

Every value that a chip holds as an integer is here an integer in float64, where all sums and
products below 2^53 are exact; gradients pass straight through the roundings, and a surrogate
stands for the derivative of a spike. Nothing here may run under autocast.
"""

import math
from typing import Any, Literal

import snntorch as snn
import torch
from torch import Tensor, nn

from deploy.arithmetic import STATE_SHIFT, UV_LIMIT
from deploy.program import BIAS_EXP_MAX, BIAS_MANT_MAX, BIAS_MANT_MIN, VTH_MAX, WEIGHT_MAX

V_UNIT = 1 << STATE_SHIFT
"""A synaptic sum of 1 moves the membrane potential by this much."""


class _Round(torch.autograd.Function):
    """Round to the nearest integer; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Truncate(torch.autograd.Function):
    """Truncate toward zero; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.trunc(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Rectangle(torch.autograd.Function):
    """Spike where x > 0; surrogate derivative 1/width for |x| < width/2 (NeuroCLIP's, width 1)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.width = width
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        width = ctx.width
        return gradient * (x.abs() < width / 2).to(gradient.dtype) / width, None


class SpikeGradient:
    """`Rectangle` of one width, as snnTorch's `spike_grad`; a class, so that neurons can be copied."""

    def __init__(self, width: float) -> None:
        self.width = width

    def __call__(self, x: Tensor) -> Tensor:
        return Rectangle.apply(x, self.width)


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
        """The weights as the chip holds them: even integers, float64 [out, in]."""
        half = self.real_weight().to(torch.float64) * 2.0 ** (self.exponent - 1)
        return 2 * _Round.apply(half).clamp(-(WEIGHT_MAX // 2), WEIGHT_MAX // 2)

    def forward(self, messages: Tensor) -> Tensor:
        """Synaptic sums a, float64 [..., out]."""
        return nn.functional.linear(messages.to(torch.float64), self.integer_weight())

    @torch.no_grad()
    def constrain_(self, sum_max: float) -> None:
        """Scale down each neuron's weights where Σ|W| could exceed `sum_max` after rounding."""
        self.weight.mul_(self._shrink(sum_max))

    def _shrink(self, sum_max: float) -> Tensor:
        """The factor [out, 1], at most 1, under which each neuron's Σ|W| holds."""
        weight = self.real_weight()
        # Rounding moves each weight by at most one unit.
        limit = (sum_max - weight.shape[1]) * 2.0**-self.exponent
        return (limit / weight.abs().sum(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)


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


class ChipNeuron(snn.Synaptic):
    """snnTorch's Synaptic with the recurrence of `deploy.program.Population`, bit for bit.

        u ← wrap(T(u·(4096 − (du + 1))/4096) + 64·a)
        v ← clip(T(v·(4096 − dv)/4096) + u + B);   s = v > 64·vth;   v ← 0 where s

    T truncates toward zero. An "integrator" has the largest threshold and returns v. State lives in
    the module (snnTorch's `init_hidden`), in float64, as do the spikes of the last step (`fired`);
    `reset_mem()` clears it between samples.

    bias: float [size], real-valued; B = 2^e·clamp(round(bias·unit/2^e)) has a mantissa of 13 bits
    and the exponent e = bias_exponent. unit: what 1.0 of the real-valued model is in units of v.
    width: the surrogate's width in the real-valued model.
    """

    def __init__(
        self,
        bias: Tensor,
        *,
        unit: float,
        bias_exponent: int = 0,
        du: int = 4095,
        dv: int = 0,
        vth: int = VTH_MAX,
        kind: Literal["lif", "integrator"] = "lif",
        width: float = 1.0,
    ) -> None:
        super().__init__(
            alpha=1 - (du + 1) / 4096,
            beta=1 - dv / 4096,
            threshold=torch.tensor(float(vth * V_UNIT), dtype=torch.float64),
            spike_grad=SpikeGradient(width * unit),
            init_hidden=True,
            reset_mechanism="zero",
            reset_delay=False,
        )
        self.du, self.dv, self.vth, self.kind, self.unit = du, dv, vth, kind, float(unit)
        self.bias = nn.Parameter(bias.detach().clone().to(torch.float32))
        self.bias_exponent = bias_exponent
        self.state_function = self._chip_step

    def integer_bias(self) -> Tensor:
        """The bias B in units of v, as the chip adds it each step: float64 [size]."""
        step = 2.0**self.bias_exponent
        mantissa = _Round.apply(self.bias.to(torch.float64) * (self.unit / step))
        return mantissa.clamp(BIAS_MANT_MIN, BIAS_MANT_MAX) * step

    def forward(self, a: Tensor) -> Tensor:
        """One step: synaptic sums a [..., size] → spikes, or v for an integrator."""
        self.fired = super().forward(a).to(torch.float64)
        return self.mem if self.kind == "integrator" else self.fired

    def _chip_step(self, a: Tensor) -> tuple[Tensor, Tensor]:
        u = _Truncate.apply(self.syn.to(torch.float64) * ((4095 - self.du) / 4096)) + V_UNIT * a
        u = u - torch.where(u > UV_LIMIT, 2.0 * UV_LIMIT, 0.0)
        u = u + torch.where(u <= -UV_LIMIT, 2.0 * UV_LIMIT, 0.0)
        v = _Truncate.apply(self.mem.to(torch.float64) * ((4096 - self.dv) / 4096)) + u
        return u, (v + self.integer_bias()).clamp(-UV_LIMIT + 1, UV_LIMIT - 1)


def weight_exponent(weight: Tensor, message_max: int, sum_max: int, headroom: float = 0.8) -> int:
    """The largest exponent at which quantized weights stay legal and their sums proven.

    weight: float [out, in]. message_max: the largest |message| that the encoder lets through.
    sum_max: the largest |Σ W·m| allowed (see `deploy.proof`). headroom: the share of the legal
    range that the present weights may fill; the rest is for training to grow into.
    """
    largest = float(weight.abs().max())
    row = float(weight.abs().sum(dim=1).max())
    if not math.isfinite(row) or largest == 0:
        return 0
    room = sum_max / message_max - weight.shape[1]
    return math.floor(math.log2(headroom * min(WEIGHT_MAX / largest, max(room, 1.0) / row)))


def bias_exponent(bias: Tensor, unit: float) -> int:
    """The smallest exponent 0..7 whose 13-bit mantissa holds twice the largest of these biases.

    The factor of two is room for training to grow into. bias, unit: as ChipNeuron takes them.
    """
    largest = 2 * unit * float(bias.abs().max())
    if largest <= BIAS_MANT_MAX:
        return 0
    return min(BIAS_EXP_MAX, math.ceil(math.log2(largest / BIAS_MANT_MAX)))


def run(network: nn.Module, messages: Tensor) -> Tensor:
    """Run a chip network over samples that start from cleared state: [N, T, in] → [N, T, out]."""
    for module in network.modules():
        if isinstance(module, ChipNeuron):
            module.reset_mem()
    return torch.stack([network(messages[:, t]) for t in range(messages.shape[1])], dim=1)
