"""Delta encoding of a graded signal: the kind "delta"."""

from dataclasses import dataclass
from typing import ClassVar

from deploy.arithmetic.integers import Int64
from deploy.neurons.base import Bounds, State
from deploy.neurons.edges import ACTIVATION, MESSAGE, STATE_LIMIT
from deploy.neurons.encoding import Encoding
from deploy.neurons.intervals import Interval, Range, hull, shifted


@dataclass(frozen=True, eq=False)
class Delta(Encoding):
    """Delta encoding of a graded signal: Lava's sdn.Delta, fixed point.

        x ← a << (spike_exp + state_exp)
        δ, m, residue, error and s as of an `Encoding`

    message_bits: 8..24 in two's complement, as for Graded. State recorded: u is x, v the residue.
    """

    vth: int
    spike_exp: int = 0
    state_exp: int = 0
    cum_error: bool = False
    message_bits: int = 16

    kind: ClassVar[str] = "delta"

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """The signal, and what changed of it."""
        return self.encoded(state, a << self.shift)

    def limits(self) -> dict[str, Range]:
        """The messages, and the signal."""
        return {ACTIVATION: STATE_LIMIT} | super().limits()

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The same."""
        return {ACTIVATION: a << self.shift, MESSAGE: self.step(state, a, t)[1]}

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """Of the signal, and of its changes."""
        x = shifted(a, self.shift)
        s = self.messages(x)
        return Bounds({ACTIVATION: hull(x), MESSAGE: hull(s)}, s)
