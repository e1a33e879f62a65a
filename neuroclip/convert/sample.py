"""The sample that a model is run on, and how its forward wants it: found by trying, or said."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.convert.observe import STEPS, Layout, Observation, OtherLayout, observe
from neuroclip.convert.where import where

Found = TypeVar("Found")

# Random samples differ in number and length, so that no axis is taken for another.
_SAMPLES, _STEPS = 3, 5
# Long enough for the loops that people write, where a shorter sample ends before the loop does.
_LONG = 128


def random_sample(shape: tuple[int, ...], steps: int, seed: int) -> Tensor:
    """Spikes [samples, steps, *shape], each sample denser than the one before."""
    generator = torch.Generator().manual_seed(seed)
    rates = torch.linspace(0.2, 0.7, _SAMPLES).reshape(-1, *[1] * (len(shape) + 1))
    return (torch.rand(_SAMPLES, steps, *shape, generator=generator) < rates).float()


def input_shape(model: nn.Module) -> tuple[int, ...]:
    """The shape of one step's input, where the first layer tells it."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            return (module.in_features,)
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d | nn.Conv1d):
            break
    raise BadInput(
        "model: give the shape of its input, for example shape=(2, 34, 34), or a sample of it"
    )


def attempt(
    model: nn.Module,
    make: Callable[[int], Tensor],
    layout: Layout | None,
    read: Callable[[Observation], Found],
) -> Found:
    """read(a watched run), in the first layout that it accepts.

    make: a sample of so many steps; one that was given comes as it is. Raises the BadInput of the
    layout that came furthest where none is accepted.
    """
    layouts: tuple[Layout, ...] = get_args(Layout) if layout is None else (layout,)
    failures: list[tuple[int, BadInput]] = []
    for candidate in layouts:
        try:
            return read(_observed(model, make, candidate))
        except OtherLayout as error:
            failures.append((1, error))
        except BadInput as error:
            failures.append((2, error))
        except Exception as error:  # whatever a person's module raises where the layout is another
            failures.append((0, _stopped(error)))
    raise max(failures, key=lambda f: f[0])[1]


def _observed(model: nn.Module, make: Callable[[int], Tensor], layout: Layout) -> Observation:
    """A run of as many steps as the forward makes."""
    try:
        observation = _run(model, make(_STEPS), layout)
    except BadInput:
        raise
    except Exception:
        longer = make(_LONG)
        if longer.shape[1] != _LONG or layout == "step":
            raise
        observation = _run(model, longer, layout)
    made = max((len(n.calls) for n in observation.neurons.values()), default=0)
    if layout == "static" and made < 2:
        raise OtherLayout("model: its forward makes one step, not all of them")
    if layout in ("batch-first", "time-first") and made not in (0, observation.steps):
        fitting = make(made)
        if fitting.shape[1] == made:
            again = _run(model, fitting, layout)
            # A loop that goes by the length of what it is given is not the number of steps it makes.
            if all(len(n.calls) == made for n in again.neurons.values()):
                return again
    return observation


def _run(model: nn.Module, sample: Tensor, layout: Layout) -> Observation:
    return observe(model, sample, layout, arguments(model, sample.shape[1]))


def arguments(model: nn.Module, steps: int) -> dict[str, Any]:
    """What a forward takes beside its input: how many steps there are."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    given: dict[str, Any] = {}
    for parameter in parameters[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in STEPS:
            given[parameter.name] = steps
        elif parameter.default is parameter.empty:
            state = parameter.name.startswith(("mem", "spk", "syn", "state", "hidden"))
            raise BadInput(
                f"model: its forward takes '{parameter.name}' beside its input; "
                + ("let the neurons keep their states (init_hidden=True), or begin them inside"
                   if state else "one input is supported: join several into one tensor")
            )  # fmt: skip
    return given


def _stopped(error: Exception) -> BadInput:
    stopped = BadInput(f"model: its forward stops on the sample {where(error)}")
    stopped.__cause__ = error
    return stopped
