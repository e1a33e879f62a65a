"""How a forward is called: which of its parameters take inputs, numbers of steps and states.

Parameters that a sample names take inputs, those called as `STEPS` are told how many steps there are,
and those called as states are what the forward returned a step before, or start it.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from deploy.errors import BadInput
from neuroclip.chip.network import INPUT

# Parameters of a forward that say how many steps it makes.
_WORDS = """
    num_steps n_steps steps nb_steps time_steps timesteps num_timesteps n_timesteps
    num_time_steps time_window seq_len sequence_length duration T t
"""
STEPS = frozenset(_WORDS.split())
_STATE = re.compile(
    r"(prev(ious)?_|last_|init(ial)?_)?"
    r"(mems?|membranes?|spks?|syns?|states?|hidden|carry|hx|cx|[hcuvsz])(_?\d+)?(_.*)?"
)
# How many shapes of first states are tried.
_TRIES = 64


@dataclass(frozen=True)
class Signature:
    """Parameters of a forward. inputs: the names of its inputs; states: what it is given back.

    joined: the parameter that takes all inputs in a dict by name, where one does; positional: whether
    they come by place alone.
    """

    inputs: tuple[str, ...]
    steps: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    joined: str = ""
    positional: bool = False


def signature(model: nn.Module, named: tuple[str, ...]) -> Signature:
    """How the forward of a model is called on the inputs `named`, or on its only one where none is.

    Raises BadInput naming a parameter that is none of inputs, steps and states.
    """
    parameters = list(inspect.signature(model.forward).parameters.values())
    if not parameters:
        raise BadInput("model: its forward takes no input")
    first = parameters[0]
    known = {p.name for p in parameters}
    starred = first.kind is first.VAR_POSITIONAL
    joined = ""
    if not named:
        inputs: tuple[str, ...] = (INPUT,)
    elif len(named) == 1 and (named == (INPUT,) or named[0] == first.name or starred):
        inputs = named = (INPUT,)
    else:
        inputs = named
        if not starred and len(named) > 1 and not known & set(named):
            joined = first.name
        elif not starred and (strange := [n for n in named if n not in known]):
            raise BadInput(
                f"sample: its '{strange[0]}' is no parameter of the forward; it takes {sorted(known)}"
            )
    by_name = len(inputs) > 1 and not joined and not starred
    rest = [p for p in parameters if p.name not in inputs] if by_name else parameters[1:]
    steps, states = [], []
    for parameter in rest:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        needed = parameter.default is parameter.empty
        if parameter.name in STEPS:
            steps.append(parameter.name)
        elif _STATE.fullmatch(parameter.name) and (needed or parameter.default is None):
            states.append(parameter.name)
        elif needed:
            raise BadInput(
                f"model: its forward takes '{parameter.name}' beside '{first.name}'; give a sample of "
                f"each input by its name: {{'{first.name}': …, '{parameter.name}': …}}"
            )
    return Signature(inputs, tuple(steps), tuple(states), joined, starred)


def call(
    model: nn.Module,
    called: Signature,
    given: Mapping[str, Tensor],
    steps: int,
    states: Mapping[str, Any],
) -> Any:
    """One call of a model on its inputs, by the names that `called` has for them."""
    rest = dict.fromkeys(called.steps, steps) | dict(states)
    if called.joined:
        return model(dict(given), **rest)
    if len(given) == 1 or called.positional:
        return model(*given.values(), **rest)
    return model(**given, **rest)


def first_states(model: nn.Module, called: Signature, samples: int) -> Iterator[dict[str, Any]]:
    """What the states may start from, in the order in which it is tried.

    Neurons take an empty tensor for a cleared state; others expect None, or zeros of the size of a Linear.
    """
    if not called.states:
        yield {}
        return
    yield {name: torch.zeros(0) for name in called.states}
    yield dict.fromkeys(called.states)
    sizes = sorted({m.out_features for m in model.modules() if isinstance(m, nn.Linear)})
    for number, shape in enumerate(product(sizes, repeat=len(called.states))):
        if number < _TRIES:
            yield {
                name: torch.zeros(samples, size)
                for name, size in zip(called.states, shape, strict=True)
            }


def places(
    called: Signature, returned: Any, taken: Mapping[str, int | None]
) -> dict[str, int | str]:
    """{state: where in what a forward returned its next value stands}.

    taken: of the states that neurons took for their own, where these returned it, None where they did
    not. Raises BadInput naming a state whose next value is not told.
    """
    if isinstance(returned, Mapping) and all(name in returned for name in called.states):
        return {name: name for name in called.states}
    count = len(returned) if isinstance(returned, tuple | list) else 1
    last = {name: count - len(called.states) + i for i, name in enumerate(called.states)}
    if count >= len(last) and all(last[name] == place for name, place in taken.items()):
        return dict(last)
    found = {name: place for name in called.states if (place := taken.get(name)) is not None}
    if len(found) == len(called.states):
        return dict(found)
    name = next(n for n in called.states if n not in found)
    raise BadInput(
        f"model: which of what its forward returns is '{name}' at the next step is not told; return the "
        "states last, in the order of its parameters, or begin and keep them inside"
    )


def at_place(returned: Any, place: int | str) -> Any:
    """What stands at a place of what a forward returned."""
    if isinstance(place, int):
        return returned[place] if isinstance(returned, tuple | list) else returned
    return returned[place]
