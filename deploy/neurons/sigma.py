"""Decoding of delta messages: the kind "sigma"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from deploy.arithmetic.integers import Int64
from deploy.neurons.base import Bounds, State
from deploy.neurons.edges import MESSAGE, RUNNING_SUM, STATE_LIMIT
from deploy.neurons.graded import GradedMessages
from deploy.neurons.intervals import Interval, Range, hull, repeated


@dataclass(frozen=True, eq=False)
class Sigma(GradedMessages):
    """Decoding of delta messages: Lava's sdn.Sigma, fixed point.

        σ ← σ + a
        s = σ

    message_bits: 8..24 in two's complement, as for Graded. State recorded: u is σ.
    """

    message_bits: int = 24

    kind: ClassVar[str] = "sigma"
    states: ClassVar[tuple[str, ...]] = ("sigma",)
    recorded: ClassVar[Mapping[str, str]] = {"u": "sigma"}

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """A running sum, sent as it is."""
        sigma = state["sigma"] + a
        return {"sigma": sigma}, sigma

    def limits(self) -> dict[str, Range]:
        """The messages, and the running sum."""
        return {RUNNING_SUM: STATE_LIMIT} | super().limits()

    def held(self, state: State, a: Int64, t: int) -> dict[str, Int64]:
        """The same."""
        sigma = state["sigma"] + a
        return {RUNNING_SUM: sigma, MESSAGE: sigma}

    def bounds(self, a: Interval, timesteps: int) -> Bounds:
        """Sums of all steps."""
        sigma = repeated(a, timesteps)
        return Bounds({RUNNING_SUM: hull(sigma), MESSAGE: hull(sigma)}, sigma)
