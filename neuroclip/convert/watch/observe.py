"""The person's own module is run on a sample, untouched, and watched: the first executor.

Every value is labelled with where it comes from (`neuroclip.convert.watch.labels`), and what each neuron
reads, fires and holds at each call is kept: what the traced graph is measured against.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from deploy.errors import BadInput
from neuroclip.convert.watch.calls import Signature, at_place, call, places
from neuroclip.convert.watch.labels import Labels, Sent, Watch, plain, tensors_in
from neuroclip.convert.watch.layout import Layout
from neuroclip.convert.watch.operations import watched

_STATES = ("mem", "syn", "spk")


class OtherLayout(BadInput):
    """The axes of what was given are not those that the forward takes."""


@dataclass(frozen=True, eq=False)
class Call:
    """One step of neurons: the labels that it reads [N, *shape], what it fires and then holds.

    sent: what others were given as its spikes.
    """

    labels: Labels
    spk: NDArray[np.float64]
    sent: NDArray[np.float64]
    mem: NDArray[np.float64]
    syn: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Neurons:
    """The calls of a neuron module that go on from one state: a population. module: its path."""

    name: str
    module: str
    neuron: Any
    calls: list[Call] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the population."""
        return self.calls[0].spk.shape[1:]


@dataclass(frozen=True, eq=False)
class Returned:
    """A tensor that the forward returned: labels and values, of all calls [T, …] where it makes a step."""

    labels: Labels
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observation:
    """One watched run. sample: of each input float64 [N, T, *shape], as the chip would be given it.

    called: how the forward was called; first: what its states started from, and states: where it
    returned each a step before.
    """

    watch: Watch
    layout: Layout
    sample: dict[str, NDArray[np.float64]]
    neurons: dict[str, Neurons]
    returned: tuple[Returned, ...]
    called: Signature
    first: Mapping[str, Any]
    states: Mapping[str, int | str]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.sample.values())))

    @property
    def steps(self) -> int:
        """Steps of the sample."""
        return next(iter(self.sample.values())).shape[1]


@torch.no_grad()
def observe(
    model: nn.Module,
    sample: Mapping[str, Tensor],
    layout: Layout,
    called: Signature,
    first: Mapping[str, Any],
    drawn: torch.Generator | None = None,
) -> Observation:
    """Run a model on samples of its inputs [N, T, *shape] from cleared state, in evaluation mode.

    first: what the states among its parameters start from. drawn: where it is given, all neurons send
    spikes that are drawn from it in place of their own, so that no way between them is silent. Raises
    BadInput where it decides by its data, and whatever the model itself raises.
    """
    watching = _Watching(model, sample, drawn)
    with watching.active():
        returned = _run(watching, sample, layout, called, first)
    if watching.watch.decided:
        raise BadInput(
            f"model: its forward depends on its data ('{watching.watch.decided}'); what a chip does is "
            "fixed beforehand"
        )
    if layout == "static":
        calls = max((len(n.calls) for n in watching.neurons.values()), default=1)
        sample = {n: x[:, :1].expand(-1, calls, *x.shape[2:]) for n, x in sample.items()}
    held = {name: _values(x) for name, x in sample.items()}
    return Observation(
        watching.watch, layout, held, watching.neurons, returned, called, first,
        watching.returned_states,
    )  # fmt: skip


def _run(
    watching: "_Watching",
    sample: Mapping[str, Tensor],
    layout: Layout,
    called: Signature,
    first: Mapping[str, Any],
) -> tuple[Returned, ...]:
    watch, steps = watching.watch, next(iter(sample.values())).shape[1]

    def given(axes: str, step: int) -> list[Tensor]:
        inputs = {}
        for name, whole in sample.items():
            x = whole.transpose(0, 1) if axes == "TNF" else whole
            inputs[name] = (x[:, max(step, 0)] if axes == "NF" else x).clone()
            watch.made(inputs[name], Sent, name, call=step, axes=axes)
        with watch:
            out = call(watching.model, called, inputs, steps, watching.states)
        if layout == "step":
            watching.go_on(called, out)
        return list(tensors_in(out))

    watching.states = dict(first)
    if layout == "step":
        parts = [given("NF", t) for t in range(steps)]
        if len({tuple(x.shape for x in part) for part in parts}) != 1:
            raise BadInput("model: what its forward returns changes its shape from step to step")
        return tuple(
            Returned(
                np.stack([_labels(watch, x) for x in tensors]),
                np.stack([_values(x) for x in tensors]),
            )
            for tensors in zip(*parts, strict=True)
        )
    if layout == "time-first":
        found = given("TNF", 0)
    elif layout == "batch-first":
        found = given("NTF", 0)
    else:
        found = given("NF", -1)
    return tuple(Returned(_labels(watch, x), _values(x)) for x in found)


