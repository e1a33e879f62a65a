"""Which system a program is mapped onto where none is named: the smallest one that holds it."""

from deploy.errors import CheckFailed
from deploy.hardware.chip import Chip, load_chip
from deploy.map.partition import require_fit
from deploy.program.program import Program

SYSTEMS = ("loihi2", "kapoho-point", "hala-point")
"""One chip, a board of eight, and all 1 152 of the largest system, each of the same chips."""


def smallest_system(program: Program) -> Chip:
    """The first of `SYSTEMS` with cores enough. Raises CheckFailed, as `require_fit`, if none has."""
    for name in SYSTEMS:
        chip = load_chip(name)
        try:
            require_fit(program, chip)
        except CheckFailed:
            if name == SYSTEMS[-1]:
                raise
        else:
            return chip
    raise AssertionError("SYSTEMS is empty")
