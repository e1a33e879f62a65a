"""The torch model that NeuroBench's harness sees: a chip network of torch's own layers, step by step."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.chip.network import ChipNetwork
from neuroclip.chip.neurons import ChipNeuron
from neuroclip.chip.relays import ChipIdentity, ChipRelay
from neuroclip.chip.synapses import ChipConv2d, ChipLinear, ChipSumPool2d


class Stepped(nn.Module):
    """A chip network whose synapses are Linear and Conv2d layers of float32 that hold the chip's integers.

    Messages [samples, time, *shape] from cleared state, one step at a time → what its output gives out,
    [samples, time, ...]. Such a model is run by `neurobench.models.TorchModel`, told of
    `snntorch.SpikingNeuron` by `add_activation_module`. Raises BadInput for a network with graded relays,
    whose synapses are no layer that NeuroBench counts.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        twin = copy.deepcopy(network)
        for name, module in list(twin.named_modules()):
            if isinstance(module, ChipIdentity | ChipRelay):
                raise BadInput(
                    f"--neurobench: '{name}' relays graded messages, which NeuroBench has no layer for; "
                    "give --skips fan-in"
                )
            if isinstance(module, ChipLinear | ChipSumPool2d):
                parent, _, own = name.rpartition(".")
                setattr(twin.get_submodule(parent), own, _Layer(module))
            if isinstance(module, ChipNeuron):
                # States of an earlier run would count as memory.
                module.syn, module.mem = torch.zeros(0), torch.zeros(0)
        self.network = twin.eval()

    def forward(self, messages: Tensor) -> Tensor:
        """Whole samples, step by step."""
        for module in self.network.modules():
            if isinstance(module, ChipNeuron):
                module.reset_mem()
        if isinstance(self.network, ChipNetwork):
            self.network.past = {}
        steps = range(messages.shape[1])
        return torch.stack([self.network(messages[:, t]) for t in steps], dim=1)


class _Layer(ChipLinear):
    """A layer of torch's with the integer weights of chip synapses; theirs is what a network looks for."""

    def __init__(self, synapses: ChipLinear | ChipSumPool2d) -> None:
        nn.Module.__init__(self)
        weight = synapses.integer_weight().detach().to(torch.float32)
        if isinstance(synapses, ChipConv2d | ChipSumPool2d):
            groups = synapses.channels if isinstance(synapses, ChipSumPool2d) else synapses.groups
            dilation = synapses.dilation if isinstance(synapses, ChipConv2d) else (1, 1)
            self.layer: nn.Linear | nn.Conv2d = nn.Conv2d(
                weight.shape[1] * groups, weight.shape[0], (weight.shape[2], weight.shape[3]),
                synapses.stride, synapses.padding, dilation, groups, bias=False,
            )  # fmt: skip
        else:
            self.layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.layer.weight.data = weight

    def forward(self, messages: Tensor) -> Tensor:
        """Synaptic sums of one step."""
        flat = messages.flatten(1) if isinstance(self.layer, nn.Linear) else messages
        sums: Tensor = self.layer(flat.to(torch.float32))
        return sums


def footprint(network: Any) -> dict[str, int | None]:
    """The harness's Footprint, in bytes, and ParameterCount of the model; null where there is none."""
    if network is None:
        return {"Footprint": None, "ParameterCount": None}
    model = Stepped(network)
    held = [*model.parameters(), *model.buffers()]
    return {
        "Footprint": sum(x.numel() * x.element_size() for x in held),
        "ParameterCount": sum(x.numel() for x in model.parameters()),
    }
