"""Graded relays as torch modules: `deploy.neurons.Graded`, and synapses from one to one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from deploy.program.program import Shape
from deploy.program.residual_stream import EXPONENT, WEIGHT
from neuroclip.chip.precision import require_exact


class ChipRelay(nn.Module):
    """Graded messages without memory: each neuron sends its synaptic sum as it is, s = a.

    shape: of the population. Sums a [N, *shape] of a step, or [N, T, *shape] of whole samples →
    messages, integers in float64.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape: Shape = tuple(shape)
        self.records = False
        self.sent: list[Tensor] = []
        """By `relayed`: the messages of each step, or of all steps."""

    def reset_mem(self) -> None:
        """Nothing to clear: a relay keeps no state."""

    def forward(self, a: Tensor) -> Tensor:
        """Synaptic sums → the same as messages."""
        require_exact(self, a)
        self.fired = a.to(torch.float64)
        if self.records:
            self.sent.append(self.fired)
        return self.fired


class ChipIdentity(nn.Module):
    """Synapses from neuron i to neuron i that change nothing: a = (2·m) >> 1 = m.

    channels: C of populations [C, H, W]. The chip holds a weight of 2 and a weight exponent of −1.
    """

    chip_exponent = EXPONENT

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def integer_weight(self) -> Tensor:
        """The weights as the chip holds them, a group for each channel: float32 [C, 1, 1, 1]."""
        return torch.full((self.channels, 1, 1, 1), float(WEIGHT))

    def forward(self, messages: Tensor) -> Tensor:
        """Messages → the same as synaptic sums."""
        require_exact(self, messages)
        return messages


@contextmanager
def relayed(network: nn.Module) -> Iterator[Mapping[str, ChipRelay]]:
    """Within: the relays by name, which keep in `sent` what they send while the network runs."""
    relays = {n: m for n, m in network.named_modules() if isinstance(m, ChipRelay)}
    for relay in relays.values():
        relay.records = True
    try:
        yield relays
    finally:
        for relay in relays.values():
            relay.records, relay.sent = False, []
