"""Thresholds without memory: the kind "threshold"."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import VTH_MAX, IntArray, Shape, check_range
from deploy.neurons.base import State
from deploy.neurons.intervals import Interval
from deploy.neurons.leaky import Leaky, leaky_registers, threshold


@dataclass(frozen=True, eq=False)
class Threshold(Leaky):
    """A threshold without memory: a leaky integrate-and-fire neuron that is reset before every step.

        u ← a << 6                      wrapped to 24 bits
        v ← clip(u + b)
        s = v > (vth << 6), then v ← 0 where s

    Registers as of a Population. Lava's LIFReset of interval 1 is the same.
    """

    vth: IntArray
    bias_mant: IntArray
    bias_exp: IntArray

    kind: ClassVar[str] = "threshold"

    @property
    def decays(self) -> None:
        """Nothing is carried over."""
        return None

    def check(self) -> None:
        """The ranges above."""
        super().check()
        check_range(self.name, "vth", self.vth, 0, VTH_MAX)

    def stretch(self, timesteps: int) -> int:
        """Every step is like the first."""
        return min(timesteps, 1)

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """The threshold, whatever the state."""
        _, u, _, _, v = self.integrated(state, a, t)
        s = v > threshold(self.vth)
        return {"u": u, "v": np.where(s, 0, v)}, s.astype(np.int64)

    def after_spike(self, v: Interval) -> Interval:
        """Of no interest to the next step."""
        return v


def make_threshold(name: str, shape: Shape, *, vth: Any, bias: Any = 0) -> Threshold:
    """A Threshold population; as `make_population`."""
    return Threshold(name, tuple(shape), **leaky_registers(name, shape, {"vth": vth}, bias))
