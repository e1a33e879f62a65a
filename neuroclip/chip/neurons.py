"""Spiking neurons as torch modules: snnTorch's, with the chip's recurrence or a fused one.

A network of these takes one step at a time, like any of snnTorch with `init_hidden`, and keeps its
state until `reset_mem()`; or, by `run`, whole samples that start from cleared state. Both give the
same spikes and gradients; whole samples are several times faster.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import snntorch as snn
import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.program import BIAS_MANT_MAX, BIAS_MANT_MIN, VTH_MAX, Shape
from neuroclip.chip.precision import require_exact
from neuroclip.chip.recurrence import (
    ChipRegisters,
    Surrogate,
    chip_recurrence,
    chip_states,
    chip_step,
    float_recurrence,
)
from neuroclip.chip.synapses import V_UNIT, round_through


class ChipNeuron(snn.Synaptic):
    """snnTorch's Synaptic with the recurrence of `deploy.program.program.Population`, bit for bit.

        u ← wrap(T(u·(4096 − (du + 1))/4096) + 64·a)
        v ← clip(T(v·(4096 − dv)/4096) + u + B);   s = v > 64·vth;   v ← 0 where s

    T truncates toward zero. An "integrator" has the largest threshold and returns v. State lives in
    the module (snnTorch's `init_hidden`), in float64, as do the spikes of the last step (`fired`);
    `reset_mem()` clears it between samples.

    shape: of the population; by default the bias's. bias: float, broadcast to the shape (one per
    channel: [C, 1, 1]), real-valued; B = 2^e·clamp(round(bias·unit/2^e)) has a mantissa of 13 bits
    and the exponent e = bias_exponent. du, dv, vth: integers, or integer tensors that broadcast
    likewise. unit: what 1.0 of the real-valued model is in units of v. surrogate: its width is in
    the real-valued model.
    """

    def __init__(
        self,
        bias: Tensor,
        *,
        unit: float,
        shape: Shape | None = None,
        bias_exponent: int = 0,
        du: int | Tensor = 4095,
        dv: int | Tensor = 0,
        vth: int | Tensor = VTH_MAX,
        kind: Literal["lif", "integrator"] = "lif",
        surrogate: Surrogate = Surrogate(),  # noqa: B008 - frozen
    ) -> None:
        threshold = torch.as_tensor(vth, dtype=torch.float64) * V_UNIT
        super().__init__(
            alpha=1 - (torch.as_tensor(du) + 1) / 4096,
            beta=1 - torch.as_tensor(dv) / 4096,
            threshold=threshold,
            spike_grad=Surrogate(surrogate.kind, surrogate.width * unit),
            init_hidden=True,
            reset_mechanism="zero",
            reset_delay=False,
        )
        self.shape: Shape = tuple(bias.shape if shape is None else shape)
        self.du, self.dv, self.vth, self.kind, self.unit = du, dv, vth, kind, float(unit)
        self.bias = nn.Parameter(bias.detach().clone().to(torch.float32))
        self.bias_exponent = bias_exponent
        self.state_function = self._chip_step
        self.whole_samples = False
        self.records = False
        self.states: list[tuple[Tensor, Tensor, Tensor]] = []
        """By `recorded`: (u, v, s) [N, *shape] of each step, or of all steps [N, T, *shape]."""

    def integer_bias(self) -> Tensor:
        """The bias B in units of v, as the chip adds it each step: float64, the bias's shape."""
        step = 2.0**self.bias_exponent
        mantissa = round_through(self.bias.to(torch.float64) * (self.unit / step))
        return mantissa.clamp(BIAS_MANT_MIN, BIAS_MANT_MAX) * step

    def forward(self, a: Tensor) -> Tensor:
        """Synaptic sums a [N, *shape] of a step, by `run` [N, T, *shape] → spikes, or v's."""
        require_exact(self, a, self.bias)
        if self.whole_samples:
            return self._samples(a)
        self.fired = super().forward(a).to(torch.float64)
        if self.records:
            self.states.append((self.syn, self.mem, self.fired))
        return self.mem if self.kind == "integrator" else self.fired

    def register(self, value: int | Tensor) -> Tensor:
        """A register or bias, int32 [*shape], one value for each neuron."""
        value = torch.as_tensor(value, device=self.bias.device).detach()
        return value.to(torch.int32).expand(self.shape)

    def _samples(self, a: Tensor) -> Tensor:
        assert a.shape[2:] == self.shape, f"sums {tuple(a.shape)} into neurons {self.shape}"
        if not self.records and channels_last(a):
            # Neurons in the order in which the convolution before them left its sums: no copy.
            moved = self._recurrence(a.movedim(2, -1), lambda x: x.movedim(0, -1))
            return moved.movedim(-1, 2)
        return self._recurrence(a, lambda x: x)

    def _recurrence(self, a: Tensor, order: Callable[[Tensor], Tensor]) -> Tensor:
        """Sums [N, T, *shape], the shape ordered by `order` → spikes, or v's, in that order."""
        shape = a.shape[2:]
        flat, bias = a.flatten(2), order(self.integer_bias().expand(self.shape)).flatten()
        registers = self._registers(order)
        if self.records:
            states = chip_states(flat, bias, registers)
            u, v, s = (x.unflatten(2, shape) for x in states)
            self.states = [(u, v, s)]
            return v if self.kind == "integrator" else s
        reads = self.kind == "integrator"
        out = chip_recurrence(flat, bias, registers, self.spike_grad, reads)
        return out.unflatten(2, shape)

    def _registers(self, order: Callable[[Tensor], Tensor]) -> ChipRegisters:
        du, dv, vth = (
            order(self.register(x)).flatten().contiguous() for x in (self.du, self.dv, self.vth)
        )
        return ChipRegisters(4095 - du, 4096 - dv, V_UNIT * vth)

    def _chip_step(self, a: Tensor) -> tuple[Tensor, Tensor]:
        kept = [
            (full - torch.as_tensor(register, dtype=torch.float64, device=a.device)) / 4096
            for full, register in ((4095, self.du), (4096, self.dv))
        ]
        u, v = self.syn.to(torch.float64), self.mem.to(torch.float64)
        return chip_step(u, v, a, self.integer_bias(), *kept)


