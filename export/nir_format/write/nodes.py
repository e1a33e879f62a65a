"""The NIR nodes of our neurons, layers and delays, under forward Euler."""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.program.program import Shape
from neuroclip.linear.maps import (
    MAX_WEIGHTS,
    Convolution,
    Dense,
    Operator,
    geometry,
    is_diagonal,
    listed,
)

Float = NDArray[np.float64]

NO_LEAK = 2.0**60
"""A time constant in steps that is no leak: 1 − 2^−60 is 1 in floating point. Unlike an infinite one it
is a number to every reader."""

# A chain of nodes, and the shape after it.
Chain = tuple[list[tuple[str, nir.NIRNode]], Shape]


def neuron_node(
    threshold: Float | None, du: Float, dv: Float, rest: Float, dt: float
) -> nir.NIRNode:
    """The node of u ← (1 − du)·u + a, v ← (1 − dv)·v + u + rest, [*shape] each, in steps of dt seconds.

    threshold: of the reset to zero; None for neurons that only integrate. du, dv: shares lost in a
    step, 0..1, so that τ = dt / share, or NO_LEAK steps where that is 0; r, w_in and v_leak make up
    for what forward Euler multiplies by.
    """
    fires: dict[str, Any] = {}
    if threshold is not None:
        fires = {"v_threshold": threshold, "v_reset": np.zeros(threshold.shape)}
    clears = bool((du == 1).all())
    if clears and not dv.any() and not rest.any():
        # v' = r·I under forward Euler adds dt·r·I a step.
        return (nir.I if threshold is None else nir.IF)(r=np.full(dv.shape, 1 / dt), **fires)
    du, dv = (np.where(share == 0, 1 / NO_LEAK, share) for share in (du, dv))
    fires |= {"r": 1 / dv, "v_leak": rest / dv}
    if clears:
        return (nir.LI if threshold is None else nir.LIF)(tau=dt / dv, **fires)
    made = nir.CubaLI if threshold is None else nir.CubaLIF
    return made(tau_syn=dt / du, tau_mem=dt / dv, w_in=1 / du, **fires)


def delay_node(shape: Shape, steps: int, dt: float) -> nir.Delay:
    """Every message of `shape` so many steps later."""
    return nir.Delay(delay=np.full(shape, steps * dt))


def carries(op: Operator, bias: Float) -> bool:
    """Whether the layer of an operator as `written` can add a bias, float64 [target size]: any where it
    is dense, one for each channel where it is a convolution."""
    if not isinstance(op, Convolution):
        return isinstance(op, Dense)
    each = bias.reshape(len(op.weight), -1)
    return bool((each == each[:, :1]).all())


def written(name: str, op: Operator, source: Shape) -> Operator:
    """The operator on a source of a shape as NIR has it, which lists no synapses and unfolds no flat
    source: then it is dense. Raises BadInput where that is too large."""
    image = isinstance(op, Convolution) and _is_image(op, source)
    return op if image or isinstance(op, Dense) or is_diagonal(op) else dense(name, op)


def dense(name: str, op: Operator) -> Dense:
    """The operator with a weight from every source to every target; raises as `written`."""
    if isinstance(op, Dense):
        return op
    if op.source_size * op.target_size > MAX_WEIGHTS:
        raise BadInput(
            f"node '{name}': {op.source_size * op.target_size} weights of its synapses as a dense layer "
            f"exceed the {MAX_WEIGHTS} that one holds; NIR has no sparse layer"
        )
    op = listed(op)
    weight = np.zeros((op.target_size, op.source_size))
    weight[np.repeat(np.arange(op.target_size), np.diff(op.indptr)), op.indices] = op.weight
    return Dense(weight)


def layer_nodes(name: str, op: Operator, bias: Float | None, source: Shape) -> Chain:
    """The nodes of an operator as `written`, with a bias that it `carries`."""
    if isinstance(op, Convolution):
        channels, height, width = op.target_shape
        one = np.zeros(channels) if bias is None else bias.reshape(channels, -1)[:, 0]
        axes = ("stride", "padding", "dilation")
        if len(source) == 3:
            pairs = {axis: getattr(op, axis) for axis in axes}
            image = nir.Conv2d(
                op.size, _stored(op.weight), groups=op.groups, bias=_stored(one), **pairs
            )
            return [(name, image)], (channels, height, width)
        pairs = {axis: getattr(op, axis)[1] for axis in axes}
        weight = _stored(op.weight[:, :, 0])
        line = nir.Conv1d(op.size[1], weight, groups=op.groups, bias=_stored(one), **pairs)
        return [(name, line)], (channels, width)
    if not isinstance(op, Dense):
        return [(name, nir.Scale(_stored(op.weight).reshape(source)))], source
    made: list[tuple[str, nir.NIRNode]] = []
    if len(source) > 1:
        made.append((f"{name}.flat", nir.Flatten({"input": np.array(source)}, 0, -1)))
    weight = _stored(op.weight)
    last = nir.Linear(weight) if bias is None else nir.Affine(weight=weight, bias=_stored(bias))
    return [*made, (name, last)], (len(weight),)


def reshaping_nodes(name: str, shape: Shape, target: Shape) -> list[tuple[str, nir.NIRNode]]:
    """A Flatten where the shape after a layer is not that of the neurons; these, by their parameters,
    give a flat one their own shape."""
    if shape == target:
        return []
    ends = [(i, j) for i in range(len(shape)) for j in range(i + 1, len(shape))]
    for i, j in [*ends, (0, len(shape) - 1)]:
        flat = (*shape[:i], int(np.prod(shape[i : j + 1])), *shape[j + 1 :])
        if flat == target or ((i, j) == (0, len(shape) - 1) and len(shape) > 1):
            return [(f"{name}.shape", nir.Flatten({"input": np.array(shape)}, i, j))]
    return []


def _is_image(op: Convolution, source: Shape) -> bool:
    """Whether NIR's convolutions read a source of this shape so: (C, H, W), or (C, L) as a line."""
    channels, height, width = geometry(op).source_shape
    line = height == op.weight.shape[2] == 1 and op.padding[0] == 0
    return source == (channels, height, width) or (line and source == (channels, width))


def _stored(values: Float) -> NDArray[np.floating[Any]]:
    """In float32, which readers hand to torch as it is, where that is exact."""
    small = values.astype(np.float32)
    return small if (small == values).all() else values
