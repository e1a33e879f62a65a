"""A person's module on whole samples: which class it answers, in floating point and differentiable.

What answers is what `to_chip` reads first (`neuroclip.convert.outputs`): spikes are counted over all steps,
a potential is that after the last.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.chip.neurons import Messages
from neuroclip.convert.outputs import Place, Quantity
from neuroclip.convert.snntorch import Understood
from neuroclip.convert.watch.calls import Signature, at_place, call
from neuroclip.convert.watch.labels import tensors_in
from neuroclip.convert.watch.layout import Layout
from neuroclip.convert.watch.observe import clear


@dataclass(frozen=True)
class Answer:
    """How a module is called and what of it answers.

    place: of a returned tensor; where there is none, `module` names the neurons that answer. called,
    first, states: the forward's parameters, what its states start from, and where it returns them.
    """

    layout: Layout
    quantity: Quantity
    place: Place | None
    called: Signature
    first: Mapping[str, Any]
    states: Mapping[str, int | str]
    module: str = ""

    def scores(self, model: nn.Module, sent: Messages) -> Tensor:
        """Messages [N, T, *shape] → score of each neuron that answers [N, neurons]; the largest decides."""
        clear(model)
        if self.place is None:
            return self._noted(model, sent)
        returned = [list(tensors_in(out))[self.place.number] for out in self._run(model, sent)]
        found = torch.stack(returned) if self.layout == "step" else returned[0]
        if self.place.time is None:
            return found.movedim(self.place.batch, 0).flatten(1)
        found = found.movedim((self.place.time, self.place.batch), (0, 1))
        return (found.sum(dim=0) if self.quantity == "spikes" else found[-1]).flatten(1)

    def _run(self, model: nn.Module, sent: Messages) -> Iterator[Any]:
        """What each call of the forward returns."""
        named = {self.called.inputs[0]: sent} if isinstance(sent, Tensor) else sent
        inputs = {name: named[name] for name in self.called.inputs}
        steps = next(iter(inputs.values())).shape[1]
        states = {
            name: _for(value, len(next(iter(inputs.values()))))
            for name, value in self.first.items()
        }
        for t in range(steps if self.layout == "step" else 1):
            given = {name: self._given(x, t) for name, x in inputs.items()}
            out = call(model, self.called, given, steps, states)
            states |= {name: at_place(out, place) for name, place in self.states.items()}
            yield out

    def _given(self, sent: Tensor, t: int) -> Tensor:
        if self.layout == "time-first":
            return sent.transpose(0, 1)
        return sent if self.layout == "batch-first" else sent[:, t]

    def _noted(self, model: nn.Module, sent: Messages) -> Tensor:
        """The spikes or the last potential of neurons that the forward does not return so."""
        spikes: list[Tensor] = []
        neuron: Any = model.get_submodule(self.module)
        hook = neuron.register_forward_hook(_noting(spikes))
        try:
            for _ in self._run(model, sent):
                pass
        finally:
            hook.remove()
        if self.quantity == "potential":
            potential: Tensor = neuron.mem
            return potential.flatten(1)
        return torch.stack(spikes).sum(dim=0).flatten(1)


def _for(state: Any, samples: int) -> Any:
    """A first state, zeros, for so many samples."""
    sized = isinstance(state, Tensor) and state.numel() > 0
    return state.new_zeros(samples, *state.shape[1:]) if sized else state


def _noting(spikes: list[Tensor]) -> Callable[..., None]:
    def note(_module: nn.Module, _inputs: Any, made: Any) -> None:
        spikes.append(next(tensors_in(made)))

    return note


def answer_of(read: Understood) -> Answer:
    """How the module that was read is called, and what of it answers.

    Raises BadInput where neurons that are used for several populations answer and are not returned.
    """
    first, observation = read.read[0], read.graph.observation
    called = observation.called, observation.first, observation.states
    if first.place is not None:
        return Answer(observation.layout, first.quantity, first.place, *called)
    neurons = observation.neurons[first.name]
    if sum(other.module == neurons.module for other in observation.neurons.values()) > 1:
        raise BadInput(
            f"output '{first.name}': its neurons are used for several populations; return what answers first"
        )
    return Answer(observation.layout, first.quantity, None, *called, neurons.module)