class FloatNeuron(snn.Leaky):
    """snnTorch's Leaky, m ← β·m + x, reset to 0 at once where m > threshold; whole samples by `run`.

    decay: β. detached: no gradient goes through the reset. x: float32 [N, *shape] of a step, by `run`
    [N, T, *shape].
    """

    mem: Tensor

    def __init__(
        self,
        decay: float,
        threshold: float = 1.0,
        surrogate: Surrogate = Surrogate(),  # noqa: B008 - frozen
        detached: bool = False,
    ) -> None:
        super().__init__(
            beta=decay,
            threshold=threshold,
            spike_grad=surrogate,
            init_hidden=True,
            reset_mechanism="zero",
            reset_delay=False,
        )
        self.whole_samples, self.detached = False, detached

    def forward(self, x: Tensor) -> Tensor:
        """Input currents → spikes."""
        if not self.whole_samples:
            return self._detached_step(x) if self.detached else super().forward(x)
        if channels_last(x):
            return self._samples(x.movedim(2, -1)).movedim(-1, 2)
        return self._samples(x)

    def _samples(self, x: Tensor) -> Tensor:
        shape = x.shape[2:]
        flat = x.flatten(2)
        decay = self.beta.to(torch.float32).expand(flat.shape[2]).contiguous()
        threshold = float(self.threshold)
        spikes = float_recurrence(flat, decay, threshold, self.spike_grad, self.detached)
        return spikes.unflatten(2, shape)

    def _detached_step(self, x: Tensor) -> Tensor:
        """snnTorch detaches a reset only where it comes a step late."""
        before = (self.beta * self.mem if self.mem.shape == x.shape else 0.0) + x
        spikes: Tensor = self.spike_grad(before - self.threshold)
        self.mem = before * (1 - spikes.detach())
        return spikes


def channels_last(x: Tensor) -> bool:
    """Whether sums [N, T, C, H, W] lie in memory as [N, T, H, W, C]."""
    return x.ndim == 5 and x.movedim(2, -1).is_contiguous() and not x.is_contiguous()


Messages = Tensor | Mapping[str, Tensor]
"""What a network is sent: of one input, or of several by their names."""


def run(network: nn.Module, messages: Messages) -> Any:
    """Run a network over samples that start from cleared state: [N, T, *in] → [N, T, *out].

    Every module but the neurons sees [N, T, …] as well, so it must take any leading dimensions. A
    network whose attribute `steps_only` is true, since it has loops, goes step by step.
    """
    wanted, length = getattr(network, "timesteps", None), _leading(messages)[1]
    if wanted is not None and wanted != length:
        raise BadInput(
            f"samples of {length} steps: the network was read on {wanted}, over which a bias of its read-out "
            "is spread; convert it on a sample of as many"
        )
    if getattr(network, "steps_only", False):
        network.reset_mem()
        steps = [network(_step(messages, t)) for t in range(length)]
        if isinstance(steps[0], tuple):
            return tuple(torch.stack(parts, dim=1) for parts in zip(*steps, strict=True))
        return torch.stack(steps, dim=1)
    with _whole_samples(network):
        return network(messages)


def _step(messages: Messages, t: int) -> Messages:
    if isinstance(messages, Tensor):
        return messages[:, t]
    return {name: sent[:, t] for name, sent in messages.items()}


def _leading(messages: Messages) -> torch.Size:
    """[samples, steps]."""
    first = messages if isinstance(messages, Tensor) else next(iter(messages.values()))
    return first.shape[:2]


@torch.no_grad()
def recorded(network: nn.Module, messages: Messages) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """(u, v, s) [N, T, *shape] after every step, float64 integers, of each chip neuron by name."""
    neurons = {n: m for n, m in network.named_modules() if isinstance(m, ChipNeuron)}
    for neuron in neurons.values():
        neuron.records = True
    try:
        run(network, messages)
        return {name: _joined(neuron, _leading(messages)) for name, neuron in neurons.items()}
    finally:
        for neuron in neurons.values():
            neuron.records, neuron.states = False, []


def _joined(neuron: ChipNeuron, leading: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    u, v, s = (
        torch.stack(list(parts), dim=1) if len(parts) == leading[1] != 1 else parts[0]
        for parts in zip(*neuron.states, strict=True)
    )
    shape = (*leading, *neuron.shape)
    return u.reshape(shape).double(), v.reshape(shape).double(), s.reshape(shape).double()


@contextmanager
def _whole_samples(network: nn.Module) -> Iterator[None]:
    neurons = [m for m in network.modules() if isinstance(m, ChipNeuron | FloatNeuron)]
    for neuron in neurons:
        neuron.whole_samples = True
    try:
        yield
    finally:
        for neuron in neurons:
            neuron.whole_samples = False
