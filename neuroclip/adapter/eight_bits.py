"""The ANN beside the chip's adapter in 8 bits: what the chip's arithmetic is fairly compared with.

It gets what the chip's adapter gets: both batch normalisations folded, the second stage without
dropout, the same texts folded into the same up-projection. Its numbers are wider: messages and ReLUs of 8
bits where the chip sends 5 bits and spikes, int8 weights under a scale for each neuron where the chip has
one power of two for a layer.
"""

import torch
from torch import Tensor, nn

from deploy.count.ann_baseline import Zeros
from neuroclip.adapter.model import AdapterConfig, AnnAdapter
from neuroclip.chip.synapses import round_through
from neuroclip.linear.batch_norm import deviation
from neuroclip.linear.int8 import int8_by_target

# Standardised features are sent in steps of 1/16, so that 8 bits reach ±8 deviations.
_MESSAGE_UNIT = 1 / 16
_INT8_MAX, _UINT8_MAX = 127, 255


class EightBitAnn(nn.Module):
    """An ANN adapter of the folded cut in int8: y = (text·U)·ReLU(W·x + b), of which W, b and U are trained.

    Weights are round(w/s) in ±127 with s = max|w|/127 of each neuron's; x is the standardised feature
    in steps of 1/16 and ±127 of them, a ReLU has 255 levels up to `hidden_max`. Sums and biases are not
    rounded (an accelerator adds in 32 bits). Gradients pass straight through the roundings. What it
    learned is its `state_dict`, `hidden_unit` (of one level) included.

    ann: trained, in evaluation mode. hidden_max: what the largest level of a ReLU stands for.
    """

    def __init__(self, ann: AnnAdapter, hidden_max: float) -> None:
        super().__init__()
        self.config: AdapterConfig = ann.config
        first = ann.norm_features
        assert first.running_mean is not None and first.running_var is not None
        down, bias = ann.folded()
        self.register_buffer("text", ann.text.clone())
        self.register_buffer("mean", first.running_mean.clone())
        self.register_buffer("deviation", deviation(first.running_var, first.eps))
        self.down = nn.Parameter(down.detach())
        self.bias = nn.Parameter(bias.detach())
        self.up = nn.Parameter(ann.up.weight.detach().clone())
        self.register_buffer("hidden_unit", torch.tensor(max(hidden_max, 1e-6) / _UINT8_MAX))

    def scores(self, features: Tensor) -> Tensor:
        """Class scores [N, labels] of features [N, T, C]."""
        return self.scores_from_hidden(self.hidden(features), features)

    def hidden(self, features: Tensor) -> Tensor:
        """What the ReLUs send, [N, T, H], multiples of `hidden_unit`."""
        x = self.encode(features) * _MESSAGE_UNIT
        sums = nn.functional.linear(x, int8_by_target(self.down), self.bias)
        return round_through(sums / self.hidden_unit).clamp(0, _UINT8_MAX) * self.hidden_unit

    def encode(self, features: Tensor) -> Tensor:
        """What its first layer takes, integers in ±127 [N, T, C]."""
        levels = torch.round((features - self.mean) / self.deviation / _MESSAGE_UNIT)
        return levels.clamp(-_INT8_MAX, _INT8_MAX)

    def scores_from_hidden(self, hidden: Tensor, features: Tensor) -> Tensor:
        """Means over the steps: 0.6·(text·U)·hidden + 0.4·text·feature."""
        adapted = nn.functional.linear(hidden.mean(dim=1), int8_by_target(self.text @ self.up))
        own = features.mean(dim=1) @ self.text.T
        return self.config.blend * adapted + (1 - self.config.blend) * own


@torch.no_grad()
def zeros(ann: EightBitAnn, features: Tensor) -> Zeros:
    """Which share of what its layers take is zero, over features [N, T, C]."""
    inputs, hidden = ann.encode(features) == 0, ann.hidden(features) == 0
    return Zeros(float(inputs.double().mean()), float(hidden.double().mean()))


def in_eight_bits(ann: AnnAdapter, features: Tensor) -> EightBitAnn:
    """The 8-bit network of a trained ANN; features [N, T, C], of its training, set the range of its ReLUs:
    twice their largest, which leaves training room to grow into."""
    free = EightBitAnn(ann, 1.0)
    with torch.no_grad():
        x = (features - free.mean) / free.deviation
        largest = float(nn.functional.linear(x, free.down, free.bias).max())
    return EightBitAnn(ann, 2 * largest)
