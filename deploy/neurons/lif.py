"""Leaky integrate-and-fire neurons: `Population`, the kind "lif"."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import (
    DECAY_MAX,
    REFRACTORY_MAX,
    VTH_MAX,
    IntArray,
    Shape,
    check_number,
    check_range,
)
from deploy.errors import BadInput
from deploy.neurons.base import Bounds, Neurons, State
from deploy.neurons.edges import FIRES, POTENTIAL, STATE_LIMIT
from deploy.neurons.intervals import Interval, Range, clipped_interval, hull, joined
from deploy.neurons.leaky import Integrated, Leaky, leaky_registers, threshold

_STEPS_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Population(Leaky):
    """Current-based leaky integrate-and-fire neurons.

        u ← T(u·(4096 − (du + 1))) + (a << 6)
        v ← clip(T(v·(4096 − dv)) + u + b)
        v ← 0 in the `refractory` steps after a spike
        s = v > (vth << 6), then v ← 0 where s

    Registers: du, dv in 0..4095 (du is the decay minus one: 4095 clears the current each step; −1,
    no current decay, is legal in the emulator and in Lava), vth in 0..131071, bias_mant in
    −4096..4095, bias_exp in 0..7.

    refractory: 0..62 steps, 0 for none, as on Loihi 1 (register refractory + 1, see nengo-loihi's
    emulator): u goes on, v is held at 0. reset_interval, reset_offset: u and v are also cleared
    before every step t of a sample (from 0) with t % interval == offset; interval 0 for never.
    """

    du: IntArray
    dv: IntArray
    vth: IntArray
    bias_mant: IntArray
    bias_exp: IntArray
    refractory: int = 0
    reset_interval: int = 0
    reset_offset: int = 0

    kind: ClassVar[str] = "lif"
    # held: the steps for which v is still held at 0. nengo-loihi's emulator counts one more and
    # takes one off in the step of the spike, which is the same.
    states: ClassVar[tuple[str, ...]] = ("u", "v", "held")

    @property
    def decays(self) -> tuple[IntArray, IntArray]:
        """The `+ 1` is Loihi's ds_offset: the register du holds the decay minus one."""
        return self.du + 1, self.dv

    def check(self) -> None:
        """The ranges above."""
        super().check()
        check_number(self.name, "refractory", self.refractory, 0, REFRACTORY_MAX)
        check_number(self.name, "reset_interval", self.reset_interval, 0, _STEPS_MAX)
        last = max(self.reset_interval - 1, 0)
        check_number(self.name, "reset_offset", self.reset_offset, 0, last)
        check_range(self.name, "du", self.du, -1, DECAY_MAX)
        check_range(self.name, "dv", self.dv, 0, DECAY_MAX)
        check_range(self.name, "vth", self.vth, 0, VTH_MAX)

    def before(self, state: State, t: int) -> State:
        """Cleared by the rule; a refractory period goes on."""
        if self.reset_interval and t % self.reset_interval == self.reset_offset:
            return {**state, "u": np.zeros_like(state["u"]), "v": np.zeros_like(state["v"])}
        return state

    def stretch(self, timesteps: int) -> int:
        """Up to the first reset, or between two."""
        interval = max(self.reset_interval, self.reset_offset)
        return min(timesteps, interval) if interval else timesteps

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """Reset, dynamics, refractory steps, spike."""
        u, v = self._at_threshold(self.integrated(state, a, t), state)
        s = v > threshold(self.vth)
        held = np.where(s, self.refractory, np.maximum(state["held"] - 1, 0))
        return {"u": u, "v": np.where(s, 0, v), "held": held}, s.astype(np.int64)

    def after_spike(self, v: Interval) -> Interval:
        """What does not fire is not above the threshold; what can fire can return to zero."""
        fires = v[1] > threshold(self.vth)
        v = joined((v[0], np.minimum(v[1], threshold(self.vth))), 0, fires)
        return joined(v, 0) if self.refractory else v

    @staticmethod
    def _at_threshold(made: Integrated, state: State) -> tuple[Int64, Int64]:
        return made.u, np.where(state["held"] > 0, 0, made.v)


@dataclass(frozen=True, eq=False)
class Integrator(Population):
    """Neurons whose potential a host reads: the recurrence of a Population, vth at its maximum.

    On a chip, a neuron that never fires is one that cannot reach its threshold of 131071: that it
    can is an edge.
    """

    kind: ClassVar[str] = "integrator"
    is_readout: ClassVar[bool] = True

    def check(self) -> None:
        """The threshold, and the rest as of a Population."""
        super().check()
        check_range(self.name, "vth", self.vth, VTH_MAX, VTH_MAX)

    def limits(self) -> dict[str, Range]:
        """Those of a Population, and the threshold."""
        highest = int(threshold(self.vth).max())
        return super().limits() | {FIRES: (STATE_LIMIT[0], highest)}

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The same; against the threshold what is left of v by then."""
        _, v = self._at_threshold(self.integrated(state, a, t), state)
        return super().held(state, a, t) | {FIRES: v}

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """Those of a Population; at the threshold v is clipped."""
        found = super().bounds(a, timesteps)
        low, high = (np.array([end]) for end in found.ranges[POTENTIAL])
        return Bounds({**found.ranges, FIRES: hull(clipped_interval((low, high)))}, found.messages)


def is_lif(p: Neurons) -> TypeGuard[Population]:
    """Whether p is a Population or an Integrator, and not of a kind that was derived of them."""
    return type(p) in (Population, Integrator)


def is_plain(p: Neurons) -> TypeGuard[Population]:
    """Whether p is leaky integrate-and-fire or an integrator, without refractory or reset rules."""
    return is_lif(p) and p.refractory == p.reset_interval == 0


def make_population(
    name: str,
    shape: Shape,
    *,
    du: Any = DECAY_MAX,
    dv: Any = 0,
    vth: Any = VTH_MAX,
    bias: Any = 0,
    kind: str = "lif",
    refractory: int = 0,
    reset_interval: int = 0,
    reset_offset: int = 0,
) -> Population:
    """A Population, or an Integrator, with registers broadcast to `shape` and the bias split.

    bias: the effective integer bias in units of v. Raises BadInput where no mantissa and exponent
    express it exactly.
    """
    registers = leaky_registers(name, shape, {"du": du, "dv": dv, "vth": vth}, bias)
    made = next((of for of in (Population, Integrator) if of.kind == kind), None)
    if made is None:
        raise BadInput(
            f"node '{name}': unknown kind of population {kind!r}, expected lif or integrator"
        )
    return made(
        name,
        tuple(shape),
        **registers,
        refractory=refractory,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
    )
