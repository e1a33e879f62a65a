"""Spikingformer, the image encoder of SpikeCLIP, in floating point: the paper's and the deployable.

An image is shown T times. The tokenizer's convolutions make a stream of currents [C, tokens], to
which every block adds twice: x += SSA(LIF(x)); x += MLP(LIF(x)). Neurons are v ← v + (x − v)/2 with
a spike where v ≥ θ and a reset to 0; here m = 2·v, so that m ← m/2 + x, with a spike at m ≥ 2·θ.

Every layer takes [N, T, …], the first one the image once, [N, 1, …]. `chip.quantized` makes the same
modules with the chip's synapses and neurons in the place of these.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroclip.chip.neurons import FloatNeuron
from neuroclip.chip.recurrence import Surrogate
from neuroclip.linear.batch_norm import affine
from neuroclip.spikeclip.config import SpikeClipConfig

DECAY = 0.5
# The paper's surrogate has slope 4 in v; in m = 2·v it is twice as wide.
SURROGATE = Surrogate("sigmoid", 2.0)
# Of the paper's attention: q·kᵀ·v·0.125 before a neuron of threshold 0.5.
_PAPER_SCALE = 0.125


def firing(config: SpikeClipConfig, threshold: float | None = None) -> nn.Module:
    """What stands between two layers of an encoder: neurons, at the configured threshold if at no other."""
    if config.variant == "ann":
        return nn.ReLU()
    return neurons(config.threshold if threshold is None else threshold, config.detached_reset)


def neurons(threshold: float, detached: bool = False) -> FloatNeuron:
    """The paper's neurons: fire at v ≥ threshold, so strictly above the float32 before it.

    detached: no gradient goes through the reset, as in the paper.
    """
    below = np.nextafter(np.float32(2 * threshold), np.float32(0))
    # snnTorch's neurons cannot be made on the meta device, where sizes are checked.
    with torch.device("cpu"):
        return FloatNeuron(DECAY, float(below), SURROGATE, detached)


def published_time(steps: int) -> Tensor:
    """The weights of the steps with which the authors' code begins: the logarithms of …, 0.2, 0.4, 0.8."""
    return (0.8 * 2 ** torch.arange(1.0 - steps, 1)).log()


class NormedConv2d(nn.Module):
    """A convolution without bias and its BatchNorm: [..., C_in, H, W] → [..., C_out, H', W']."""

    def __init__(self, source: int, target: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(target)

    def forward(self, x: Tensor) -> Tensor:
        """Currents of the neurons behind it."""
        return self.norm(self.conv(x.flatten(0, -4))).unflatten(0, x.shape[:-3])

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight [C_out, C_in, k, k] and bias [C_out] that do the same in evaluation mode."""
        norm = self.norm
        assert norm.running_var is not None and norm.running_mean is not None
        gain, shift = affine(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps)
        return self.conv.weight * gain[:, None, None, None], shift


class TokenSum(nn.Module):
    """The sum over tokens of each channel: [..., C, H, W] → [..., C, 1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))
        """Lowers or raises the threshold of the neurons behind it."""

    def forward(self, x: Tensor) -> Tensor:
        """Σ over tokens, plus the offset."""
        return x.sum(dim=(-2, -1), keepdim=True) + self.offset


class SpikeDrivenAttention(nn.Module):
    """q ∧ fire(Σ over tokens of k ∧ v), each of spikes (Yao et al. 2023): [..., C, H, W] → the same.

    q, k, v: synapses; fires_q, fires_k, fires_v: their neurons; total, fires: the sum over tokens and
    its neurons [C, 1, 1]. The product of two spikes is their AND.
    """

    def __init__(self, q: nn.Module, k: nn.Module, v: nn.Module, total: nn.Module,
                 fires: Sequence[nn.Module]) -> None:  # fmt: skip
        super().__init__()
        self.q, self.k, self.v, self.total = q, k, v, total
        self.fires_q, self.fires_k, self.fires_v, self.fires = fires

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes of q where the channel is attended to."""
        q, k, v = (
            fires(synapses(spikes))
            for synapses, fires in (
                (self.q, self.fires_q), (self.k, self.fires_k), (self.v, self.fires_v),
            )
        )  # fmt: skip
        return q * self.fires(self.total(k * v))


class PaperAttention(nn.Module):
    """LIF((q·kᵀ)·v·0.125) of spikes q, k, v, in heads: what the paper has and no chip can hold."""

    def __init__(self, config: SpikeClipConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.q, self.k, self.v = (NormedConv2d(width, width) for _ in range(3))
        self.fires_q, self.fires_k, self.fires_v = (firing(config) for _ in range(3))
        self.fires = firing(config, config.attention_threshold)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes of the attention's own neurons."""
        q, k, v = (
            # [..., heads, channels of a head, tokens]
            fires(made(spikes)).flatten(-2).unflatten(-2, (self.heads, -1))
            for made, fires in (
                (self.q, self.fires_q), (self.k, self.fires_k), (self.v, self.fires_v),
            )
        )  # fmt: skip
        # (q·kᵀ)·v of tokens is q·(kᵀ·v), which is cheaper: no softmax lies between.
        seen = torch.einsum("...cn,...dn->...cd", v, k) @ q
        return self.fires((_PAPER_SCALE * seen).reshape(spikes.shape))


