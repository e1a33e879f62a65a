"""Graded messages without memory, as lava-nc 0.10.0's lava.proc.graded sends them: the kind "graded"."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import (
    GRADED_BITS_MAX,
    GRADED_BITS_MIN,
    MESSAGE_MAX,
    check_number,
)
from deploy.neurons.base import Bounds, Neurons, State
from deploy.neurons.edges import MESSAGE
from deploy.neurons.intervals import Interval, Range, hull


class GradedMessages(Neurons):
    """What kinds of graded messages share: their stated bits, which nothing holds them to.

    Lava clips nothing, so a larger message is sent as it is, and is an edge of the proof.
    """

    message_bits: int

    messages_hold: ClassVar[bool] = False

    @property
    def message_range(self) -> Range:
        """Two's complement."""
        return -(2 ** (self.message_bits - 1)), 2 ** (self.message_bits - 1) - 1

    def check(self) -> None:
        """The bits."""
        bits = GRADED_BITS_MIN, GRADED_BITS_MAX
        check_number(self.name, "message_bits", self.message_bits, *bits)

    def limits(self) -> dict[str, Range]:
        """The stated range."""
        return {MESSAGE: self.message_range}


@dataclass(frozen=True, eq=False)
class Graded(GradedMessages):
    """Graded messages without memory: Lava's GradedReluVec (`rectified`) or GradedVec.

        s = a where a > vth, else 0                 rectified
        s = a where |a| > vth, else 0               not rectified

    vth: 0..2^23 − 1. message_bits: 8..24, what the network was made for: 0..2^bits − 1 rectified,
    else two's complement. Lava clips nothing, so a larger message is sent as it is, and is an edge
    of the proof. Scale sums down with a negative weight exponent.
    """

    vth: int = 0
    rectified: bool = True
    message_bits: int = 24

    kind: ClassVar[str] = "graded"

    @property
    def message_range(self) -> Range:
        """Without a sign where rectified."""
        if self.rectified:
            return 0, min(2**self.message_bits - 1, MESSAGE_MAX)
        return super().message_range

    def check(self) -> None:
        """The ranges above."""
        super().check()
        check_number(self.name, "vth", self.vth, 0, MESSAGE_MAX)

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """The sums beyond the threshold, unscaled and unclipped."""
        return state, np.where((a if self.rectified else np.abs(a)) > self.vth, a, 0)

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The messages."""
        return {MESSAGE: self.step(state, a, t)[1]}

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """Sums that are not silenced."""
        low, high = a
        lowest = -np.inf if self.rectified else -self.vth
        s = np.where(low < lowest, low, 0), np.where(high > self.vth, high, 0)
        return Bounds({MESSAGE: hull(s)}, s)
