"""NeuroBench's metrics of a run, where the harness itself is not needed to know them."""

import numpy as np
import pytest

from deploy.count.neurobench import metrics
from deploy.count.operations import count
from deploy.emulate.reference import emulate
from deploy.program.program import Dense, Program, make_input, make_population


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int64])
@pytest.mark.parametrize(("message", "graded"), [(-128, True), (-2, True), (2, True), (-1, False)])
def test_a_step_is_of_macs_by_its_messages_whatever_their_type(
    kind: type, message: int, graded: bool
) -> None:
    """−128 has no magnitude in 8 bits."""
    program = Program(
        (make_input("in", (2,), -128, 127),),
        (make_population("n", (3,)),),
        (Dense("w", "in", "n", np.full((3, 2), 2, np.int32)),),
        (),
    )
    x = {"in": np.array([[[message, 0], [0, 1]]], kind)}
    trace = emulate(program, x, per_step=True)
    counts = count(program, trace.messages, 1, 2)
    found = metrics(program, counts, x, trace.per_step, None)["SynapticOperations"]
    macs = 3.0 if graded else 0.0
    assert found == {"Effective_MACs": macs, "Effective_ACs": 6.0 - macs, "Dense": 12.0}