def _labels(watch: Watch, tensor: Tensor) -> Labels:
    return np.array(watch.known(tensor).numpy())


def _values(tensor: Tensor) -> NDArray[np.float64]:
    return np.array(tensor.detach().cpu().double().numpy())


class _Watching:
    """A model whose neurons note what they are given and give, while it is active."""

    def __init__(
        self, model: nn.Module, inputs: Collection[str], drawn: torch.Generator | None
    ) -> None:
        self.drawn = drawn
        self.model, self.inputs, self.watch = model, inputs, Watch(model, watched)
        self.neurons: dict[str, Neurons] = {}
        self.states: dict[str, Any] = {}
        """What the forward is given back, by parameter."""
        self.taken: dict[str, tuple[str, str]] = {}
        """{parameter: population and state that took it, as it is, for its own}."""
        self.returned_states: dict[str, int | str] = {}
        self.found = [
            (plain(name), module)
            for name, module in model.named_modules()
            if isinstance(module, snn.SpikingNeuron)
        ]
        # Compiled code cannot be watched: what it was made of runs in its place.
        self.compiled = [
            (module, inside)
            for module in model.modules()
            if isinstance(inside := module._modules.get("_orig_mod"), nn.Module)
        ]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within: the model is watched, in evaluation, from cleared state; it is then as it was."""
        stack = self.watch.modules
        hooks = [
            register_module_forward_pre_hook(lambda module, _: stack.append(module)),
            register_module_forward_hook(_popping(stack)),
        ]
        # Also what a forward keeps in attributes of its own: the next run starts as this one did.
        held = {m: (dict(m.__dict__), dict(m._buffers)) for m in self.model.modules()}
        try:
            self.model.eval()
            clear(self.model)
            for name, neuron in self.found:
                neuron.forward = self._noting(name, neuron, neuron.forward)
            for module, inside in self.compiled:
                module.forward = inside.__call__
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for module, (attributes, buffers) in held.items():
                module.__dict__.clear()
                module.__dict__.update(attributes)
                module._buffers.clear()
                module._buffers.update(buffers)
            clear(self.model)

    def _noting(self, name: str, neuron: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(forward)

        def noted(*args: Any, **named: Any) -> Any:
            with self.watch.pause():
                given = signature.bind(*args, **named).arguments
                read = given.get(next(iter(signature.parameters)))
                if not isinstance(read, Tensor):
                    raise BadInput(f"module '{name}': its input is no tensor")
                _require_fitting(name, neuron, tuple(read.shape[1:]))
                labels = _labels(self.watch, read)
                states = {
                    state: held
                    if (held := given.get(state)) is not None
                    else getattr(neuron, state)
                    for state in _STATES
                    if state in signature.parameters
                }
                population = self._population(name, neuron, states)
                for state, held in states.items():
                    for parameter, value in self.states.items():
                        if held is value:
                            self.taken[parameter] = (population.name, state)
                out = forward(*args, **named)
                spk = out[0] if isinstance(out, tuple) else out
                sent = spk if self.drawn is None else self._drawn(neuron, spk)
                self._keep(population, labels, spk, sent)
            return (sent, *out[1:]) if isinstance(out, tuple) else sent

        return noted

    def go_on(self, called: Signature, out: Any) -> None:
        """Give back at the next step what the forward returned as its states."""
        if not called.states:
            return
        if not self.returned_states:
            parts = list(out) if isinstance(out, tuple | list) else [out]
            taken = {
                parameter: next(
                    (
                        i
                        for i, part in enumerate(parts)
                        if isinstance(part, Tensor)
                        and (labels := self.watch.labels(part)) is not None
                        and self._last(state, labels) == population
                    ),
                    None,
                )
                for parameter, (population, state) in self.taken.items()
            }
            self.returned_states = places(called, out, taken)
        for name, place in self.returned_states.items():
            before, after = self.states[name], at_place(out, place)
            if isinstance(before, Tensor) and before.numel() and before.shape != after.shape:
                raise ValueError(f"'{name}' starts as {tuple(before.shape)}")
            self.states[name] = after

    def _drawn(self, neuron: Any, spk: Tensor) -> Tensor:
        """Random spikes in place of a neuron's own, in its state too where it reads them."""
        sent = (torch.rand(spk.shape, generator=self.drawn) < 0.5).to(spk.dtype)
        if isinstance(getattr(neuron, "spk", None), Tensor):
            neuron.spk = sent
        return sent

    def _keep(self, population: Neurons, labels: Labels, spk: Tensor, sent: Tensor) -> None:
        neuron, call = population.neuron, len(population.calls)
        given = {"spk": sent, "mem": neuron.mem}
        if isinstance(getattr(neuron, "syn", None), Tensor):
            given["syn"] = neuron.syn
        for quantity, tensor in given.items():
            self.watch.made(tensor, Sent, population.name, quantity=quantity, call=call)
        held = {quantity: _values(tensor) for quantity, tensor in given.items()}
        call_held = Call(labels, _values(spk), held["spk"], held["mem"], held.get("syn"))
        population.calls.append(call_held)

    def _population(self, name: str, neuron: Any, states: Mapping[str, Tensor]) -> Neurons:
        """The population whose last state a call goes on from; a new one from a cleared state."""
        goes_on: set[str] = set()
        cleared = []
        for state, value in states.items():
            labels = self.watch.labels(value)
            if labels is None or not bool(labels.any()):
                if bool((value != 0).any()):
                    raise BadInput(f"module '{name}': it starts from a state that is not zero")
                cleared.append(state)
                continue
            last = self._last(state, labels)
            if last is None or self.neurons[last].neuron is not neuron:
                raise BadInput(
                    f"module '{name}': its '{state}' is not what it gave one step before"
                )
            goes_on.add(last)
        if not goes_on:
            number = sum(n.module == name for n in self.neurons.values()) + 1
            free = name if number == 1 else f"{name}_{number}"
            while free in self.neurons or free in self.inputs:
                number += 1
                free = f"{name}_{number}"
            population = Neurons(free, name, neuron)
            self.neurons[population.name] = population
            return population
        if len(goes_on) > 1 or cleared:
            raise BadInput(
                f"module '{name}': its states {sorted(states)} do not all go on from the step before"
            )
        return self.neurons[goes_on.pop()]

    def _last(self, state: str, labels: Tensor) -> str | None:
        """The population of whose last call these labels are the whole state."""
        flat = labels.reshape(-1)
        for name, population in self.neurons.items():
            for origin in reversed(self.watch.origins):
                if isinstance(origin, Sent) and origin.name == name and origin.quantity == state:
                    break
            else:
                continue
            whole = torch.arange(origin.first, origin.first + flat.numel())
            if (
                origin.call == len(population.calls) - 1
                and tuple(labels.shape) == origin.shape
                and bool((flat == whole).all())
            ):
                return name
        return None


def _popping(stack: list[nn.Module]) -> Callable[..., None]:
    def pop(*_: Any) -> None:
        stack.pop()

    return pop


def _require_fitting(name: str, neuron: Any, shape: tuple[int, ...]) -> None:
    """Raise where a constant of neurons has another shape than they."""
    for parameter in ("beta", "alpha", "threshold"):
        held = getattr(neuron, parameter, None)
        if not isinstance(held, Tensor) or held.numel() == 1:
            continue
        fits = held.ndim <= len(shape) and all(
            a in (1, b) for a, b in zip(held.shape[::-1], shape[::-1], strict=False)
        )
        if not fits:
            raise OtherLayout(
                f"module '{name}': {parameter} of the shape {tuple(held.shape)} for neurons {shape}"
            )


def clear(model: nn.Module) -> None:
    """Clear the states of all snnTorch neurons of a model."""
    for module in model.modules():
        if isinstance(module, snn.SpikingNeuron) and hasattr(module, "reset_mem"):
            module.reset_mem()
