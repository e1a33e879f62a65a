"""A person's module on whole samples: which class it answers, in floating point and differentiable.

What answers is what `to_chip` reads first (`neuroclip.convert.outputs`): spikes are counted over all steps,
a potential is that after the last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.convert.labels import tensors_in
from neuroclip.convert.observe import Layout, clear
from neuroclip.convert.outputs import Place, Quantity
from neuroclip.convert.sample import arguments
from neuroclip.convert.snntorch import Understood


@dataclass(frozen=True)
class Answer:
    """How a module is called and what of it answers.

    place: of a returned tensor; where there is none, `module` names the neurons that answer.
    """

    layout: Layout
    quantity: Quantity
    place: Place | None
    module: str = ""

    def scores(self, model: nn.Module, sent: Tensor) -> Tensor:
        """Messages [N, T, *shape] → score of each neuron that answers [N, neurons]; the largest decides."""
        clear(model)
        more = arguments(model, sent.shape[1])
        if self.place is None:
            return self._noted(model, sent, more)
        if self.layout == "step":
            steps = [list(tensors_in(model(sent[:, t], **more))) for t in range(sent.shape[1])]
            found = torch.stack([each[self.place.number] for each in steps])
        else:
            found = list(tensors_in(model(self._given(sent), **more)))[self.place.number]
        if self.place.time is None:
            return found.movedim(self.place.batch, 0).flatten(1)
        found = found.movedim((self.place.time, self.place.batch), (0, 1))
        return (found.sum(dim=0) if self.quantity == "spikes" else found[-1]).flatten(1)

    def _given(self, sent: Tensor) -> Tensor:
        if self.layout == "time-first":
            return sent.transpose(0, 1)
        return sent if self.layout == "batch-first" else sent[:, 0]

    def _noted(self, model: nn.Module, sent: Tensor, more: dict[str, Any]) -> Tensor:
        """The spikes or the last potential of neurons that the forward does not return so."""
        spikes: list[Tensor] = []
        neuron: Any = model.get_submodule(self.module)
        hook = neuron.register_forward_hook(_noting(spikes))
        try:
            if self.layout == "step":
                for t in range(sent.shape[1]):
                    model(sent[:, t], **more)
            else:
                model(self._given(sent), **more)
        finally:
            hook.remove()
        if self.quantity == "potential":
            potential: Tensor = neuron.mem
            return potential.flatten(1)
        return torch.stack(spikes).sum(dim=0).flatten(1)


def _noting(spikes: list[Tensor]) -> Callable[..., None]:
    def note(_module: nn.Module, _inputs: Any, made: Any) -> None:
        spikes.append(next(tensors_in(made)))

    return note


def answer_of(read: Understood) -> Answer:
    """How the module that was read is called, and what of it answers.

    Raises BadInput where neurons that are used for several populations answer and are not returned.
    """
    first, observation = read.read[0], read.graph.observation
    if first.place is not None:
        return Answer(observation.layout, first.quantity, first.place)
    neurons = observation.neurons[first.name]
    if sum(other.module == neurons.module for other in observation.neurons.values()) > 1:
        raise BadInput(
            f"output '{first.name}': its neurons are used for several populations; return what answers first"
        )
    return Answer(observation.layout, first.quantity, None, neurons.module)
