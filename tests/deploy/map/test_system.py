"""Where no chip is named, the smallest system that holds a network is taken."""

import numpy as np
import pytest

from deploy.connections import Dense
from deploy.errors import CheckFailed
from deploy.map.partition import require_fit
from deploy.map.system import SYSTEMS, smallest_system
from deploy.program.program import Program, make_input, make_population


def alone(neurons: int) -> Program:
    """A population that one neuron drives: only its neurons fill cores, 4 096 each."""
    connection = Dense("fc", "in", "l0", np.zeros((neurons, 1), np.int32))
    return Program(
        (make_input("in", (1,)),), (make_population("l0", (neurons,)),), (connection,), ()
    )


@pytest.mark.parametrize(
    ("neurons", "name"), [(100, "loihi2"), (600_000, "kapoho-point"), (4_000_000, "hala-point")]
)
def test_the_smallest_that_holds_it(neurons: int, name: str) -> None:
    program = alone(neurons)
    chip, _ = smallest_system(lambda chip: require_fit(program, chip))
    assert chip.name == name


def test_what_fits_none_is_refused_as_by_the_largest() -> None:
    wide = Dense("fc", "in", "l0", np.zeros((4, 20_000), np.int32))
    program = Program((make_input("in", (20_000,)),), (make_population("l0", (4,)),), (wide,), ())
    with pytest.raises(CheckFailed, match=r"'l0'.*input axons"):
        smallest_system(lambda chip: require_fit(program, chip))
    assert SYSTEMS[-1] == "hala-point"
