"""Images and texts of a SpikeCLIP compared: in floating point, and with the image side on the chip."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from deploy.program.program import VTH_MAX
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.neurons import ChipNeuron, FloatNeuron, run
from neuroclip.chip.synapses import V_UNIT, ChipConv2d, weight_exponent
from neuroclip.spikeclip.chip import Scales, chip_encoder, constrain_, quantized
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import Encoder, float_encoder, published_time
from neuroclip.spikeclip.wiring import Skips, Wiring, encoder_wiring

# CLIP's own pixels, red, green and blue (Radford et al. 2021, public code).
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_CLIP_SIZE = 224
# Images of that size that are held together.
_AT_ONCE = 128


def messages(config: SpikeClipConfig, images: Tensor) -> Tensor:
    """Images uint8 [N, C, H, W] of any size → integers 0..message_max, float32 [N, C, S, S].

    Of `pixels` "clip" real values, (x/255 − mean)/deviation, gray ones with those of all colours; `by_224`
    bicubic to 224 pixels, as 8 bits, and from there bilinear between four of them.
    """
    x = _by_224(images, config.image_size) if config.by_224 else images.to(torch.float32) / 255
    if x.shape[-1] != config.image_size or x.shape[-2] != config.image_size:
        size = (config.image_size, config.image_size)
        x = functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    if config.pixels == "clip":
        mean, deviation = (torch.tensor(c).reshape(3, 1, 1) for c in (_CLIP_MEAN, _CLIP_DEVIATION))
        if config.channels == 1:
            mean, deviation = mean.mean(), deviation.mean()
        return (x - mean.to(x.device)) / deviation.to(x.device)
    return torch.round(x.clamp(0, 1) * config.message_max)


def _by_224(images: Tensor, size: int) -> Tensor:
    """Images uint8 [N, C, H, W] as CLIP's preprocessing makes them and the authors shrink that, 0..1."""
    parts = []
    for part in images.split(_AT_ONCE):
        large = part.to(torch.float32)
        # Pillow, which CLIP's preprocessing uses, scales rows, and their 8 bits then by columns.
        for side in ((part.shape[-2], _CLIP_SIZE), (_CLIP_SIZE, _CLIP_SIZE)):
            large = functional.interpolate(large, side, mode="bicubic", antialias=True)
            large = large.round().clamp(0, 255)
        parts.append(functional.interpolate(large / 255, (size, size), mode="bilinear"))
    return torch.cat(parts)


def repeated(config: SpikeClipConfig, sent: Tensor) -> Tensor:
    """The same messages at every step: [N, T, C, S, S]."""
    return sent[:, None].expand(-1, config.steps, -1, -1, -1)


