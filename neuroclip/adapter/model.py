"""NeuroCLIP's inter-timestep adapter (Guo, Chen, Ma 2023), in floating point and on the chip.

T frame features x_t of one recording pass, with weights shared over time and neurons that carry
their state from step to step, through

    BatchNorm → Dropout → Linear(C → H) → BatchNorm → LIF → Dropout → Linear(H → C) [→ ReLU]

and are blended, 0.6 · adapter + 0.4 · x_t, before the comparison with the class texts. Two cuts:

- "paper": ReLU, blend, normalisation and cosine on the host; the chip gives the up-projection's
  value at every step. With `raw` it is as published, to the letter: it reads the features as CLIP makes
  them (of a length of about 10, so that they outweigh the adapter), normalises the blend once over all
  steps, fires at m ≥ 0.5 and normalises each step's batch by itself.
- "folded": no ReLU and no normalisation between the up-projection and the texts, so that both fold
  into one layer H → classes on the chip, read out by integrators after the last step. The host adds
  the constant share of the features themselves.

The LIF is m ← 0.25·m + x, spike where m > 0.5, reset to 0. (A chip fires strictly above its threshold:
the published adapter on the chip too, and it is trained as it runs.)
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from deploy.program.program import VTH_MAX
from neuroclip.chip.neurons import ChipNeuron, FloatNeuron, run
from neuroclip.chip.synapses import V_UNIT, ChipLinear, FoldedLinear, bias_exponent, weight_exponent
from neuroclip.linear.batch_norm import affine, deviation

Cut = Literal["folded", "paper"]


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes and constants of an adapter; the defaults are the paper's, but for `hidden`, `cut` and `raw`.

    features: C. hidden: H (the paper's is C/8). steps: T. cut, raw: see the module. decay: of m per step,
    a multiple of 1/4096. blend: the adapter's share. message_max, message_exponent: the host sends
    round(z·2^message_exponent) of the standardised feature z, clamped to ±message_max, few bits so
    that every synaptic sum stays within the 21 bits that all simulators and the chip share.
    """

    features: int
    hidden: int
    steps: int = 10
    cut: Cut = "folded"
    decay: float = 0.25
    threshold: float = 0.5
    dropout: float = 0.5
    blend: float = 0.6
    message_max: int = 15
    message_exponent: int = 2
    raw: bool = False

    def __post_init__(self) -> None:
        for name in ("features", "hidden", "steps", "message_max"):
            if getattr(self, name) < 1:
                raise BadInput(f"adapter: {name} {getattr(self, name)} is not positive")
        if self.cut not in ("folded", "paper"):
            raise BadInput(f"adapter: cut '{self.cut}' is neither 'folded' nor 'paper'")
        if self.raw and self.cut != "paper":
            raise BadInput("adapter: 'raw' features are those of the cut 'paper'")


@dataclass(frozen=True)
class ChipScales:
    """The powers of two between the real-valued adapter and the chip's integers."""

    down_exponent: int
    up_exponent: int
    hidden_bias_exponent: int
    readout_bias_exponent: int


