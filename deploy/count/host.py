"""What a host computes around the chip, counted by whoever knows it: the front end of a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One part of the host's work.

    part: as `placement.host` names it. operations: multiply-accumulates; of parts that are no layers of an
    ANN, every addition, multiplication or comparison counts as one. how: what they are made up of, in
    words. once: for a set of labels, instead of for every inference.
    """

    part: str
    operations: int | float
    how: str
    once: bool = False
