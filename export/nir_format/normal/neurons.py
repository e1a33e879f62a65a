"""NIR's neuron nodes at one step length, as the normalised graph's one recurrence."""

from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from export.graph.graph import Neuron
from export.nir_format.normal.layers import spread

Float = NDArray[np.float64]
Discretisation = Literal["euler", "exp", "zoh"]

FIRING = (nir.LIF, nir.IF, nir.CubaLIF, nir.Threshold)
INTEGRATORS = (nir.LI, nir.I, nir.CubaLI)
NEURONS = (*FIRING, *INTEGRATORS)

INFINITE = ("tau", "tau_syn", "tau_mem", "r", "w_in")
"""Parameters that may be infinite, where a neuron does not leak."""

# Rounding of the float arithmetic that a gain of exactly one went through in another tool.
_GAIN_RESIDUAL = 1e-9
# A step may exceed a time constant by its rounding only.
_STEP_RESIDUAL = 1e-5

DEFAULT_DT = 1e-4
"""Seconds of one step where nothing else is said: snnTorch's, which a NIR file does not carry."""


def own_shape(name: str, node: Any) -> Shape | None:
    """The shape that a neuron's parameters give it; None where they are scalars."""
    shapes = (
        np.shape(getattr(node, field)) for field in ("r", "tau", "v_threshold", "threshold", "tau_mem")
        if hasattr(node, field)
    )  # fmt: skip
    found: Shape = max(shapes, key=lambda shape: (int(np.prod(shape)), len(shape)))
    return without_batch(found) or None


def without_batch(shape: Shape) -> Shape:
    """(C, H, W) of (1, C, H, W): NIR has no batch dimension, some published files have one."""
    return shape[1:] if len(shape) == 4 and shape[0] == 1 else shape


def neuron(name: str, node: Any, shape: Shape, dt: float, discretisation: Discretisation) -> Neuron:
    """The neuron of a node at a step of dt seconds.

    With k = dt/τ (euler) or 1 − exp(−dt/τ) (exp, zoh), of which zoh is what an input held through
    the step gives, LIF and LI are v ← (1 − k)·v + k·(v_leak + r·a), CubaLIF and CubaLI
    u ← (1 − k_syn)·u + k_syn·w_in·a and v ← (1 − k_mem)·v + k_mem·(v_leak + r·u), IF and I
    v ← v + dt·r·a, or r·a where the file means that (`_charge`). The factor of `a` goes into the
    unit of v, and v_reset into its zero: NIR says nothing of a neuron's first state, which is that
    after a reset. Raises BadInput naming the node.
    """

    def parameter(field: str) -> Float:
        value, infinite = getattr(node, field), field in INFINITE
        return spread(name, field, value, shape, infinite=infinite)

    def decay(field: str) -> Float:
        return _decay(name, field, parameter(field), dt, discretisation)

    nothing, everything = np.zeros(shape), np.ones(shape)
    du, dv, drive, gain = everything, everything, nothing, everything
    rest = parameter("v_reset") if hasattr(node, "v_reset") else nothing
    if isinstance(node, nir.IF | nir.I):
        dv, gain = nothing, _charge(parameter("r"), dt)
    elif isinstance(node, nir.LIF | nir.LI):
        dv = decay("tau")
        gain, drive = _driven(parameter("r"), dv), (parameter("v_leak") - rest) * dv
    elif isinstance(node, nir.CubaLIF | nir.CubaLI):
        if discretisation == "zoh":
            raise BadInput(
                f"node '{name}': a zero-order hold of a filtered current adds a term of the input "
                "to the potential, which no chip has; use euler or exp"
            )
        du, dv = decay("tau_syn"), decay("tau_mem")
        gain = _driven(parameter("w_in"), du) * _driven(parameter("r"), dv)
        drive = (parameter("v_leak") - rest) * dv
    if not (gain > 0).all() or not np.isfinite(gain).all():
        bad = gain[~((gain > 0) & np.isfinite(gain))].flat[0]
        raise BadInput(
            f"node '{name}': its gain (r, w_in and time constants together) is {bad:.6g}, which "
            "turns or stops its input; put the sign into the weights"
        )
    # Where nothing is left of a share in float64, nothing leaks.
    du, dv = (np.where(1 - share == 1, 0.0, share) for share in (du, dv))
    gain = np.where(np.abs(gain - 1) <= _GAIN_RESIDUAL, 1.0, gain)
    field = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
    fires = isinstance(node, FIRING)
    threshold = (parameter(field) - rest) / gain if fires else np.full(shape, np.inf)
    kind: Literal["lif", "integrator"] = "lif" if fires else "integrator"
    return Neuron(name, shape, kind, du, dv, threshold, drive / gain, gain, rest)


def _driven(factor: Float, share: Float) -> Float:
    """What is left of r or w_in where forward Euler multiplies it by dt/τ: 1 where both are infinite,
    since whoever writes a neuron without leak so has r = τ/dt."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(factor) & (share == 0), 1.0, factor * share)


def _charge(r: Float, dt: float) -> Float:
    """What a message of 1 adds to the potential of an IF or I node at a step.

    NIR's v' = r·I gives dt·r where a message is a current of 1 for one step, and r where it is an
    impulse of charge 1. Published graphs have r = 1 and their platforms add it at each step, at any
    dt; others have r = 1/dt. Of the two, the one nearer to 1 is taken.
    """
    return r * dt if float(np.median(r)) * np.sqrt(dt) > 1 else r


def _decay(name: str, field: str, tau: Float, dt: float, discretisation: Discretisation) -> Float:
    if (tau <= 0).any():
        raise BadInput(f"node '{name}': {field} {tau.min()} is not positive")
    if discretisation != "euler":
        return -np.expm1(-dt / tau)
    if tau.min() < dt * (1 - _STEP_RESIDUAL):
        raise BadInput(f"node '{name}': {field} {tau.min()} is shorter than one step, dt {dt}")
    return np.minimum(dt / tau, 1.0)


def delay_steps(name: str, delay: Any, shape: Shape, dt: float) -> NDArray[np.int64]:
    """The delay of each value in steps, int64 [*shape]. Raises BadInput for no multiple of dt."""
    seconds = spread(name, "delay", delay, shape)
    steps = seconds / dt
    whole = np.rint(steps)
    wrong = (np.abs(steps - whole) > _STEP_RESIDUAL * np.maximum(1, whole)) | (steps < 0)
    if wrong.any() or (whole > 2**31).any():
        raise BadInput(
            f"node '{name}': delay {seconds[wrong | (whole > 2**31)].flat[0]} is no whole number of "
            f"steps of {dt} seconds"
        )
    return whole.astype(np.int64)
