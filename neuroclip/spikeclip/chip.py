"""The deployable encoder on the chip's arithmetic: the float one's modules, their parts replaced.

All synapses into a residual stream share one power of two, so that the stream is a sum of integer
currents. A neuron that reads it has a bias of its own, which starts as the sum of the branches'.
Biases are multiples of 2^(T − 1) where the registers allow it: what a leak of a half does to them, and
to weights, in T steps leaves no remainder, so that the chip's truncation changes nothing and a simulator
in floating point gives the same spikes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from deploy.program.program import BIAS_EXP_MAX, VTH_MAX, WEIGHT_MAX
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.synapses import V_UNIT, ChipConv2d, bias_exponent, weight_exponent
from neuroclip.linear.affine import pair
from neuroclip.spikeclip.config import SpikeClipConfig
from neuroclip.spikeclip.encoder import DECAY, SURROGATE, Encoder, NormedConv2d, float_encoder

# A layer whose largest weight is below this rounds to nothing: weights are even.
_COARSEST = 8
# Of a connection that only counts spikes: the smallest even weight.
ONE = 2

Scales = Mapping[str, int]
"""Exponents by module path: of synapses that of their weights, of neurons that of their biases."""


@dataclass(frozen=True)
class Layer:
    """Synapses by module path and the stream that they add to: each stage of the tokenizer begins one,
    the last of which the blocks go on with; neurons that only one layer drives read one of their own.
    """

    synapses: str
    stream: str


@dataclass(frozen=True)
class StreamReader:
    """Which stream some neurons read, and how many branches it has by then."""

    stream: str
    branches: int


def layers(config: SpikeClipConfig) -> tuple[Layer, ...]:
    """Every convolution of the deployable encoder, in order."""
    stages = config.stages
    found = [
        Layer(f"tokenizer.synapses.{i}", f"stage{stages[i]}") for i in range(config.convolutions)
    ]
    last = found[-1].stream
    for b in range(config.blocks):
        block = f"blocks.{b}"
        found += [Layer(f"{block}.attention.{x}", f"{block}.attention.fires_{x}") for x in "qkv"]
        found += [
            Layer(f"{block}.project", last),
            Layer(f"{block}.expand", f"{block}.hidden"),
            Layer(f"{block}.contract", last),
        ]
    return tuple(found)


def readers(config: SpikeClipConfig) -> dict[str, StreamReader]:
    """All neurons but the attention's own, and what they read."""
    stages = config.stages
    found = {
        f"tokenizer.fires.{i}": StreamReader(f"stage{stages[i]}", stages[: i + 1].count(stages[i]))
        for i in range(config.convolutions - 1)
    }
    last, before = f"stage{stages[-1]}", stages.count(stages[-1])
    for b in range(config.blocks):
        block = f"blocks.{b}"
        found[f"{block}.enter"] = StreamReader(last, before + 2 * b)
        own = [*(f"attention.fires_{x}" for x in "qkv"), "hidden"]
        found |= {f"{block}.{x}": StreamReader(f"{block}.{x}", 1) for x in own}
        found[f"{block}.middle"] = StreamReader(last, before + 2 * b + 1)
    return found | {"last": StreamReader(last, before + 2 * config.blocks)}


@torch.no_grad()
def quantized(config: SpikeClipConfig, encoder: Encoder) -> tuple[Encoder, Scales]:
    """The chip encoder that does what a trained float encoder does in evaluation mode, nearly.

    BatchNorm folds exactly; weights and biases are rounded. Returns it with its exponents. Raises
    BadInput for another variant.
    """
    folded = {}
    for layer in layers(require_deployable(config)):
        synapses = encoder.get_submodule(layer.synapses)
        assert isinstance(synapses, NormedConv2d)
        folded[layer.synapses] = synapses.folded()
    biases = _biases(config, encoder, folded)
    scales = _scales(config, {name: weight for name, (weight, _) in folded.items()}, biases)
    chip = chip_encoder(config, scales)
    for name, (weight, _) in folded.items():
        _synapses(chip, name).weight.copy_(weight)
    for name, bias in biases.items():
        _neurons(chip, name).bias.copy_(bias)
    constrain_(config, chip)
    return chip, scales


