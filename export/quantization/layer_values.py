"""One population in integers under given scales, and what they lose against its float values."""

from dataclasses import dataclass, replace
from math import lcm, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.errors import BadInput
from deploy.neurons.edges import SYNAPTIC_SUM_MAX
from deploy.program.program import (
    BIAS_EXP_MAX,
    BIAS_MANT_MAX,
    DECAY_MAX,
    VTH_MAX,
    Input,
)
from export.graph.graph import Neuron, Path
from export.quantization.layer_error import LayerError
from export.quantization.rows import largest_sum, rows, spread
from neuroclip.linear.maps import Convolution

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]

# A decay this close to an integer is that integer; others are truncated.
_DECAY_RESIDUAL = 1e-5
# To keep the proof's edge of 21 bits, weights may become coarser by so many octaves.
_EDGE_OCTAVES = 2
# A loss by truncation that is no more than this share of the threshold counts as none.
_TRUNCATION = 0.01
# Of the largest bias, in units of v.
_BIAS_MAX = BIAS_MANT_MAX << BIAS_EXP_MAX


@dataclass(frozen=True, eq=False)
class Choice:
    """What the registers of a layer follow from: for each group, the scale, and whether weights and
    threshold are truncated toward zero instead of rounded."""

    scale: Float
    truncates: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A neuron and the paths into it whose values are those of registers.

    loss: of each neuron, float64 [size]: the error of its weights and bias as shares of its threshold
    (of an integrator: as they are), root mean square relative to the float values; to which comes,
    where it is above 1 %, what truncating the decaying state takes off the potential, as a share of
    the threshold.
    """

    neuron: Neuron
    paths: tuple[Path, ...]
    loss: Float


class Layer:
    """One population and the paths into it, with what its scales may be.

    groups: number of its groups of neurons that share a scale; fits: the largest scale of each under
    which every value fits its register; unit: of the NIR node's potential, for each.
    """

    def __init__(
        self,
        neuron: Neuron,
        paths: tuple[Path, ...],
        inputs: tuple[Input, ...],
        per_channel: bool,
        largest: int,
    ) -> None:
        if neuron.kind == "lif" and (neuron.threshold < 0).any():
            raise BadInput(
                f"node '{neuron.name}': threshold {neuron.threshold.min():.6g} is below the "
                "potential it is reset to, which no register holds"
            )
        self.neuron, self.paths = neuron, paths
        self.fires, self.size, self._largest = neuron.kind == "lif", prod(neuron.shape), largest
        self.scale_per, self.group = self._groups(per_channel)
        self.groups = int(self.group.max()) + 1
        self.unit = self._largest_of(neuron.unit)
        self._du = _decay(neuron.du, DECAY_MAX + 1)
        self._dv = _decay(neuron.dv, DECAY_MAX)
        self._offset = _truncation(self._du, self._dv).reshape(-1)
        self.fits = self._fits({node.name: node for node in inputs})

    def mean_of(self, values: Float) -> Float:
        """The mean of each group: [groups]."""
        return self.sum_of(values) / np.bincount(self.group, minlength=self.groups)

    def sum_of(self, values: Float) -> Float:
        """The sum of each group: [groups]."""
        return np.bincount(self.group, values, self.groups).astype(np.float64)

    def _largest_of(self, values: Float) -> Float:
        found = np.zeros(self.groups)
        np.maximum.at(found, self.group, values.reshape(-1))
        return found

    def _groups(self, per_channel: bool) -> tuple[str, Int64]:
        if not self.fires or not per_channel:
            return "layer", np.zeros(self.size, np.int64)
        # Neurons of a channel share a kernel; where two convolutions divide the neurons otherwise,
        # channels of both share a scale.
        convolutions = [p.operator for p in self.paths if isinstance(p.operator, Convolution)]
        if convolutions:
            block = lcm(*(op.target_size // len(op.weight) for op in convolutions))
            return "channel", np.arange(self.size) // block
        return "neuron", np.arange(self.size)

    def _fits(self, inputs: dict[str, Input]) -> Float:
        n = self.neuron
        heaviest = np.max([rows(p.operator, np.abs, np.maximum) for p in self.paths], axis=0)
        limits = [(heaviest, 2.0 * self._largest), (np.abs(n.bias), _BIAS_MAX / 64)]
        if self.fires:
            limits.append((n.threshold, float(VTH_MAX)))
        bound = np.sum([largest_sum(p, inputs.get(p.source or "")) for p in self.paths], axis=0)
        with np.errstate(divide="ignore"):
            fits = np.min([limit / self._largest_of(v) for v, limit in limits], axis=0)
            # Rounding moves each of the weights by one at most.
            edge = SYNAPTIC_SUM_MAX / (self._largest_of(bound) * (1 + 2 / self._largest))
        fits = np.where(edge >= fits * 2.0**-_EDGE_OCTAVES, np.minimum(fits, edge), fits)
        # A neuron that nothing reaches and that needs nothing has no scale; any will do.
        finite = fits[np.isfinite(fits)]
        return np.where(np.isfinite(fits), fits, finite.max(initial=0) or 1.0)

    def quantized(self, choice: Choice) -> Quantized | None:
        """Its values under a scale for each group, or None where they do not fit."""
        n = self.neuron
        s, truncates = choice.scale[self.group], choice.truncates[self.group]
        threshold, quantized, one = n.threshold.reshape(-1), n.threshold.reshape(-1), 1 / s
        if self.fires:
            quantized = _rounded(threshold * s, truncates)
            if (quantized > VTH_MAX).any():
                return None
            # What a weight of 1 is in the graph's units, the threshold being exact.
            one = np.where(threshold > 0, threshold / np.maximum(quantized, 0.5), one)
        squares, whole, paths = np.zeros(self.size), np.zeros(self.size), []
        for path in self.paths:
            op = path.operator
            half = _rounded(op.weight * spread(op, s) / 2, spread(op, truncates))
            weight = 2 * np.clip(half, -self._largest, self._largest)
            off = replace(op, weight=weight * spread(op, one) - op.weight)
            squares += rows(off, np.square, np.add)
            whole += rows(op, np.square, np.add)
            paths.append(replace(path, operator=replace(op, weight=weight)))
        drive = n.bias.reshape(-1)
        bias = _bias(_rounded(drive * s * 64, truncates))
        if bias is None:
            return None
        squares += np.square(bias / 64 * one - drive)
        whole += np.square(drive)
        neuron = replace(
            n,
            du=self._du / 4096,
            dv=self._dv / 4096,
            threshold=quantized.reshape(n.shape),
            bias=(bias / 64).reshape(n.shape),
            unit=np.ones(n.shape),
            rest=np.zeros(n.shape),
        )
        loss = np.sqrt(squares / np.where(whole > 0, whole, 1))
        if self.fires:
            truncated = self._offset / np.maximum(quantized, 0.5)
            loss += np.where(truncated > _TRUNCATION, truncated, 0)
        return Quantized(neuron, tuple(paths), loss)

    def require_held(self, found: Quantized) -> None:
        """Raise BadInput where a threshold vanishes beside its weights or bias, or all weights do."""
        n = self.neuron
        lost = (n.threshold > 0) & (found.neuron.threshold == 0)
        if self.fires and lost.any():
            raise BadInput(
                f"node '{n.name}': threshold {n.threshold[lost].flat[0]:.6g} is nothing beside the "
                f"weights or the bias of its neuron; no registers hold both"
            )
        given = any(path.operator.weight.any() for path in self.paths)
        if given and not any(path.operator.weight.any() for path in found.paths):
            raise BadInput(
                f"node '{n.name}': all its weights are nothing beside its threshold or bias; no "
                "registers hold both"
            )

    def error(self, choice: Choice, found: Quantized) -> LayerError:
        """What quantized values lose."""
        n, s = self.neuron, choice.scale[self.group]
        if self.fires:
            threshold = n.threshold.reshape(-1)
            exact = found.neuron.threshold.reshape(-1) / np.where(threshold > 0, threshold, 1)
            s = np.where(threshold > 0, exact, s)
        off, heaviest = 0.0, 0.0
        for path, integers in zip(self.paths, found.paths, strict=True):
            op = path.operator
            each = np.abs(integers.operator.weight / spread(op, s) - op.weight)
            off = max(off, float(each.max(initial=0)))
            heaviest = max(heaviest, float(np.abs(op.weight).max(initial=0)))
        return LayerError(
            self.scale_per,
            (float(s.min()), float(s.max())),
            off / (heaviest or 1.0),
            _share(found.neuron.bias.reshape(-1) / s, n.bias),
            _span(n.du, self._du),
            _span(n.dv, self._dv),
        )


def _decay(fraction: Float, most: int) -> Int64:
    """4096·fraction, truncated as the recorded hardware's registers are; a leak stays one."""
    exact = fraction * 4096
    near = np.rint(exact)
    k = np.where(np.abs(exact - near) < _DECAY_RESIDUAL, near, np.floor(exact))
    return np.clip(k, np.where(fraction > 0, 1, 0), most).astype(np.int64)


