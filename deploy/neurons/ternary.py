"""Leaky integrate-and-fire neurons of two thresholds: the kind "ternary"."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import DECAY_MAX, VTH_MAX, IntArray, Shape, check_range, distinct
from deploy.errors import BadInput
from deploy.neurons.base import State
from deploy.neurons.intervals import Interval, Range, joined
from deploy.neurons.leaky import Leaky, leaky_registers, threshold


@dataclass(frozen=True, eq=False)
class Ternary(Leaky):
    """Leaky integrate-and-fire neurons of two thresholds, Lava's TernaryLIF: messages −1, 0 and 1.

        u ← T(u·(4096 − (du + 1))) + (a << 6)
        v ← clip(T(v·(4096 − dv)) + u + b)
        s = (v > (vth << 6)) − (v < (vth_lo << 6)), then v ← 0 where s

    Registers as of a Population; vth_lo in −131072..vth. A vth_lo of −131072 is never reached.
    """

    du: IntArray
    dv: IntArray
    vth: IntArray
    vth_lo: IntArray
    bias_mant: IntArray
    bias_exp: IntArray

    kind: ClassVar[str] = "ternary"

    @property
    def message_range(self) -> Range:
        """−1, 0 or 1."""
        return -1, 1

    @property
    def decays(self) -> tuple[IntArray, IntArray]:
        """As of a Population."""
        return self.du + 1, self.dv

    def check(self) -> None:
        """The ranges above."""
        super().check()
        check_range(self.name, "du", self.du, -1, DECAY_MAX)
        check_range(self.name, "dv", self.dv, 0, DECAY_MAX)
        check_range(self.name, "vth", self.vth, 0, VTH_MAX)
        check_range(self.name, "vth_lo", self.vth_lo, -VTH_MAX - 1, VTH_MAX)
        crossed = np.argwhere(distinct(self.vth_lo) > distinct(self.vth))
        if crossed.size:
            i = tuple(int(n) for n in crossed[0])
            raise BadInput(
                f"node '{self.name}': vth_lo {self.vth_lo[i]} at index {list(i)} is above vth "
                f"{self.vth[i]}"
            )

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """Dynamics, then a spike of either sign."""
        _, u, _, _, v = self.integrated(state, a, t)
        s = (v > threshold(self.vth)).astype(np.int64) - (v < threshold(self.vth_lo))
        return {"u": u, "v": np.where(s != 0, 0, v)}, s

    def after_spike(self, v: Interval) -> Interval:
        """What does not fire is between the thresholds; what can fire can return to zero."""
        low, high = threshold(self.vth_lo), threshold(self.vth)
        fires = (v[0] < low) | (v[1] > high)
        return joined((np.maximum(v[0], low), np.minimum(v[1], high)), 0, fires)


def make_ternary(
    name: str,
    shape: Shape,
    *,
    vth_lo: Any,
    vth: Any = VTH_MAX,
    du: Any = DECAY_MAX,
    dv: Any = 0,
    bias: Any = 0,
) -> Ternary:
    """A Ternary population; as `make_population`."""
    registers = {"du": du, "dv": dv, "vth": vth, "vth_lo": vth_lo}
    return Ternary(name, tuple(shape), **leaky_registers(name, shape, registers, bias))
