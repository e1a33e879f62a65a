"""Sigma-delta neurons, as lava-nc 0.10.0's fixed-point models in lava.proc.sdn compute them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.neurons.populations import Delta, SigmaDelta

Int64 = NDArray[np.int64]
State = Mapping[str, Int64]


def step_delta(p: Delta, state: State, a: Int64) -> tuple[State, Int64]:
    """One step of a Delta population."""
    return encoded(p, state, a << (p.spike_exp + p.state_exp))


def step_sigma(state: State, a: Int64) -> tuple[State, Int64]:
    """One step of a Sigma population: a running sum, sent as it is."""
    sigma = state["sigma"] + a
    return {"sigma": sigma}, sigma


def step_sigma_delta(p: SigmaDelta, state: State, a: Int64) -> tuple[State, Int64]:
    """One step of a SigmaDelta population: the running sum, its activation, the change of that."""
    sigma = state["sigma"] + a
    x = sigma + (p.bias.astype(np.int64) << (p.spike_exp + p.state_exp))
    encoding, s = encoded(p, state, np.maximum(x, 0) if p.rectified else x)
    return {"sigma": sigma, **encoding}, s


def encoded(p: Delta | SigmaDelta, state: State, x: Int64) -> tuple[State, Int64]:
    """What changed of x since it was last sent, once it (or its sum, with cum_error) reaches θ.

    The message loses the lowest state_exp bits, and the residue does not hold them: they are lost.
    """
    delta = x - state["x"] + state["residue"]
    error = state["error"] + delta if p.cum_error else state["error"]
    large = np.abs(error if p.cum_error else delta) >= p.vth << (p.spike_exp + p.state_exp)
    sent = np.where(large, delta, 0)
    error = np.where(sent != 0, 0, error)
    return {"x": x, "residue": delta - sent, "error": error}, sent >> p.state_exp
