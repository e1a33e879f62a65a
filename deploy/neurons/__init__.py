"""The chip's neurons: one step of each model in exact integers, one model per file.

Read each beside the docstring of its population (`deploy.neurons.populations`). A state is a dictionary of
arrays int64 [samples, *shape] under the names of those equations, all zero when a sample starts.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.neurons import cuba, graded, sigma_delta
from deploy.neurons.populations import (
    AnyPopulation,
    Delta,
    Graded,
    Population,
    Sigma,
    SigmaDelta,
    Ternary,
    Threshold,
)

Int64 = NDArray[np.int64]
State = Mapping[str, Int64]

_STATES: dict[type[AnyPopulation], tuple[str, ...]] = {
    Population: ("u", "v", "held"),
    Ternary: ("u", "v"),
    Threshold: ("u", "v"),
    Graded: (),
    Delta: ("x", "residue", "error"),
    Sigma: ("sigma",),
    SigmaDelta: ("sigma", "x", "residue", "error"),
}
# Under which names a trace records states.
_RECORDED = {"u": "u", "v": "v", "x": "u", "sigma": "u", "residue": "v"}


def cleared(p: AnyPopulation, samples: int) -> State:
    """The state before the first step of a sample."""
    return {name: np.zeros((samples, *p.shape), np.int64) for name in _STATES[type(p)]}


def step(p: AnyPopulation, state: State, a: Int64, t: int) -> tuple[State, Int64]:
    """One step of a population: (state, synaptic sums a) → (state, messages s).

    a, s: int64 [samples, *shape]. t: the step of the sample, from 0.
    """
    if isinstance(p, Population):
        return cuba.step_population(p, state, a, t)
    if isinstance(p, Ternary):
        return cuba.step_ternary(p, state, a)
    if isinstance(p, Threshold):
        return cuba.step_threshold(p, state, a)
    if isinstance(p, Graded):
        return state, graded.messages(p, a)
    if isinstance(p, Delta):
        return sigma_delta.step_delta(p, state, a)
    if isinstance(p, Sigma):
        return sigma_delta.step_sigma(state, a)
    return sigma_delta.step_sigma_delta(p, state, a)


def resets(p: AnyPopulation, t: int) -> bool:
    """Whether a population clears its state before step t of a sample, besides the first."""
    return isinstance(p, Population) and cuba.resets(p, t)


def recorded(p: AnyPopulation, state: State) -> dict[str, Int64]:
    """The states that a trace records, as "u" and "v" (see `deploy.neurons.populations`)."""
    if isinstance(p, SigmaDelta):
        return {"u": state["sigma"], "v": state["residue"]}
    return {_RECORDED[name]: values for name, values in state.items() if name in _RECORDED}
