"""`ChipNetwork`: chip synapses and neurons wired by name, loops included, as one torch module."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.order import cycle, in_order
from deploy.program.program import Shape
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipIdentity, ChipRelay
from neuroclip.chip.synapses import ChipLinear, ChipSumPool2d

INPUT = "input"


@dataclass(frozen=True)
class Wire:
    """One connection: the module `name` turns messages of `source` into sums of `target`.

    delay: 0, or 1 for what the source sent a step ago, which closes a loop.
    """

    name: str
    source: str
    target: str
    delay: int = 0


class ChipNetwork(nn.Module):
    """Populations of ChipNeurons and ChipRelays wired by chip synapses; modules are attributes.

    inputs: the shape of each by name. One step at a time: messages [N, *shape], of several inputs by
    their names → what the output populations send, a tuple where there are several. By
    `neuroclip.chip.neurons.run`: whole samples [N, T, *shape]; a network with loops then goes step by
    step inside.
    """

    def __init__(
        self,
        inputs: Mapping[str, Shape],
        modules: Mapping[str, nn.Module],
        wires: tuple[Wire, ...],
        outputs: tuple[str, ...],
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            if hasattr(self, name):
                raise BadInput(f"module '{name}': torch modules use this name; choose another")
            self.add_module(name, module)
        self.inputs, self.wires, self.outputs = dict(inputs), wires, outputs
        self.order = _order(wires, self.inputs)
        self.steps_only = any(wire.delay for wire in wires)
        self.past: dict[str, Tensor] = {}
        self.notes: tuple[str, ...] = ()
        """How it came about, a line each."""
        self.timesteps: int | None = None
        """How many steps a sample must have, where a bias is spread over them."""

    def neuron(self, name: str) -> ChipNeuron:
        """The neurons of the population called `name`."""
        found = getattr(self, name)
        assert isinstance(found, ChipNeuron)
        return found

    def population(self, name: str) -> ChipNeuron | ChipRelay:
        """The neurons or relays of the population called `name`."""
        found = getattr(self, name)
        assert isinstance(found, ChipNeuron | ChipRelay)
        return found

    def reset_mem(self) -> None:
        """Clear every state: the next step is the first of a sample."""
        self.past = {}
        for name in self.order:
            self.population(name).reset_mem()

    def forward(self, messages: Tensor | Mapping[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Messages of a step (by `run`, of whole samples) → spikes or potentials of the outputs."""
        sent = self._by_name(messages)
        first, shape = next(zip(sent.values(), self.inputs.values(), strict=True))
        leading = first.shape[: first.ndim - len(shape)]
        given = {}
        for name in self.order:
            total = None
            for wire in self.wires:
                if wire.target != name:
                    continue
                message = self.past.get(wire.source) if wire.delay else sent[wire.source]
                if message is not None:
                    sums = self._sums(wire, message, leading)
                    total = sums if total is None else total + sums
            neuron = self.population(name)
            if total is None:
                total = torch.zeros(*leading, *neuron.shape, device=first.device)
            given[name] = neuron(total.reshape(*leading, *neuron.shape))
            sent[name] = neuron.fired if self.steps_only else given[name]
        if self.steps_only:
            self.past = sent
        found = tuple(given[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found

    def _by_name(self, messages: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The messages of each input, in their order. Raises BadInput naming one that is missing."""
        if isinstance(messages, Tensor):
            messages = {next(iter(self.inputs)): messages}
        if missing := [name for name in self.inputs if name not in messages]:
            raise BadInput(
                f"input '{missing[0]}': no messages; the network takes {list(self.inputs)}"
            )
        return {name: messages[name] for name in self.inputs}

    def _sums(self, wire: Wire, message: Tensor, leading: torch.Size) -> Tensor:
        synapses = getattr(self, wire.name)
        assert isinstance(synapses, ChipLinear | ChipSumPool2d | ChipIdentity)
        flat = type(synapses) is ChipLinear and message.ndim > len(leading) + 1
        return synapses(message.flatten(len(leading)) if flat else message)


def _order(wires: tuple[Wire, ...], inputs: Mapping[str, Shape]) -> tuple[str, ...]:
    """Populations, each after those whose present messages it reads."""
    before: dict[str, set[str]] = {wire.target: set() for wire in wires}
    for wire in wires:
        if wire.source not in inputs and wire.source not in before:
            raise BadInput(
                f"module '{wire.source}': no wire ends in it, and '{wire.name}' reads it"
            )
        if wire.delay == 0 and wire.source not in inputs:
            before[wire.target].add(wire.source)
    try:
        return in_order(before)
    except CycleError as error:
        raise BadInput(
            f"modules {cycle(error)}: a loop in which no message waits a step"
        ) from error
