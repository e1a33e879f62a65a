"""The chip encoder as populations and synapses, attention and skips included: a `ChipNetwork`.

An AND is a neuron with a synapse of weight 2 from either side and a threshold between 2 and 4. The
sum over tokens is a convolution of ones with a group for each channel, its broadcast back to the
tokens one with full padding. The residual stream is lowered in one of two ways
(`deploy.program.residual_stream`):

    "fan-in"   it has no neurons: each of its branches drives every neuron that reads it later,
               through synapses of that neuron's own
    "stream"   a stage of graded relays before each reader sends on the sum so far
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from deploy.program.residual_stream import Reader, relay_name, stage_name
from neuroclip.chip.network import INPUT, ChipNetwork, Wire
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipIdentity, ChipRelay
from neuroclip.chip.synapses import V_UNIT, ChipConv2d
from neuroclip.spikeclip.chip import ONE
from neuroclip.spikeclip.encoder import Block, Encoder, SpikeDrivenAttention

Feed = tuple[str, str, nn.Module]
"""(name of the synapses, source, synapses)."""

Skips = Literal["fan-in", "stream"]


@dataclass(eq=False)
class Wiring:
    """Populations and the wires between them, as they are added; the modules are copies.

    readers: of the residual stream so far, with the synapses that each has by fan-in.
    """

    shape: Shape
    skips: Skips = "fan-in"
    modules: dict[str, nn.Module] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    def add(self, name: str, neurons: nn.Module, feeds: Iterable[Feed]) -> str:
        """A population called `name` and all that drives it; returns the name."""
        _require_chip(name, neurons)
        for synapses, source, module in feeds:
            self.modules[synapses] = deepcopy(module)
            self.wires.append(Wire(synapses, source, name))
        self.modules[name] = deepcopy(neurons)
        return name

    def network(self, outputs: tuple[str, ...]) -> ChipNetwork:
        """The network so far."""
        return ChipNetwork({INPUT: self.shape}, self.modules, tuple(self.wires), outputs)


def encoder_wiring(
    encoder: Encoder, shape: Shape, read: tuple[nn.Module, nn.Module], skips: Skips = "fan-in"
) -> Wiring:
    """The whole chip encoder and its read-out, the population "readout".

    shape: of the pixels [C, H, W]. read: the last synapses and their integrators.
    """
    wiring = Wiring(shape, skips)
    stream = wire_tokenizer(wiring, encoder, INPUT)
    for i, block in enumerate(encoder.blocks):
        wire_block(wiring, f"block{i + 1}", block, stream)
    assert encoder.last is not None
    last = wire_reader(wiring, "last", encoder.last, stream)
    synapses, integrators = read
    wiring.add("readout", integrators, [("text", last, synapses)])
    return wiring


@dataclass(eq=False)
class Stream:
    """A residual stream: its branches, and those that no stage of relays has added to the sum yet.

    last: that of the tokens, the one that relays may hold; those before it go by fan-in.
    """

    branches: list[Feed]
    waiting: list[Feed]
    last: bool

    def add(self, branch: Feed) -> None:
        """One more branch."""
        self.branches.append(branch)
        self.waiting.append(branch)


def wire_tokenizer(wiring: Wiring, encoder: Encoder, source: str) -> Stream:
    """The tokenizer's neurons; returns the stream that they start."""
    tokenizer = encoder.tokenizer
    begins = [not adds for adds in tokenizer.adds]
    first = tokenizer.synapses[0]
    stream = start_stream(("token1_conv", source, first), last=not any(begins[1:]))
    for i, synapses in enumerate(tokenizer.synapses):
        branch = (f"token{i + 1}_conv", source, synapses)
        if not begins[i]:
            stream.add(branch)
        elif i:
            stream = start_stream(branch, last=not any(begins[i + 1 :]))
        if i == len(tokenizer.fires):
            break
        name, neurons = f"token{i + 1}", tokenizer.fires[i]
        if begins[i] and begins[i + 1]:
            source = wiring.add(name, neurons, [branch])
        else:
            source = wire_reader(wiring, name, neurons, stream)
    return stream


