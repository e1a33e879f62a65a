"""The NIR nodes of our neurons and delays, whichever structure they come from, under forward Euler."""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape

Float = NDArray[np.float64]


def neuron_node(
    where: str, threshold: Float | None, du: Float, dv: Float, rest: Float, dt: float
) -> nir.NIRNode:
    """The node of u ← (1 − du)·u + a, v ← (1 − dv)·v + u + rest, [*shape] each, in steps of dt seconds.

    threshold: of the reset to zero; None for neurons that only integrate. du, dv: shares lost in a
    step, 0..1, so that τ = dt / share; r and w_in make up for what forward Euler multiplies by. Where
    dv is 0 nothing but a layer before the neurons can hold `rest`, which is left out.
    Raises BadInput, beginning with `where`, for an infinite time constant.
    """
    fires: dict[str, Any] = {}
    if threshold is not None:
        fires = {"v_threshold": threshold, "v_reset": np.zeros(threshold.shape)}
    clears = bool((du == 1).all())
    if clears and not dv.any():
        # v' = r·I under forward Euler adds dt·r·I a step.
        return (nir.I if threshold is None else nir.IF)(r=np.full(dv.shape, 1 / dt), **fires)
    if not dv.all() or not du.all():
        held = "synaptic" if dv.all() else "membrane"
        raise BadInput(
            f"{where}: no {held} decay, beside a synaptic filter or beside neurons that have one: an "
            "infinite time constant, which NIR does not hold"
        )
    fires |= {"r": 1 / dv, "v_leak": rest / dv}
    if clears:
        return (nir.LI if threshold is None else nir.LIF)(tau=dt / dv, **fires)
    made = nir.CubaLI if threshold is None else nir.CubaLIF
    return made(tau_syn=dt / du, tau_mem=dt / dv, w_in=1 / du, **fires)


def integrates(du: Float, dv: Float) -> bool:
    """Whether neurons are IF or I nodes, which hold no rest of their own."""
    return bool((du == 1).all()) and not dv.any()


def delay_node(shape: Shape, steps: int, dt: float) -> nir.Delay:
    """Every message of `shape` so many steps later."""
    return nir.Delay(delay=np.full(shape, steps * dt))


def flatten_node(shape: Shape) -> nir.Flatten:
    """What lies before the matrix of a dense layer."""
    return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
