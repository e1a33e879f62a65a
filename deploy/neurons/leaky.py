"""What the current-based kinds share: the recurrence of u and v before a spike, its edges and bounds.

    u ← wrap(u′ + (a << 6))       v ← clip(v′ + u + b)

u′, v′: what a kind carries over from the step before, decayed. A kind says what a spike does.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.arithmetic.integers import STATE_SHIFT, Int64, clipped, decayed, wrapped
from deploy.arithmetic.registers import (
    BIAS_EXP_MAX,
    BIAS_MANT_MAX,
    BIAS_MANT_MIN,
    IntArray,
    Shape,
    as_register,
    check_range,
    check_shape,
)
from deploy.errors import BadInput
from deploy.neurons.base import Bounds, Neurons, State
from deploy.neurons.edges import (
    CURRENT,
    DRIVE,
    POTENTIAL,
    STATE_LIMIT,
    SYNAPTIC_SUM,
    SYNAPTIC_SUM_MAX,
    SYNAPTIC_SUM_MIN,
)
from deploy.neurons.intervals import (
    Interval,
    Range,
    added,
    clipped_interval,
    decayed_interval,
    hull,
    point,
    shifted,
    wrapped_interval,
)


class Integrated(NamedTuple):
    """One step before a spike, int64 [samples, *shape].

    current: before it wraps. u. drive: u + b. potential: before it clips. v.
    """

    current: Int64
    u: Int64
    drive: Int64
    potential: Int64
    v: Int64


class Leaky(Neurons):
    """A current-based kind: states u and v, a bias of mantissa and exponent."""

    bias_mant: IntArray
    bias_exp: IntArray

    states: ClassVar[tuple[str, ...]] = ("u", "v")
    recorded: ClassVar[Mapping[str, str]] = {"u": "u", "v": "v"}
    ungrouped: ClassVar[tuple[str, ...]] = ("bias_mant", "bias_exp")

    @property
    def bias(self) -> IntArray:
        """The effective bias bias_mant << bias_exp, int32 [*shape]."""
        return np.left_shift(self.bias_mant, self.bias_exp)

    @property
    def decays(self) -> tuple[IntArray, IntArray] | None:
        """The decays of u and v, of 4096; None where a step starts from nothing."""
        raise NotImplementedError

    def before(self, state: State, t: int) -> State:
        """The state from which step t starts: cleared, where a rule says so."""
        return state

    def stretch(self, timesteps: int) -> int:
        """The longest run of steps in a sample that starts from cleared state."""
        return timesteps

    def after_spike(self, v: Interval) -> Interval:
        """What can be left of a potential in this interval once it fired, or did not."""
        raise NotImplementedError

    def check(self) -> None:
        """The bias."""
        check_range(self.name, "bias_mant", self.bias_mant, BIAS_MANT_MIN, BIAS_MANT_MAX)
        check_range(self.name, "bias_exp", self.bias_exp, 0, BIAS_EXP_MAX)

    def integrated(self, state: State, a: Int64, t: int) -> Integrated:
        """The recurrence up to a spike."""
        current, kept = a << STATE_SHIFT, np.zeros((), np.int64)
        if self.decays is not None:
            before = self.before(state, t)
            current = decayed(before["u"], self.decays[0]) + current
            kept = decayed(before["v"], self.decays[1])
        u = wrapped(current)
        drive = u + self.bias
        potential = kept + drive
        return Integrated(current, u, drive, potential, clipped(potential))

    def limits(self) -> dict[str, Range]:
        """Those of the sum, u, u + b and v."""
        sums = {SYNAPTIC_SUM: (SYNAPTIC_SUM_MIN, SYNAPTIC_SUM_MAX)}
        return sums | dict.fromkeys((CURRENT, DRIVE, POTENTIAL), STATE_LIMIT)

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The same, before u wraps and v clips."""
        made = self.integrated(state, a, t)
        return {
            SYNAPTIC_SUM: a, CURRENT: made.current, DRIVE: made.drive, POTENTIAL: made.potential
        }  # fmt: skip

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """The recurrence on intervals, each step's values taken into the bounds.

        A reset starts again from 0, so the longest stretch without one has all bounds.
        """
        u = v = point(np.zeros(self.shape, np.int64))
        ranges = dict.fromkeys(self.limits(), (0, 0)) | {SYNAPTIC_SUM: hull(a)}
        arriving, bias = shifted(a, STATE_SHIFT), point(self.bias)
        for _ in range(self.stretch(timesteps)):
            before, kept = (*u, *v), None
            current = arriving
            if self.decays is not None:
                current = added(decayed_interval(u, self.decays[0]), arriving)
                kept = decayed_interval(v, self.decays[1])
            u = wrapped_interval(current)
            drive = added(u, bias)
            potential = drive if kept is None else added(kept, drive)
            for edge, found in ((CURRENT, current), (DRIVE, drive), (POTENTIAL, potential)):
                ranges[edge] = hull(found, ranges[edge])
            v = self.after_spike(clipped_interval(potential))
            if all(np.array_equal(x, y) for x, y in zip(before, (*u, *v), strict=True)):
                break
        low, high = self.message_range
        return Bounds(ranges, (np.full(self.shape, low), np.full(self.shape, high)))


def threshold(register: NDArray[np.int32]) -> Int64:
    """A threshold register in units of v."""
    return register.astype(np.int64) << STATE_SHIFT


def leaky_registers(
    name: str, shape: Shape, values: dict[str, Any], bias: Any
) -> dict[str, IntArray]:
    """The values, and the bias split into mantissa and exponent, broadcast to `shape`."""
    check_shape(name, shape)
    mantissa, exponent = bias_registers(name, bias)
    values = values | {"bias_mant": mantissa, "bias_exp": exponent}
    return {register: as_register(name, register, x, shape) for register, x in values.items()}


def bias_registers(name: str, bias: Any) -> tuple[NDArray[np.int64], int]:
    """Split an effective bias into (mantissa, exponent), with the smallest exponent that is exact.

    One exponent serves the whole population. Raises BadInput naming the node and the bias.
    """
    bias = np.asarray(bias, dtype=np.int64)
    for exponent in range(BIAS_EXP_MAX + 1):
        mantissa = bias >> exponent
        fits = ((mantissa >= BIAS_MANT_MIN) & (mantissa <= BIAS_MANT_MAX)).all()
        if fits and (mantissa << exponent == bias).all():
            return mantissa, exponent
    worst = bias.flat[int(np.abs(bias).argmax())]
    raise BadInput(
        f"node '{name}': bias {worst} has no exact mantissa of 13 bits and exponent of 0..{BIAS_EXP_MAX}"
    )