class Block(nn.Module):
    """x += project(attention(enter(x))); x += contract(hidden(expand(middle(x)))).

    enter, middle, hidden: neurons; the others are synapses and attention. x: the residual stream.
    """

    def __init__(self, attention: nn.Module, project: nn.Module, expand: nn.Module,
                 contract: nn.Module, fires: Sequence[nn.Module]) -> None:  # fmt: skip
        super().__init__()
        self.enter, self.middle, self.hidden = fires
        self.attention, self.project = attention, project
        self.expand, self.contract = expand, contract

    def forward(self, stream: Tensor) -> Tensor:
        """The stream after both of its branches."""
        stream = stream + self.project(self.attention(self.enter(stream)))
        return stream + self.contract(self.hidden(self.expand(self.middle(stream))))


class Tokenizer(nn.Module):
    """Convolutions with neurons (and, in the paper's variant, pools) between: images → stream.

    adds: where a convolution's currents are added to those that the neurons before it read.

    The first convolution sees the same image at every step and is computed once for all `steps`.
    """

    def __init__(self, synapses: Sequence[nn.Module], fires: Sequence[nn.Module],
                 pools: Sequence[bool], adds: Sequence[bool], steps: int) -> None:  # fmt: skip
        super().__init__()
        self.adds = tuple(adds)
        self.steps = steps
        self.synapses, self.fires = nn.ModuleList(synapses), nn.ModuleList(fires)
        self.pools = tuple(pools)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels [N, 1, C, H, W] → currents [N, T, width, side, side]."""
        x = self.synapses[0](x).expand(-1, self.steps, -1, -1, -1)
        for i, synapses in enumerate(self.synapses):
            if i:
                made = synapses(self.fires[i - 1](x))
                x = x + made if self.adds[i] else made
            if self.pools[i]:
                pooled = functional.max_pool2d(x.flatten(0, -4), 3, 2, 1)
                x = pooled.unflatten(0, x.shape[:-3])
        return x


class Encoder(nn.Module):
    """Tokenizer, blocks and, in the deployable variant, the neurons that the read-out sees."""

    def __init__(
        self, tokenizer: Tokenizer, blocks: Sequence[nn.Module], last: nn.Module | None
    ) -> None:
        super().__init__()
        self.tokenizer, self.blocks, self.last = tokenizer, nn.ModuleList(blocks), last

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 1, C, H, W] → spikes of the last neurons, or the stream: [N, T, width, side, side]."""
        stream = self.tokenizer(pixels)
        for block in self.blocks:
            stream = block(stream)
        return stream if self.last is None else self.last(stream)


def float_encoder(config: SpikeClipConfig) -> Encoder:
    """An encoder of the configured variant in floating point, with random weights."""
    paper = config.variant == "paper"
    channels = (config.channels, *config.tokenizer_channels)
    halves = [config.strides(i) for i in range(config.convolutions)]
    tokenizer = Tokenizer(
        [
            NormedConv2d(channels[i], channels[i + 1], 3, 2 if half and not paper else 1)
            for i, half in enumerate(halves)
        ],
        [firing(config) for _ in halves[1:]],
        [half and paper for half in halves],
        [config.adds(i) for i in range(config.convolutions)],
        config.steps,
    )
    blocks = [float_block(config) for _ in range(config.blocks)]
    return Encoder(tokenizer, blocks, None if paper else firing(config))


def float_attention(config: SpikeClipConfig) -> SpikeDrivenAttention:
    """Spike-driven attention in floating point, with random weights."""
    width = config.width
    q, k, v = (NormedConv2d(width, width) for _ in range(3))
    made = [*(firing(config) for _ in range(3)), firing(config, config.attention_threshold)]
    return SpikeDrivenAttention(q, k, v, TokenSum(width), made)


def float_block(config: SpikeClipConfig) -> Block:
    """A block of the configured variant in floating point, with random weights."""
    width, hidden = config.width, config.width * config.ratio
    papers = config.variant in ("paper", "paper-attention")
    return Block(
        PaperAttention(config) if papers else float_attention(config),
        NormedConv2d(width, width),
        NormedConv2d(width, hidden),
        NormedConv2d(hidden, width),
        [firing(config) for _ in range(3)],
    )
