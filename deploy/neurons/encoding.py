"""What delta and sigma-delta neurons share: the change of a signal, as a message.

As lava-nc 0.10.0's fixed-point models in lava.proc.sdn compute it.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.arithmetic.registers import EXPONENT_MAX, MESSAGE_MAX, check_number
from deploy.neurons.base import State
from deploy.neurons.graded import GradedMessages
from deploy.neurons.intervals import Interval, added, shifted


class Encoding(GradedMessages):
    """A kind that sends what changed of a signal x.

        δ = x − x(t − 1) + residue                  error ← error + δ, with cum_error
        m = δ where |δ| ≥ θ (|error| ≥ θ with cum_error), else 0
        residue ← δ − m                             error ← 0 where m ≠ 0
        s = m >> state_exp

    θ = vth << (spike_exp + state_exp). vth ≥ 0; spike_exp, state_exp: 0..7; θ below 2^23.
    """

    vth: int
    spike_exp: int
    state_exp: int
    cum_error: bool

    states: ClassVar[tuple[str, ...]] = ("x", "residue", "error")
    recorded: ClassVar[Mapping[str, str]] = {"u": "x", "v": "residue"}

    @property
    def shift(self) -> int:
        """Bits by which the signal is above the messages that it is made of."""
        return self.spike_exp + self.state_exp

    def check(self) -> None:
        """The ranges above."""
        super().check()
        check_number(self.name, "spike_exp", self.spike_exp, 0, EXPONENT_MAX)
        check_number(self.name, "state_exp", self.state_exp, 0, EXPONENT_MAX)
        check_number(self.name, "vth", self.vth, 0, MESSAGE_MAX >> self.shift)

    def encoded(self, state: State, x: Int64) -> tuple[State, Int64]:
        """What changed of x since it was last sent, once it (or its sum, with cum_error) reaches θ.

        The message loses the lowest state_exp bits, and the residue does not hold them: they are lost.
        """
        delta = x - state["x"] + state["residue"]
        error = state["error"] + delta if self.cum_error else state["error"]
        large = np.abs(error if self.cum_error else delta) >= self.vth << self.shift
        sent = np.where(large, delta, 0)
        error = np.where(sent != 0, 0, error)
        return {"x": x, "residue": delta - sent, "error": error}, sent >> self.state_exp

    def messages(self, x: Interval) -> Interval:
        """δ is x less what it was when it was last sent, 0 at first, so at most as far as x goes."""
        low, high = np.minimum(x[0], 0), np.maximum(x[1], 0)
        most = added((low, high), (-high, -low))
        return shifted(most, -self.state_exp)