def _truncation(du: Int64, dv: Int64) -> Float:
    """What truncation toward zero takes off a resting potential, in units of the synaptic sum.

    Half a unit of v at each step, as long as it lasts: 1/dv steps, and for 1/du steps of u as well.
    """
    in_v = np.where(dv > 0, 4096 / np.maximum(dv, 1), 0.0)
    in_u = np.where(du < 4096, 4096 / du, 0.0)
    return 0.5 * in_v * (1 + in_u) / 64


def _bias(values: Float) -> Int64 | None:
    """Biases in units of v that mantissas and one exponent hold, or None where they are too large."""
    largest = float(np.abs(values).max(initial=0))
    for exponent in range(BIAS_EXP_MAX + 1):
        step = 1 << exponent
        if np.rint(largest / step) <= BIAS_MANT_MAX:
            return (np.rint(values / step) * step).astype(np.int64)
    return None


def _rounded(values: NDArray[Any], truncates: NDArray[np.bool_]) -> Float:
    if truncates.all():
        return np.trunc(values)
    return (
        np.where(truncates, np.trunc(values), np.rint(values))
        if truncates.any()
        else np.rint(values)
    )


def _share(found: Float, wanted: Float) -> float:
    """The largest difference as a share of the largest value."""
    wanted = wanted.reshape(-1)
    return float(np.abs(found - wanted).max() / (np.abs(wanted).max() or 1.0))


def _span(fraction: Float, k: Int64) -> tuple[float, float, int, int]:
    exact = fraction * 4096
    return float(exact.min()), float(exact.max()), int(k.min()), int(k.max())