def chip_encoder(config: SpikeClipConfig, scales: Scales) -> Encoder:
    """A chip encoder with these exponents, its weights and biases zero.

    Raises BadInput where an exponent is missing, or leads to a threshold that no register holds.
    """
    made = float_encoder(require_deployable(config))
    side, width = config.side, config.width
    units: dict[str, float] = {}
    sizes: dict[str, tuple[int, int, int]] = {}
    rows = config.image_size
    for layer in layers(config):
        exponent = _exponent(scales, layer.synapses)
        old = made.get_submodule(layer.synapses)
        assert isinstance(old, NormedConv2d)
        conv = old.conv
        weight, stride, padding = conv.weight, pair(conv.stride), pair(conv.padding)
        rows //= stride[0]
        synapses = ChipConv2d(torch.zeros_like(weight), exponent, stride, padding)
        _replace(made, layer.synapses, synapses)
        units[layer.stream] = 2.0**exponent * _messages(config, layer)
        sizes[layer.stream] = (conv.out_channels, rows, rows)
    for name, reader in readers(config).items():
        shape, unit = sizes[reader.stream], units[reader.stream]
        _replace(made, name, _chip_neuron(config.threshold, scales, name, shape, unit))
    for b in range(config.blocks):
        name = f"blocks.{b}.attention"
        ones = ChipConv2d(torch.full((width, 1, side, side), float(ONE)), 0, groups=width)
        ones.weight.requires_grad_(False)
        _replace(made, f"{name}.total", ones)
        theta, shape = config.attention_threshold, (width, 1, 1)
        neuron = _chip_neuron(theta, scales, f"{name}.fires", shape, float(ONE))
        _replace(made, f"{name}.fires", neuron)
    return made


def constrain_(config: SpikeClipConfig, chip: Encoder) -> None:
    """Keep every synaptic sum within the 21 bits that the chip and all simulators share."""
    shares = _shares(
        config, {x.synapses: _synapses(chip, x.synapses).weight for x in layers(config)}
    )
    for layer in layers(config):
        synapses = _synapses(chip, layer.synapses)
        synapses.constrain_(_sum_max(config) * shares[layer.synapses] / _messages(config, layer))


def require_deployable(config: SpikeClipConfig) -> SpikeClipConfig:
    """The configuration, where a chip can hold it. Raises BadInput naming what it cannot."""
    if config.variant == "ann":
        raise BadInput("spikeclip: the variant 'ann' has ReLU in the place of spiking neurons")
    if config.variant != "deployable":
        what = "which no synapse does"
        if config.variant == "paper":
            what += ", 'tokenizer' pools real values"
            what += ", 'input' are real-valued pixels" if config.pixels == "clip" else ""
            what += " and 'time' weighs each step freely"
        raise BadInput(
            "spikeclip: module 'blocks.0.attention' multiplies values of each step, q·kᵀ·v, "
            f"{what}; train the variant 'deployable'"
        )
    return config


def _biases(config: SpikeClipConfig, encoder: Encoder, folded: Mapping[str, tuple[Tensor, Tensor]]
            ) -> dict[str, Tensor]:  # fmt: skip
    """Bias [C, 1, 1] of each population of neurons."""
    branches: dict[str, list[Tensor]] = {}
    for layer in layers(config):
        bias = folded[layer.synapses][1][:, None, None]
        branches.setdefault(layer.stream, []).append(bias)
    found = {
        name: torch.stack(branches[x.stream][: x.branches]).sum(dim=0)
        for name, x in readers(config).items()
    }
    for b in range(config.blocks):
        name = f"blocks.{b}.attention"
        found[f"{name}.fires"] = encoder.get_submodule(f"{name}.total").offset.detach()
    return found