class FloatAdapter(nn.Module):
    """The adapter in floating point, as the paper trains it; features [N, T, C] → [N, T, C].

    text: L2-normalised text features [labels, C] that the scores compare with.
    """

    def __init__(self, config: AdapterConfig, text: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("text", text.detach().clone().to(torch.float32))
        self.norm_features = nn.BatchNorm1d(config.features)
        self.down = nn.Linear(config.features, config.hidden)
        self.norm_hidden = nn.BatchNorm1d(config.hidden)
        # At m ≥ θ: strictly above the float32 before it.
        below = float(np.nextafter(np.float32(config.threshold), np.float32(0)))
        self.lif = FloatNeuron(config.decay, below if config.raw else config.threshold)
        # In the folded cut a bias would be a constant preference for some labels.
        self.up = nn.Linear(config.hidden, config.features, bias=config.cut == "paper")
        self.dropout = nn.Dropout(config.dropout)
        self.spike_rate = torch.zeros(())
        """Spikes per neuron and step in the last forward pass, differentiable."""

    def forward(self, features: Tensor) -> Tensor:
        """The adapter's own output before ReLU and blend."""
        x = self.dropout(self._normed(self.norm_features, features))
        spikes = run(self.lif, self._normed(self.norm_hidden, self.down(x)))
        self.spike_rate = spikes.mean()
        return self.up(self.dropout(spikes))

    def _normed(self, norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
        """[N, T, C] normalised over samples and steps; as published, each step over its samples."""
        if self.config.raw and self.training:
            return torch.stack([norm(step) for step in x.unbind(dim=1)], dim=1)
        normed: Tensor = norm(x.flatten(0, 1))
        return normed.unflatten(0, x.shape[:2])

    def folded(self) -> tuple[Tensor, Tensor]:
        """The down-projection (weight [H, C], bias [H]) of standardised features, with what both batch
        normalisations scale and shift around it in evaluation mode."""
        first, second = self.norm_features, self.norm_hidden
        gain, shift = affine(
            second.weight, second.bias, second.running_mean, second.running_var, second.eps
        )
        weight = gain[:, None] * self.down.weight * first.weight
        return weight, gain * (self.down.weight @ first.bias + self.down.bias) + shift

    def scores(self, features: Tensor) -> Tensor:
        """Class scores [N, labels] of features [N, T, C], L2-normalised but where they are read raw."""
        return blended_scores(self.config, self(features), features, self.text)

    def constrain_(self) -> None:
        """Nothing to keep: floating point has no registers."""


class AnnAdapter(FloatAdapter):
    """The same adapter without spikes or time: ReLU in place of the neurons, step by step alike.

    What the spikes cost in accuracy is the difference to this one.
    """

    def forward(self, features: Tensor) -> Tensor:
        """The adapter's own output before ReLU and blend."""
        x = self.dropout(self._normed(self.norm_features, features))
        return self.up(self.dropout(self._normed(self.norm_hidden, self.down(x)).relu()))


class ChipAdapter(nn.Module):
    """The adapter on the chip's arithmetic: host encoder → integer network → host read-out.

    `network` is what runs on the chip: fc1, lif1, fc2, readout. `encode` and `scores_from_readout`
    are what the host does before and after it.
    """

    def __init__(self, config: AdapterConfig, scales: ChipScales, text: Tensor) -> None:
        super().__init__()
        self.config, self.scales = config, scales
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("deviation", torch.ones(config.features))
        self.register_buffer("text", text.detach().clone().to(torch.float32))
        self.hidden_unit = V_UNIT * 2.0 ** (scales.down_exponent + config.message_exponent)
        self.readout_unit = V_UNIT * 2.0**scales.up_exponent
        down, up = (
            torch.zeros(config.hidden, config.features),
            torch.zeros(config.features, config.hidden),
        )
        folded = config.cut == "folded"
        self.network = nn.Sequential(
            OrderedDict(
                fc1=ChipLinear(down, scales.down_exponent),
                lif1=ChipNeuron(
                    torch.zeros(config.hidden),
                    unit=self.hidden_unit,
                    bias_exponent=scales.hidden_bias_exponent,
                    dv=round(4096 * (1 - config.decay)),
                    vth=round(config.threshold * self.hidden_unit / V_UNIT),
                ),
                fc2=FoldedLinear(up, text, scales.up_exponent)
                if folded
                else ChipLinear(up, scales.up_exponent),
                # Folded scores add up over the steps; the paper's values are read at every step.
                readout=ChipNeuron(
                    torch.zeros(len(text) if folded else config.features),
                    unit=self.readout_unit,
                    bias_exponent=scales.readout_bias_exponent,
                    dv=0 if folded else 4095,
                    kind="integrator",
                ),
            )
        )
        self.network.readout.bias.requires_grad_(not folded)
        self.spike_rate = torch.zeros(())
        """Spikes per neuron and step in the last forward pass, differentiable."""

    def encode(self, features: Tensor) -> Tensor:
        """Features [N, T, C] → integer messages in ±message_max, the only input of the chip."""
        standardised = (features.to(torch.float64) - self.mean) / self.deviation
        messages = torch.round(standardised * 2.0**self.config.message_exponent)
        return messages.clamp(-self.config.message_max, self.config.message_max)

    def scores(self, features: Tensor) -> Tensor:
        """Class scores [N, labels] of features [N, T, C]."""
        spikes = run(self.network[:2], self.encode(features))
        self.spike_rate = spikes.mean()
        return self.scores_from_readout(run(self.network[2:], spikes), features)

    def scores_from_readout(self, readout: Tensor, features: Tensor) -> Tensor:
        """The host's share: integrator potentials [N, T, …] and features → class scores."""
        values = readout.to(torch.float64) / self.readout_unit
        if self.config.cut == "paper":
            return blended_scores(self.config, values, features, self.text)
        own = (features.mean(dim=1) @ self.text.T).to(torch.float64)
        return self.config.blend * values[:, -1] / self.config.steps + (1 - self.config.blend) * own

    def learned(self) -> dict[str, Tensor]:
        """The tensors that define the adapter, as a checkpoint keeps them."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "text": self.text,
            "down": self.network.fc1.weight,
            "hidden_bias": self.network.lif1.bias,
            "up": self.network.fc2.weight,
            "readout_bias": self.network.readout.bias,
        }

    def constrain_(self) -> None:
        """Keep the weights where every register is legal and every synaptic sum proven."""
        self.network.fc1.constrain_(SYNAPTIC_SUM_MAX / self.config.message_max)
        self.network.fc2.constrain_(readout_sum_max(self.config))


def blended_scores(
    config: AdapterConfig, adapted: Tensor, features: Tensor, text: Tensor
) -> Tensor:
    """Scores [N, labels] of the blend with the features, under the adapter's cut.

    paper: mean over t of cos(b_t, text) with b_t = 0.6·ReLU(adapted_t) + 0.4·x_t; raw: the cosine of all
    b_t in a row with the text repeated, Σ b_t·text / (√T·‖b‖); folded: the mean of b_t·text without
    ReLU and without normalisation.
    """
    if config.cut == "paper":
        blend = config.blend * adapted.relu() + (1 - config.blend) * features
        if config.raw:
            length = blend.flatten(1).norm(dim=-1, keepdim=True).clamp(min=1e-12)
            summed = blend.sum(dim=1) / (length * blend.shape[1] ** 0.5)
            return summed @ text.to(blend.dtype).T
        return nn.functional.normalize(blend, dim=-1).mean(dim=1) @ text.to(blend.dtype).T
    blend = config.blend * adapted + (1 - config.blend) * features
    return blend.mean(dim=1) @ text.to(blend.dtype).T


def readout_sum_max(config: AdapterConfig) -> int:
    """The largest synaptic sum per step at which an integrator stays below its threshold.

    Folded: T·a·64 ≤ (2^17 − 1)·64. Paper: cleared each step, so the 21-bit sum alone binds; half of
    it is left to the bias.
    """
    if config.cut == "folded":
        return min(SYNAPTIC_SUM_MAX, VTH_MAX // config.steps)
    return SYNAPTIC_SUM_MAX // 2


@torch.no_grad()
def quantized(adapter: FloatAdapter) -> ChipAdapter:
    """The chip adapter that computes what a trained float adapter does in evaluation mode.

    Both batch normalisations fold exactly: the first into the host's encoder (its statistics) and
    the down-projection (its scale and shift), the second into the down-projection and the bias.
    """
    config, text = adapter.config, adapter.text
    first = adapter.norm_features
    down, bias = adapter.folded()
    readout_bias = adapter.up.bias if config.cut == "paper" else torch.zeros(len(text))

    down_exponent = weight_exponent(down, config.message_max, SYNAPTIC_SUM_MAX)
    up_exponent = _up_exponent(config, adapter.up.weight, text)
    hidden_unit = V_UNIT * 2.0 ** (down_exponent + config.message_exponent)
    scales = ChipScales(
        down_exponent,
        up_exponent,
        bias_exponent(bias, hidden_unit),
        bias_exponent(readout_bias, V_UNIT * 2.0**up_exponent),
    )
    learned = {
        "mean": first.running_mean,
        "deviation": deviation(first.running_var, first.eps),
        "text": text,
        "down": down,
        "hidden_bias": bias,
        "up": adapter.up.weight,
        "readout_bias": readout_bias,
    }
    chip = from_learned(config, scales, learned)
    chip.constrain_()
    return chip


@torch.no_grad()
def relabelled(adapter: ChipAdapter, text: Tensor) -> ChipAdapter:
    """The same adapter for other labels: only the text features change, nothing is trained again."""
    learned = adapter.learned() | {"text": text}
    scales = adapter.scales
    if adapter.config.cut == "folded":
        up_exponent = _up_exponent(adapter.config, learned["up"], text)
        scales = replace(scales, up_exponent=up_exponent)
        learned["readout_bias"] = torch.zeros(len(text))
    other = from_learned(adapter.config, scales, learned)
    other.constrain_()
    return other


@torch.no_grad()
def from_learned(
    config: AdapterConfig, scales: ChipScales, learned: Mapping[str, Tensor]
) -> ChipAdapter:
    """A chip adapter with the tensors of `ChipAdapter.learned`, as a checkpoint keeps them."""
    chip = ChipAdapter(config, scales, learned["text"])
    for name, tensor in chip.learned().items():
        tensor.copy_(learned[name])
    return chip


def _up_exponent(config: AdapterConfig, up: Tensor, text: Tensor) -> int:
    weight = text @ up if config.cut == "folded" else up
    return weight_exponent(weight, 1, readout_sum_max(config))
