"""The sample that a model is run on, and how its forward wants it: found by trying, or said."""

from collections.abc import Callable, Mapping
from typing import TypeVar, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.convert.watch.calls import Signature, first_states
from neuroclip.convert.watch.layout import Layout
from neuroclip.convert.watch.observe import Observation, OtherLayout, observe
from neuroclip.convert.watch.where import where

Found = TypeVar("Found")
Sample = dict[str, Tensor]

# Random samples differ in number and length, so that no axis is taken for another.
_SAMPLES, _STEPS = 3, 5
# Long enough for the loops that people write, where a shorter sample ends before the loop does.
_LONG = 128


def random_sample(shapes: Mapping[str, Shape], steps: int, seed: int) -> Sample:
    """Spikes [samples, steps, *shape] of each input, each sample denser than the one before."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        rates = torch.linspace(0.2, 0.7, _SAMPLES).reshape(-1, *[1] * (len(shape) + 1))
        found[name] = (torch.rand(_SAMPLES, steps, *shape, generator=generator) < rates).float()
    return found


def given_sample(called: Signature, sample: Mapping[str, ArrayLike | Tensor]) -> Sample:
    """The arrays of each input, float32 [samples, steps, …]. Raises BadInput naming one that cannot be."""
    found = {}
    for name, values in zip(called.inputs, sample.values(), strict=True):
        told = "sample" if len(sample) == 1 else f"sample of '{name}'"
        given = torch.as_tensor(np.asarray(values) if not isinstance(values, Tensor) else values)
        given = given.detach().to("cpu", torch.float32)
        if given.ndim < 3 or 0 in given.shape:
            raise BadInput(
                f"{told} of the shape {tuple(given.shape)}, expected [samples, steps, …]"
            )
        if not bool(torch.isfinite(given).all()):
            raise BadInput(f"{told}: not all of its values are finite")
        found[name] = given
    sizes = {name: tuple(x.shape[:2]) for name, x in found.items()}
    if len(set(sizes.values())) > 1:
        raise BadInput(f"sample: its inputs have different samples and steps {sizes}")
    return found


def input_shape(model: nn.Module) -> Shape:
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
    called: Signature,
    make: Callable[[int], Sample],
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
            return read(_observed(model, called, make, candidate))
        except OtherLayout as error:
            failures.append((1, error))
        except BadInput as error:
            failures.append((2, error))
        except Exception as error:  # whatever a person's module raises where the layout is another
            failures.append((0, _stopped(error)))
    raise max(failures, key=lambda f: f[0])[1]


def _observed(
    model: nn.Module, called: Signature, make: Callable[[int], Sample], layout: Layout
) -> Observation:
    """A run of as many steps as the forward makes."""
    try:
        observation = observed(model, called, make(_STEPS), layout)
    except BadInput:
        raise
    except Exception:
        longer = make(_LONG)
        if _steps(longer) != _LONG or layout == "step":
            raise
        observation = observed(model, called, longer, layout)
    made = max((len(n.calls) for n in observation.neurons.values()), default=0)
    if made == 1 and (layout == "static" or (layout != "step" and observation.steps > 1)):
        raise OtherLayout("model: its forward makes one step, not all of them")
    if layout in ("batch-first", "time-first") and made not in (0, observation.steps):
        fitting = make(made)
        if _steps(fitting) == made:
            again = observed(model, called, fitting, layout)
            # A loop that goes by the length of what it is given is not the number of steps it makes.
            if all(len(n.calls) == made for n in again.neurons.values()):
                return again
    return observation


def observed(model: nn.Module, called: Signature, sample: Sample, layout: Layout) -> Observation:
    """A watched run, from the first states that the forward takes."""
    samples = len(next(iter(sample.values())))
    failed: Exception | None = None
    for first in first_states(model, called, samples):
        try:
            return observe(model, sample, layout, called, first)
        except BadInput:
            raise
        except Exception as error:
            failed = failed or error
    assert failed is not None
    raise failed


def probed(model: nn.Module, seen: Observation, seed: int) -> Observation:
    """The same run again, its inputs and all spikes drawn at random: no way between neurons is silent."""
    generator = torch.Generator().manual_seed(seed)
    sample = {}
    for name, values in seen.sample.items():
        largest = max(1, int(np.ceil(np.abs(values).max())))
        least = -largest if (values < 0).any() else 0
        drawn = torch.randint(least, largest + 1, values.shape, generator=generator)
        sample[name] = drawn.to(torch.float32)
    return observe(model, sample, seen.layout, seen.called, seen.first, generator)


def _steps(sample: Sample) -> int:
    return next(iter(sample.values())).shape[1]


def _stopped(error: Exception) -> BadInput:
    stopped = BadInput(f"model: its forward stops on the sample {where(error)}")
    stopped.__cause__ = error
    return stopped
