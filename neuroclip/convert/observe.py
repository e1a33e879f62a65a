"""The person's own module is run on a sample, untouched, and watched: the first executor.

Every value is labelled with where it comes from (`neuroclip.convert.labels`), and what each neuron
reads, fires and holds at each call is kept: what the traced graph is measured against.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

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
from neuroclip.convert.labels import Labels, Sent, Watch, tensors_in
from neuroclip.convert.operations import watched

INPUT = "input"

Layout = Literal["step", "batch-first", "time-first", "static"]
"""What one call of the model takes: [N, …] of one step, [N, T, …], [T, N, …], or [N, …] of all steps."""

# Arguments of a forward that say how many steps it makes.
_WORDS = """
    num_steps n_steps steps nb_steps time_steps timesteps num_timesteps n_timesteps
    num_time_steps time_window seq_len sequence_length duration T t
"""
STEPS = frozenset(_WORDS.split())
_STATES = ("mem", "syn", "spk")


class OtherLayout(BadInput):
    """The axes of what was given are not those that the forward takes."""


@dataclass(frozen=True, eq=False)
class Call:
    """One step of neurons: the labels that it reads [N, *shape], what it fires and then holds."""

    labels: Labels
    spk: NDArray[np.float64]
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
    """One watched run. sample: float64 [N, T, *shape], as the chip would be given it."""

    watch: Watch
    layout: Layout
    sample: NDArray[np.float64]
    neurons: dict[str, Neurons]
    returned: tuple[Returned, ...]

    @property
    def steps(self) -> int:
        """Steps of the sample."""
        return self.sample.shape[1]


@torch.no_grad()
def observe(
    model: nn.Module, sample: Tensor, layout: Layout, arguments: Mapping[str, Any]
) -> Observation:
    """Run a model on samples [N, T, *shape] from cleared state, in evaluation mode.

    arguments: of its forward, beside the first. Raises BadInput where it decides by its data, and
    whatever the model itself raises.
    """
    watching = _Watching(model)
    with watching.active():
        returned = _run(watching.watch, model, sample, layout, arguments)
    if watching.watch.decided:
        raise BadInput(
            f"model: its forward depends on its data ('{watching.watch.decided}'); what a chip does is "
            "fixed beforehand"
        )
    if layout == "static":
        calls = max((len(n.calls) for n in watching.neurons.values()), default=1)
        sample = sample[:, :1].expand(-1, calls, *sample.shape[2:])
    held = sample.cpu().double().numpy()
    return Observation(watching.watch, layout, held, watching.neurons, returned)


def _run(
    watch: Watch, model: nn.Module, sample: Tensor, layout: Layout, arguments: Mapping[str, Any]
) -> tuple[Returned, ...]:
    def given(x: Tensor, axes: str, call: int) -> list[Tensor]:
        x = x.clone()
        watch.made(x, Sent, INPUT, call=call, axes=axes)
        with watch:
            out = model(x, **arguments)
        return list(tensors_in(out))

    if layout == "step":
        parts = [given(sample[:, t], "NF", t) for t in range(sample.shape[1])]
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
        found = given(sample.transpose(0, 1), "TNF", 0)
    elif layout == "batch-first":
        found = given(sample, "NTF", 0)
    else:
        found = given(sample[:, 0], "NF", -1)
    return tuple(Returned(_labels(watch, x), _values(x)) for x in found)


def _labels(watch: Watch, tensor: Tensor) -> Labels:
    return np.array(watch.known(tensor).numpy())


def _values(tensor: Tensor) -> NDArray[np.float64]:
    return np.array(tensor.detach().cpu().double().numpy())


class _Watching:
    """A model whose neurons note what they are given and give, while it is active."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.watch = model, Watch(model, watched)
        self.neurons: dict[str, Neurons] = {}
        self.found = [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, snn.SpikingNeuron)
        ]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within: the model is watched, in evaluation, from cleared state."""
        stack = self.watch.modules
        hooks = [
            register_module_forward_pre_hook(lambda module, _: stack.append(module)),
            register_module_forward_hook(_popping(stack)),
        ]
        modes = {module: module.training for module in self.model.modules()}
        try:
            self.model.eval()
            clear(self.model)
            for name, neuron in self.found:
                neuron.forward = self._noting(name, neuron, neuron.forward)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for _, neuron in self.found:
                neuron.__dict__.pop("forward", None)
            for module, mode in modes.items():
                module.training = mode
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
                out = forward(*args, **named)
                spk = out[0] if isinstance(out, tuple) else out
                self._keep(population, labels, spk)
            return out

        return noted

    def _keep(self, population: Neurons, labels: Labels, spk: Tensor) -> None:
        neuron, call = population.neuron, len(population.calls)
        given = {"spk": spk, "mem": neuron.mem}
        if isinstance(getattr(neuron, "syn", None), Tensor):
            given["syn"] = neuron.syn
        for quantity, tensor in given.items():
            self.watch.made(tensor, Sent, population.name, quantity=quantity, call=call)
        held = {quantity: _values(tensor) for quantity, tensor in given.items()}
        population.calls.append(Call(labels, held["spk"], held["mem"], held.get("syn")))

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
            population = Neurons(name if number == 1 else f"{name}_{number}", name, neuron)
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
