"""A kind of neurons in one file: they fire in every second step in which messages add up."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deploy.arithmetic.integers import Int64
from deploy.neurons import Neurons
from deploy.neurons.base import State


@dataclass(frozen=True, eq=False)
class Parity(Neurons):
    """v ← v + [a > 0]; s = v = 2, then v ← 0."""

    kind: ClassVar[str] = "toy-parity"
    states: ClassVar[tuple[str, ...]] = ("v",)
    recorded: ClassVar[dict[str, str]] = {"v": "v"}

    def step(self, state: State, a: Int64, t: int) -> tuple[State, Int64]:
        """One step of all neurons of all samples."""
        v = state["v"] + (a > 0)
        s = (v == 2).astype(np.int64)
        return {"v": np.where(s > 0, 0, v)}, s