def _scales(
    config: SpikeClipConfig, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]
) -> dict[str, int]:
    shares = _shares(config, weights)
    streams: dict[str, list[Layer]] = {}
    for layer in layers(config):
        streams.setdefault(layer.stream, []).append(layer)
    found: dict[str, int] = {}
    units: dict[str, int] = {}
    for stream, branches in streams.items():
        held = [weights[x.synapses] for x in branches]
        messages = _messages(config, branches[0])
        rooms = [round(_sum_max(config) * shares[x.synapses] / messages) for x in branches]
        # No branch beyond its part of the sum, and a threshold that its register holds.
        pairs = zip(held, rooms, strict=True)
        highest = min(weight_exponent(w, 1, room, largest=math.inf) for w, room in pairs)
        while 2 * config.threshold * 2.0**highest * messages > VTH_MAX:
            highest -= 1
        pairs = zip(held, rooms, strict=True)
        whole = min(highest, *(weight_exponent(w, 1, room) for w, room in pairs))
        units[stream] = _least_error(held, whole, highest)
        found |= dict.fromkeys((x.synapses for x in branches), units[stream])
    for name, weight in weights.items():
        largest = float(weight.abs().max()) * 2.0 ** found[name]
        if 0 < largest < _COARSEST:
            raise BadInput(
                f"spikeclip: layer '{name}': that no sum may leave 21 bits leaves its weights no more "
                f"than ±{largest:.2g}; give the model a larger sum_factor, or fewer channels"
            )
    pixels = layers(config)[0].stream
    for name, bias in biases.items():
        reader = readers(config).get(name)
        unit = float(ONE) if reader is None else 2.0 ** units[reader.stream]
        if reader is not None and reader.stream == pixels:
            unit *= config.message_max
        found[name] = max(bias_exponent(bias, V_UNIT * unit), min(config.steps - 1, BIAS_EXP_MAX))
    return found


def _least_error(weights: Sequence[Tensor], whole: int, highest: int) -> int:
    """The exponent whose rounding and clipping moves weights least, by the squares of it.

    whole: at which no weight is clipped. A few large ones among many small ones are better clipped.
    """

    def error(exponent: int) -> float:
        step, limit = 2.0 ** (1 - exponent), WEIGHT_MAX // 2
        return sum(
            float((w - step * torch.round(w / step).clamp(-limit, limit)).square().sum())
            for w in weights
        )

    return min(range(whole, max(whole, highest) + 1), key=error)


def _sum_max(config: SpikeClipConfig) -> int:
    """The largest sum into a neuron if all of its sources fire."""
    return SYNAPTIC_SUM_MAX * config.sum_factor


def _messages(config: SpikeClipConfig, layer: Layer) -> int:
    """The largest message that synapses carry: a spike's, but for the pixels'."""
    return config.message_max if layer.synapses == "tokenizer.synapses.0" else 1


def _shares(config: SpikeClipConfig, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The part of its stream's largest sum that each branch gets, at least half of an equal one."""
    rows = {
        n: max(1e-30, float(w.detach().flatten(1).abs().sum(1).max())) for n, w in weights.items()
    }
    found: dict[str, float] = {}
    for stream in {x.stream for x in layers(config)}:
        names = [x.synapses for x in layers(config) if x.stream == stream]
        total, equal = sum(rows[n] for n in names), 1 / len(names)
        found |= {n: (rows[n] / total + equal) / 2 for n in names}
    return found


def _chip_neuron(
    threshold: float, scales: Scales, name: str, shape: tuple[int, int, int], unit: float
) -> ChipNeuron:
    """Neurons that fire at v ≥ threshold; unit: a synaptic sum per 1.0 of current."""
    # m = 2·v reaches 2·threshold; strictly above the register, so one step of the grid below it.
    vth = max(0, math.ceil(2 * threshold * unit) - 1)
    if vth > VTH_MAX:
        raise BadInput(f"spikeclip: neurons '{name}': a threshold of {vth} exceeds {VTH_MAX}")
    return ChipNeuron(
        torch.zeros(shape[0], 1, 1),
        unit=V_UNIT * unit,
        shape=shape,
        bias_exponent=_exponent(scales, name),
        dv=round(4096 * (1 - DECAY)),
        vth=vth,
        surrogate=SURROGATE,
    )


def _exponent(scales: Scales, name: str) -> int:
    if name not in scales:
        raise BadInput(f"spikeclip: the exponent of '{name}' is missing")
    return scales[name]


def _synapses(chip: Encoder, name: str) -> ChipConv2d:
    found = chip.get_submodule(name)
    assert isinstance(found, ChipConv2d)
    return found


def _neurons(chip: Encoder, name: str) -> ChipNeuron:
    found = chip.get_submodule(name)
    assert isinstance(found, ChipNeuron)
    return found


def _replace(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
