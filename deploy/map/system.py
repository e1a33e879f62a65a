"""Which system a program is mapped onto where none is named: the smallest one that holds it."""

from collections.abc import Callable
from typing import TypeVar

from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, load_chip

SYSTEMS = ("loihi2", "kapoho-point", "hala-point")
"""One chip, a board of eight, and all 1 152 of the largest system, each of the same chips."""

Found = TypeVar("Found")


def smallest_system(fit: Callable[[Chip], Found]) -> tuple[Chip, Found]:
    """The first of `SYSTEMS` with cores enough, and what `fit` gives for it.

    fit: raises CheckFailed where the program does not fit a chip, which is raised here if none holds it.
    """
    for name in SYSTEMS:
        chip = load_chip(name)
        try:
            return chip, fit(chip)
        except CheckFailed:
            if name == SYSTEMS[-1]:
                raise
    raise AssertionError("SYSTEMS is empty")