class SpikeClip(nn.Module):
    """The image side in floating point: messages [N, C, S, S] → features [N, features].

    Token mean, then a weighted sum over time (learned weights in the paper's variant, else a
    geometric sequence), then a projection.
    """

    def __init__(self, config: SpikeClipConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: Encoder = float_encoder(config)
        self.projection = nn.Linear(config.width, config.features, bias=config.variant == "paper")
        paper = config.variant == "paper"
        weights = config.time_ratio ** torch.arange(config.steps - 1, -1, -1.0)
        weights = published_time(config.steps) if paper else weights / weights.sum()
        self.time = nn.Parameter(weights, requires_grad=paper)

    def forward(self, sent: Tensor) -> Tensor:
        """Features, not normalised, of messages."""
        unit = 1 if self.config.pixels == "clip" else self.config.message_max
        tokens = run(self.encoder, sent[:, None] / unit)
        return self.projection(torch.einsum("t,ntchw->nc", self.time, tokens) / self.config.side**2)

    def scores(self, sent: Tensor, text: Tensor) -> Tensor:
        """Cosines [N, labels] with L2-normalised text features."""
        return functional.normalize(self(sent), dim=-1) @ text.T

    def constrain_(self) -> None:
        """Nothing to keep: floating point has no registers."""


class ReadOut(ChipConv2d):
    """Text features · projection over a patch of tokens, the only layer that labels change.

    weight: float [features, width], the projection, which training moves. text: [labels, features].
    """

    def __init__(
        self, config: SpikeClipConfig, weight: Tensor, text: Tensor, exponent: int
    ) -> None:
        super().__init__(weight, exponent, stride=(config.patch, config.patch))
        self.patch = config.patch
        self.register_buffer("text", text.detach().clone().to(torch.float32))

    def real_weight(self) -> Tensor:
        """The folded weights [labels, width, patch, patch]: the same for every token."""
        folded = (self.text @ self.weight)[:, :, None, None]
        return folded.expand(-1, -1, self.patch, self.patch)

    @torch.no_grad()
    def constrain_(self, sum_max: float) -> None:
        """Scale down the whole projection where any label's Σ|W| could exceed `sum_max`."""
        self.weight.mul_(self._shrink(sum_max).min())


class ChipSpikeClip(nn.Module):
    """The image side on the chip's arithmetic: messages → potentials of one integrator per label.

    scales: exponents of the encoder's layers (see `chip.Scales`). projection: [features, width].
    text: L2-normalised [labels, features]. The read-out's own exponent follows from both. An
    integrator's leak makes the weights of the steps a geometric sequence; where the tokens are too
    many for one, there is one for each patch and the host adds them up.
    """

    def __init__(
        self, config: SpikeClipConfig, scales: Scales, projection: Tensor, text: Tensor
    ) -> None:
        super().__init__()
        self.config, self.scales = config, scales
        self.encoder = chip_encoder(config, scales)
        folded = text @ projection
        spread = folded[:, :, None, None].expand(-1, -1, config.patch, config.patch)
        exponent = weight_exponent(spread, 1, readout_sum_max(config))
        self.readout = ReadOut(config, projection, text, exponent)
        count = config.side // config.patch
        self.integrators = ChipNeuron(
            torch.zeros(len(text), 1, 1),
            unit=V_UNIT * 2.0**exponent,
            shape=(len(text), count, count),
            dv=round(4096 * (1 - config.time_ratio)),
            kind="integrator",
        )
        # A bias would be a constant preference for some labels.
        self.integrators.bias.requires_grad_(False)

    def forward(self, sent: Tensor) -> Tensor:
        """Text · features [N, labels] of messages, as the integrators hold them at the end."""
        return self._read(self._spikes(sent))

    def scores(self, sent: Tensor) -> Tensor:
        """Cosines [N, labels]: of each image its potentials, over the length of its features.

        The length does not change which label is highest, and the chip does not compute it.
        """
        spikes = self._spikes(sent)
        steps = torch.arange(self.config.steps - 1, -1, -1.0, device=spikes.device)
        seen = torch.einsum("t,ntchw->nc", self.config.time_ratio**steps, spikes)
        length = (seen @ self.readout.weight.T).norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return self._read(spikes) / length.detach()

    def _spikes(self, sent: Tensor) -> Tensor:
        return run(self.encoder, sent[:, None])

    def _read(self, spikes: Tensor) -> Tensor:
        potentials = run(self.integrators, self.readout(spikes))[:, -1]
        return potentials.sum(dim=(-2, -1)) / self.integrators.unit

    def network(self, skips: Skips = "fan-in") -> ChipNetwork:
        """All of it as populations and synapses; the last is called "readout"."""
        return self.wiring(skips).network(("readout",))

    def wiring(self, skips: Skips = "fan-in") -> Wiring:
        """The same with what reads the residual stream (`Wiring.readers`)."""
        size = (self.config.channels, self.config.image_size, self.config.image_size)
        return encoder_wiring(self.encoder, size, (self.readout, self.integrators), skips)

    def constrain_(self) -> None:
        """Keep the weights where every register is legal and every synaptic sum proven."""
        constrain_(self.config, self.encoder)
        self.readout.constrain_(readout_sum_max(self.config))


def readout_sum_max(config: SpikeClipConfig) -> int:
    """The largest sum of a step at which an integrator stays below its threshold of 2^17 − 1."""
    total = sum(config.time_ratio**t for t in range(config.steps))
    return min(SYNAPTIC_SUM_MAX, int(VTH_MAX / total))


@torch.no_grad()
def quantized_model(model: SpikeClip, text: Tensor) -> ChipSpikeClip:
    """The chip's model of a trained float model in evaluation mode, for these texts."""
    encoder, scales = quantized(model.config, model.encoder)
    chip = ChipSpikeClip(model.config, scales, model.projection.weight, text)
    chip.encoder.load_state_dict(encoder.state_dict())
    chip.constrain_()
    return chip


@torch.no_grad()
def relabelled(model: ChipSpikeClip, text: Tensor) -> ChipSpikeClip:
    """The same model for other labels: only its last layer changes, nothing is trained again."""
    return _of_same_encoder(model, model.config, text)


@torch.no_grad()
def in_steps(model: SpikeClip, steps: int) -> SpikeClip:
    """The same model that shows an image `steps` times, nothing trained again.

    Raises BadInput for the paper's variant, which has learned a weight for each of its steps.
    """
    config = replace(model.config, steps=steps)
    if config.variant == "paper" and steps != model.config.steps:
        raise BadInput(f"spikeclip: the paper's variant has weights for {model.config.steps} steps")
    other = SpikeClip(config)
    learned = {name: x for name, x in model.state_dict().items() if name != "time"}
    other.load_state_dict(learned, strict=False)
    return other.eval()


@torch.no_grad()
def chip_in_steps(model: ChipSpikeClip, steps: int) -> ChipSpikeClip:
    """As `in_steps`, on the chip's arithmetic."""
    return _of_same_encoder(model, replace(model.config, steps=steps), model.readout.text).eval()


def _of_same_encoder(model: ChipSpikeClip, config: SpikeClipConfig, text: Tensor) -> ChipSpikeClip:
    other = ChipSpikeClip(config, model.scales, model.readout.weight, text)
    other.encoder.load_state_dict(model.encoder.state_dict())
    other.readout.constrain_(readout_sum_max(config))
    return other


@contextmanager
def firing_rates(model: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """Within: spikes per neuron and step of each layer in its last forward pass, differentiable."""
    rates: dict[str, Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        fires = isinstance(module, FloatNeuron) or (
            isinstance(module, ChipNeuron) and module.kind == "lif"
        )
        if fires:
            hooks.append(
                module.register_forward_hook(
                    lambda _, __, out, name=name: rates.__setitem__(name, out.mean())
                )
            )
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()
