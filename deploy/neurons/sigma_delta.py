"""Sigma-delta neurons: the kind "sigma-delta"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import (
    MESSAGE_MAX,
    SDN_BIAS_MAX,
    IntArray,
    Shape,
    as_register,
    check_range,
    check_shape,
)
from deploy.neurons.base import Bounds, State
from deploy.neurons.edges import ACTIVATION, MESSAGE, RUNNING_SUM, STATE_LIMIT
from deploy.neurons.encoding import Encoding
from deploy.neurons.intervals import Interval, Range, added, hull, point, repeated


@dataclass(frozen=True, eq=False)
class SigmaDelta(Encoding):
    """Sigma-delta neurons: Lava's sdn.SigmaDelta, fixed point, as lava-dl's PilotNet-SDNN uses it.

        σ ← σ + a
        x ← f(σ + (bias << (spike_exp + state_exp)))        f = max(·, 0) rectified, else identity
        δ, m, residue, error and s as of an `Encoding`

    bias: int32 [*shape] in −32768..32767, scaled below 2^23; the rest as of a Delta. State
    recorded: u is σ, v the residue.
    """

    bias: IntArray
    vth: int
    spike_exp: int = 0
    state_exp: int = 0
    rectified: bool = True
    cum_error: bool = False
    message_bits: int = 16

    kind: ClassVar[str] = "sigma-delta"
    states: ClassVar[tuple[str, ...]] = ("sigma", *Encoding.states)
    recorded: ClassVar[Mapping[str, str]] = {"u": "sigma", "v": "residue"}
    ungrouped: ClassVar[tuple[str, ...]] = ("bias",)

    def check(self) -> None:
        """The ranges above."""
        super().check()
        largest = min(SDN_BIAS_MAX, MESSAGE_MAX >> self.shift)
        check_range(self.name, "bias", self.bias, -largest - 1, largest)

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """The running sum, its activation, the change of that."""
        sigma = state["sigma"] + a
        x = sigma + self._scaled_bias
        encoding, s = self.encoded(state, np.maximum(x, 0) if self.rectified else x)
        return {"sigma": sigma, **encoding}, s

    def limits(self) -> dict[str, Range]:
        """The messages, the running sum, and what is activated."""
        return dict.fromkeys((RUNNING_SUM, ACTIVATION), STATE_LIMIT) | super().limits()

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The same, before the activation."""
        sigma = state["sigma"] + a
        return {
            RUNNING_SUM: sigma,
            ACTIVATION: sigma + self._scaled_bias,
            MESSAGE: self.step(state, a, t)[1],
        }

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """Of sums of all steps, and of the changes of their activation."""
        sigma = repeated(a, timesteps)
        x = added(sigma, point(self._scaled_bias))
        low, high = x
        s = self.messages((np.maximum(low, 0), np.maximum(high, 0)) if self.rectified else x)
        ranges = {RUNNING_SUM: hull(sigma), ACTIVATION: hull(x), MESSAGE: hull(s)}
        return Bounds(ranges, s)

    @property
    def _scaled_bias(self) -> Int64:
        return self.bias.astype(np.int64) << self.shift


def make_sigma_delta(
    name: str, shape: Shape, *, vth: int, bias: Any = 0, **numbers: Any
) -> SigmaDelta:
    """A SigmaDelta population with the bias broadcast to `shape`. numbers: its other fields."""
    check_shape(name, shape)
    values = as_register(name, "bias", bias, shape)
    return SigmaDelta(name, tuple(shape), values, vth, **numbers)