def start_stream(branch: Feed, last: bool = True) -> Stream:
    """A stream of one branch."""
    return Stream([branch], [branch], last)


def wire_reader(wiring: Wiring, name: str, neurons: nn.Module, stream: Stream) -> str:
    """Neurons that read the sum of every branch of the stream so far; returns their name."""
    branches = tuple((x, relay_name(x, name)) for x, _, _ in stream.branches)
    if stream.last:
        wiring.readers.append(Reader(name, branches))
    if wiring.skips == "fan-in" or not stream.last:
        feeds = [(relay_name(x, name), source, y) for x, source, y in stream.branches]
        return wiring.add(name, neurons, feeds)
    stage = stage_name(len(wiring.readers))
    shape = _require_chip(name, neurons).shape
    same = ChipIdentity(shape[0])
    feeds = [(relay_name(x, stage), source, y) for x, source, y in stream.waiting]
    wiring.add(stage, ChipRelay(shape), feeds)
    stream.waiting = [(stage, stage, same)]
    return wiring.add(name, neurons, [(relay_name(stage, name), stage, same)])


def wire_block(wiring: Wiring, name: str, block: nn.Module, stream: Stream) -> None:
    """A block of attention and MLP with its skips, which adds two branches to the stream."""
    assert isinstance(block, Block)
    entered = wire_reader(wiring, f"{name}_enter", block.enter, stream)
    attended = wire_attention(wiring, name, block.attention, entered)
    stream.add((f"{name}_project", attended, block.project))
    middle = wire_reader(wiring, f"{name}_middle", block.middle, stream)
    feeds = [(f"{name}_expand", middle, block.expand)]
    hidden = wiring.add(f"{name}_hidden", block.hidden, feeds)
    stream.add((f"{name}_contract", hidden, block.contract))


def wire_attention(wiring: Wiring, name: str, attention: nn.Module, source: str) -> str:
    """Spike-driven attention as six populations; returns the last, q ∧ fire(Σ k ∧ v).

    Raises BadInput for another attention: q·kᵀ·v multiplies values of each step, which no synapse
    does.
    """
    if not isinstance(attention, SpikeDrivenAttention):
        raise BadInput(
            f"module '{name}': {type(attention).__name__} multiplies values of each step, q·kᵀ·v, "
            "which no synapse does; use spike-driven attention"
        )
    for x in "qkv":
        feeds = [(f"{name}_{x}_conv", source, getattr(attention, x))]
        wiring.add(f"{name}_{x}", getattr(attention, f"fires_{x}"), feeds)
    channels, *size = wiring.modules[f"{name}_q"].shape
    same = ChipConv2d(torch.full((channels, 1, 1, 1), float(ONE)), 0, groups=channels)
    both = _and((channels, *size))
    pairs = [(f"{name}_kv_{x}", f"{name}_{x}", same) for x in "kv"]
    wiring.add(f"{name}_kv", both, pairs)
    wiring.add(f"{name}_sum", attention.fires, [(f"{name}_total", f"{name}_kv", attention.total)])
    ones = torch.full((channels, 1, *size), float(ONE))
    spread = ChipConv2d(ones, 0, padding=(size[0] - 1, size[1] - 1), groups=channels)
    pairs = [
        (f"{name}_mask_q", f"{name}_q", same),
        (f"{name}_spread", f"{name}_sum", spread),
    ]
    return wiring.add(f"{name}_mask", both, pairs)


def _require_chip(name: str, neurons: nn.Module) -> ChipNeuron | ChipRelay:
    if not isinstance(neurons, ChipNeuron | ChipRelay):
        raise BadInput(
            f"module '{name}': {type(neurons).__name__} is in floating point; quantize it first"
        )
    return neurons


def _and(shape: Shape) -> ChipNeuron:
    """Neurons that fire where both of two spikes arrive in a step, and keep nothing."""
    return ChipNeuron(
        torch.zeros(1, 1, 1), unit=V_UNIT * ONE, shape=shape, du=4095, dv=4095, vth=2 * ONE - 1
    )
